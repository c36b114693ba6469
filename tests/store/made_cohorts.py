"""Made-up results: the same run id always gives the same numbers, whatever its cohort."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from fathom.seeds import derive_seed
from fathom.store.results import StudyFolder
from fathom.store.tables import COLUMNS, KEYS, TableName, make_table

STUDY = "seed: 1\nname: small\n"
MACHINE = {"bits": {"torch": "2.13", "cpu": "one"}, "info": {"python": "3.11"}}
COHORTS = {"c1": ("run_a", "run_b"), "c2": ("run_c",), "c3": ("run_d", "run_e", "run_f")}
NUM_EPOCHS, NUM_LAYERS, NUM_BINS = 2, 2, 3


TABLES: tuple[TableName, ...] = tuple(COLUMNS)


def make_frames(run_ids: Sequence[str], *, elapsed_s: float = 1.0) -> dict[TableName, pl.DataFrame]:
    """Build tables; `elapsed_s` goes into the volatile columns."""
    return {name: make_table(name, _columns(name, run_ids, elapsed_s)) for name in TABLES}


def make_weights(run_ids: Sequence[str]) -> dict[str, Tensor]:
    weights = {}
    for run_id in run_ids:
        for which in ("best", "last"):
            generator = torch.Generator().manual_seed(derive_seed(run_id, which))
            for layer in (1, 2):
                name = f"{run_id}/{which}/layers.{layer}"
                weights[f"{name}.weight"] = torch.randn(3, 4, generator=generator)
                weights[f"{name}.bias"] = torch.randn(3, generator=generator)
    return weights


def open_folder(path: Path, **changes: Any) -> StudyFolder:
    settings: dict[str, Any] = {
        "study_yaml": STUDY,
        "study_digest": "study-1",
        "fingerprint": MACHINE,
    }
    return StudyFolder.open(path, **(settings | changes))


def commit_made(
    folder: StudyFolder, cohort_id: str, run_ids: Sequence[str] = (), *, elapsed_s: float = 1.0
) -> None:
    run_ids = run_ids or COHORTS[cohort_id]
    with folder.claim(cohort_id) as mine:
        assert mine
        frames = make_frames(run_ids, elapsed_s=elapsed_s)
        folder.commit_cohort(cohort_id, frames, make_weights(run_ids), {"note": cohort_id})


def finish(folder: StudyFolder) -> None:
    """Do what any runner does: commit what is not committed."""
    for cohort_id in COHORTS.keys() - folder.committed().keys():
        commit_made(folder, cohort_id)


def _columns(name: TableName, run_ids: Sequence[str], elapsed_s: float) -> dict[str, list[Any]]:
    keys = [(run_id, *rest) for run_id in run_ids for rest in _positions(name)]
    columns: dict[str, list[Any]] = {
        key: [row[i] for row in keys] for i, key in enumerate(KEYS[name])
    }
    for column in COLUMNS[name]:
        if column.name in columns:
            continue
        drawn = [np.random.default_rng(derive_seed(column.name, *row)) for row in keys]
        if column.volatile:
            columns[column.name] = [elapsed_s] * len(keys)
        elif column.kind == "text":
            columns[column.name] = [f"{column.name} of {row[0]}" for row in keys]
        elif column.kind == "int":
            columns[column.name] = [int(rng.integers(100)) for rng in drawn]
        else:
            columns[column.name] = [float(rng.normal()) for rng in drawn]
    if name == "layers":  # the output layer has no activation
        last = [row[2] == NUM_LAYERS for row in keys]
        means = zip(columns["act_mean"], last, strict=True)
        columns["act_mean"] = [float("nan") if is_last else value for value, is_last in means]
    return columns


def _positions(name: TableName) -> list[tuple[Any, ...]]:
    epochs, layers = range(NUM_EPOCHS + 1), range(1, NUM_LAYERS + 1)
    if name == "runs":
        return [()]
    if name == "epochs":
        return [(epoch,) for epoch in epochs]
    if name == "layers":
        return [(epoch, layer) for epoch in epochs for layer in layers]
    if name == "scores":
        return [(sample, number) for sample in range(2) for number in range(3)]
    return [(0, layer, "activation", k) for layer in layers for k in range(NUM_BINS)]
