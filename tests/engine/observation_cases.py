"""What tests of observations share: short ways to ask for them, and to read what was seen."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from fathom.data.config import DataConfig
from fathom.data.splits import PreparedData
from fathom.engine.observations import Seen, observe, unit_columns
from fathom.engine.stacked import CPU
from fathom.engine.tables import CohortResult
from fathom.spec.grid import RecordConfig, Run
from fathom.store.tables import make_table

ENGINES = ["stacked", "single", "reference"]
DEAD = -1e3  # a bias that no input of these data lifts above 0
Floats = npt.NDArray[np.float64]


def record(**asked: Any) -> RecordConfig:
    return RecordConfig(probe_size=32, histograms=False, weights="last", **asked)


EVERY, ENDS = record(units="every"), record(units="ends")


def on_moons(make_run: Callable[..., Run], **settings: Any) -> Run:
    config: DataConfig = replace(make_run().data, name="half_moons")
    return make_run(**{"data": config, "record": record(surfaces=4)} | settings)


def units(result: CohortResult) -> pl.DataFrame:
    return make_table("units", result.units)


def states(result: CohortResult, epoch: int, layer: int, run: Run | None = None) -> list[str]:
    wanted = (pl.col("epoch") == epoch) & (pl.col("layer") == layer)
    if run is not None:
        wanted &= pl.col("run_id") == run.id
    return units(result).filter(wanted).sort("unit")["state"].to_list()


def numbers_of(words: list[str], state: str) -> list[int]:
    return [index for index, word in enumerate(words) if word == state]


def relu_counts(weights: Mapping[str, Tensor], x: Floats) -> list[npt.NDArray[np.int64]]:
    """Pass data through a ReLU network in NumPy and count the samples above 0 of each unit."""
    found = []
    depth = len(weights) // 2 - 1
    for layer in range(depth):
        w, b = (weights[f"layers.{layer}.{kind}"].double().numpy() for kind in ("weight", "bias"))
        x = np.maximum(x @ w.T + b, 0)
        found.append((x > 0).sum(0))
    return found


def seen_units(run: Run, weights: Mapping[str, Tensor], data: PreparedData) -> pl.DataFrame:
    return make_table("units", unit_columns([run], seen_of(run, weights, data)))


def seen_of(run: Run, weights: Mapping[str, Tensor], data: PreparedData) -> Seen:
    seen: Seen = {}
    stacked = {name: tensor[None] for name, tensor in weights.items()}
    yes, no = torch.tensor([True]), torch.tensor([False])
    observe(seen, 0, [run], lambda: stacked, data, going=yes, ended=no, device=CPU)
    return seen
