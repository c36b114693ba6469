"""How far the losses of a study step at their rates, before training and after."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from fathom.api.description import read_choice, setting_columns
from fathom.data.config import DataConfig
from fathom.data.datasets import measure
from fathom.errors import ComponentError
from fathom.losses import LOSSES, LossStep, loss_step
from fathom.registry import Choice
from fathom.spec.grid import Run

_Setting = tuple[str, Choice, int, str, float]  # name, loss, classes, optimizer, rate


def planned_steps(runs: Sequence[Run], folders: Sequence[Path]) -> tuple[LossStep, ...]:
    """Tell how far each loss of a study steps, once for each rate, optimizer and number of classes.

    Args:
        runs: All of them.
        folders: The user's data folders.

    Raises:
        FathomError: If data that are there cannot be used.
    """

    @cache
    def num_classes(config: DataConfig) -> int:
        return measure(config, folders).num_classes

    names = setting_columns(runs)["loss"]
    return _steps(
        (name, run.loss, num_classes(run.data), run.train.optimizer.name, run.train.lr)
        for name, run in zip(names, runs, strict=True)
    )


def recorded_steps(runs: pl.DataFrame, configs: Mapping[str, Any]) -> tuple[LossStep, ...]:
    """Tell the same of runs that were trained.

    A loss that is unknown here is left out, as are runs of an earlier version, which did not record
    the number of classes.

    Args:
        runs: `records.RUN_COLUMNS` and settings.
        configs: By run id what `spec.grid.to_plain` made of the run.
    """

    def settings() -> Iterable[_Setting]:
        for row in runs.iter_rows(named=True):
            config = configs[row["run_id"]]
            loss, train = read_choice(config["loss"]), config["train"]
            if row["num_classes"] is not None:
                optimizer = read_choice(train["optimizer"]).name
                name = row.get("loss") or loss.label
                yield name, loss, row["num_classes"], optimizer, train["lr"]

    return _steps(settings())


def _steps(settings: Iterable[_Setting]) -> tuple[LossStep, ...]:
    """Losses in order of appearance, the rates of each from the smallest on."""
    order: dict[str, int] = {}
    found = []
    for name, choice, num_classes, optimizer, lr in dict.fromkeys(settings):
        order.setdefault(name, len(order))
        try:
            loss = LOSSES.build(choice)
        except ComponentError:  # from a plug-in that is not installed here
            continue
        found.append(loss_step(name, loss, num_classes, optimizer, lr))
    return tuple(sorted(found, key=lambda step: (order[step.loss], step.lr)))
