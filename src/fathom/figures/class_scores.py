"""What the best networks answered on the test part, as arrays: of one run, class by class.

Shapes: N samples, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from fathom.figures.frames import FigureError, Frames
from fathom.figures.layer_maps import check_run_count
from fathom.metrics import Floats, Labels

MAX_RUNS = 12


class ClassScores(NamedTuple):
    """Answers of one run.

    Attributes:
        logits: `[N, K]`.
        targets: Class labels `[N]`, or 0 and 1 `[N, K]` where a sample has other than one label.
        class_names: K names.
    """

    logits: Floats
    targets: Labels
    class_names: tuple[str, ...]


def class_scores(scores: pl.DataFrame, run_id: str) -> ClassScores:
    """Arrange one run's rows of `records.SCORE_COLUMNS`."""
    rows = scores.filter(pl.col("run_id") == run_id).sort("sample", "class")
    num_samples, num_classes = rows["sample"].n_unique(), rows["class"].n_unique()
    labels_NK = rows["label"].to_numpy().reshape(num_samples, num_classes)
    single = bool((labels_NK.sum(1) == 1).all())
    return ClassScores(
        logits=rows["logit"].to_numpy().reshape(num_samples, num_classes),
        targets=labels_NK.argmax(1) if single else labels_NK,
        class_names=tuple(rows["class_name"][:num_classes]),
    )


def recorded_runs(frames: Frames) -> Sequence[str]:
    """Return the ids of the runs with finite scores, in the order of `runs`.

    Raises:
        FigureError: If there are none, or more than a figure can show.
    """
    check_run_count(frames, MAX_RUNS)
    finite = frames.scores.group_by("run_id").agg(pl.col("logit").is_finite().all())
    known = set(finite.filter(pl.col("logit"))["run_id"])
    found = [run_id for run_id in frames.runs["run_id"] if run_id in known]
    if not found:
        raise FigureError("no run has scores; set record.scores: true in the study")
    return found
