"""What the best networks answered on the test part, as arrays: run by run, class by class.

Shapes: N samples, K classes.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.figures.frames import FigureError, Frames
from fathom.figures.layer_maps import check_run_count
from fathom.metrics import Floats, Labels

MAX_RUNS = 12


class ClassScores(NamedTuple):
    """Answers of one run.

    Attributes:
        logits: `[N, K]`, finite.
        targets: Class labels `[N]`, or 0 and 1 `[N, K]` where a sample has other than one label.
        class_names: K names.
    """

    logits: Floats
    targets: Labels
    class_names: tuple[str, ...]


def class_scores(runs: pl.DataFrame, scores: pl.DataFrame) -> dict[str, ClassScores]:
    """Arrange the rows of `records.SCORE_COLUMNS`.

    Args:
        runs: Runs with `run_id`.
        scores: Scores of some of them, in any order.

    Returns:
        By run id, in the order of `runs`; a run with a score that is not finite is left out.
    """
    tables = scores.partition_by("run_id", as_dict=True)
    found = ((run_id, tables.get((run_id,))) for run_id in runs["run_id"])
    arranged = ((run_id, _arrange(rows)) for run_id, rows in found if rows is not None)
    return {run_id: one for run_id, one in arranged if np.isfinite(one.logits).all()}


def _arrange(rows: pl.DataFrame) -> ClassScores:
    rows = rows.sort("sample", "class")
    num_classes = rows["class"].n_unique()
    labels_NK = rows["label"].to_numpy().reshape(-1, num_classes)
    return ClassScores(
        logits=rows["logit"].to_numpy().reshape(-1, num_classes),
        targets=labels_NK if rows["multi_label"][0] else labels_NK.argmax(1),
        class_names=tuple(rows["class_name"][:num_classes]),
    )


def recorded_scores(frames: Frames) -> dict[str, ClassScores]:
    """Return the scores of a figure's runs.

    Raises:
        FigureError: If there are none, or more runs than a figure can show.
    """
    check_run_count(frames, MAX_RUNS)
    found = class_scores(frames.runs, frames.scores)
    if not found:
        raise FigureError("no run has scores; set record.scores: true in the study")
    return found
