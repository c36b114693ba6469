"""One replicate of each case: what is shown of a study where every run has a picture of its own.

A case is one combination of the settings; its replicates differ in the seed alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.errors import suggestion
from fathom.figures.frames import (
    REPLICATE,
    FigureError,
    Frames,
    run_labels,
    value_label,
    values,
    varying,
)


class Accuracies(NamedTuple):
    """How well one network does at some epoch; NaN where there is no such part or number."""

    validation: float
    test: float

    @property
    def text(self) -> str:
        """Both in words, without what is not known."""
        parts = [f"{name} {value:.3f}" for name, value in self._asdict().items() if value == value]
        return ", ".join(parts) or "no accuracy"


def one_of_each_case(frames: Frames, replicate: int | None = None) -> Frames:
    """Keep one run of each case.

    Args:
        frames: The study.
        replicate: The wanted seed; the smallest of each case when omitted.

    Returns:
        One run for each case, in the order of the runs.

    Raises:
        FigureError: If no run has this seed.
    """
    if REPLICATE not in frames.runs.columns:
        return frames
    seeds = values(frames.runs, REPLICATE)
    runs = frames.runs
    if replicate is not None:
        if replicate not in seeds:
            raise FigureError(
                f"no run with replicate {replicate}; there are: {', '.join(map(str, seeds[:12]))}"
            )
        runs = runs.filter(pl.col(REPLICATE) == replicate)
    settings = [name for name in frames.all_settings if name != REPLICATE]
    runs = runs.filter(pl.col(REPLICATE).rank("ordinal").over(settings) == 1)
    whole = frames.study_runs if frames.study_runs is not None else frames.runs
    return replace(frames, runs=runs, study_runs=whole)


def with_text(frames: Frames, labels: Mapping[str, str], text: str) -> Frames:
    """Keep the cases whose label or name contains a text, in capitals or not.

    Args:
        frames: One run for each case.
        labels: Of `case_labels`.
        text: What to look for.

    Raises:
        FigureError: If there is none.
    """
    names = dict(frames.runs.select("run_id", "name").iter_rows())
    wanted = text.casefold()
    ids = [
        key
        for key, label in labels.items()
        if wanted in label.casefold() or wanted in names[key].casefold()
    ]
    if not ids:
        near = suggestion(text, labels.values())
        some = ", ".join(list(labels.values())[:12])
        raise FigureError(f"no case contains {text[:80]!r}.{near} There are: {some}")
    return replace(frames, runs=frames.runs.filter(pl.col("run_id").is_in(ids)))


def case_labels(frames: Frames) -> dict[str, str]:
    """Name each case by as few of the settings that vary as set all cases apart.

    A setting that follows from those before it, such as a rate that an override gives to one of the
    activations, is not told.

    Returns:
        Label by run id.
    """
    settings = varying(frames)
    for count in range(1, len(settings) + 1):
        if frames.runs.select(settings[:count]).is_unique().all():
            rows = frames.runs.select("run_id", *settings[:count]).iter_rows(named=True)
            return {
                row["run_id"]: ", ".join(value_label(s, row[s]) for s in settings[:count])
                for row in rows
            }
    return run_labels(frames)


def replicate_note(frames: Frames) -> str:
    """Say which replicate is shown; empty where there is but one."""
    whole = frames.study_runs if frames.study_runs is not None else frames.runs
    if REPLICATE not in frames.runs.columns or len(values(whole, REPLICATE)) < 2:
        return ""
    shown = values(frames.runs, REPLICATE)
    return f"seed {shown[0]}" if len(shown) == 1 else "first seed of each"


def accuracies(
    frames: Frames, run_id: str, epochs: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> list[Accuracies]:
    """Return how well a run did at some epochs; NaN at one that was not recorded."""
    rows = frames.epochs.filter(pl.col("run_id") == run_id)
    known = {
        epoch: Accuracies(_number(validation), _number(test))
        for epoch, validation, test in rows.select(
            "epoch", "validation_accuracy", "test_accuracy"
        ).iter_rows()
    }
    unknown = Accuracies(float("nan"), float("nan"))
    return [known.get(int(epoch), unknown) for epoch in epochs]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
