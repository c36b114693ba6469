"""Metrics of the best networks on the test part, one row for each run or for each class."""

from typing import Final

import polars as pl

from fathom.figures.class_scores import class_scores
from fathom.metrics import Metrics, measure

_OVERALL: Final = (
    "accuracy",
    *(f"{name}_{mean}" for mean in ("micro", "macro") for name in ("precision", "recall", "f1")),
    "mean_average_precision",
)
# What a short table shows, and how it is called there.
SHOWN_METRICS: Final = {
    "accuracy": "accuracy",
    "precision_macro": "precision",
    "recall_macro": "recall",
    "f1_macro": "F1",
    "mean_average_precision": "average precision",
}
METRICS_NOTE: Final = (
    "Each run's best network on the test part; precision, recall, F1 and average precision are "
    "means over the classes that have samples."
)

_OF_A_CLASS: Final = ("precision", "recall", "f1", "average_precision")


def metric_table(runs: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Compute the metrics of each run.

    Args:
        runs: Runs with `run_id` and `name`.
        scores: `records.SCORE_COLUMNS` of some of them.

    Returns:
        One row for each run with scores: `run_id`, `name`, `accuracy`, precision, recall and F1,
        each over all decisions (`_micro`) and as a mean over classes (`_macro`), and
        `mean_average_precision`. A run that diverged is left out.
    """
    rows = [
        (run_id, name, found.accuracy, *found.micro, *found.macro, found.mean_average_precision)
        for run_id, name, found in _measured(runs, scores)
    ]
    kinds = dict.fromkeys(("run_id", "name"), pl.String) | dict.fromkeys(_OVERALL, pl.Float64)
    return pl.DataFrame(rows, schema=kinds, orient="row")


def class_table(runs: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Compute the metrics of each class of each run.

    Args:
        runs: As in `metric_table`.
        scores: As there.

    Returns:
        One row for each run with scores and each class: `run_id`, `name`, `class_name`,
        `precision`, `recall`, `f1`, `average_precision` and `support`, the class's test samples.
    """
    rows = [
        (run_id, name, *row)
        for run_id, name, found in _measured(runs, scores)
        for row in found.classes
    ]
    kinds = dict.fromkeys(("run_id", "name", "class_name"), pl.String)
    schema = kinds | dict.fromkeys(_OF_A_CLASS, pl.Float64) | {"support": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _measured(runs: pl.DataFrame, scores: pl.DataFrame) -> list[tuple[str, str, Metrics]]:
    names = dict(runs.select("run_id", "name").iter_rows())
    answers = class_scores(runs, scores)
    return [(run_id, names[run_id], measure(*found)) for run_id, found in answers.items()]
