"""What the page tells of single classes: metrics, precision over recall, confusion, run by run."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from fathom.figures import FigureError, Frames, confusion_matrix, pr_curves
from fathom.figures.charts import Chart, to_plain
from fathom.figures.class_scores import ClassScores, class_scores
from fathom.figures.frames import run_labels
from fathom.figures.metric_tables import METRICS_NOTE
from fathom.metrics import measure

MAX_SCORED: Final = 48  # runs; the tables in CSV and the image files have all
_MAX_MATRIX: Final = 50  # classes of a confusion matrix


def scored_table(frames: Frames) -> dict[str, Any]:
    """Describe the classes of the first 48 runs that recorded scores.

    Returns:
        `note`, and `runs` by run id: `classes`, the rows of `metrics.ClassMetrics`, and `charts`.
        A chart that makes no sense for the classes is left out.
    """
    labels = run_labels(frames)
    found = list(class_scores(frames.runs, frames.scores).items())[:MAX_SCORED]
    runs = {
        run_id: {
            "classes": to_plain(tuple(tuple(row) for row in measure(*answers).classes)),
            "charts": [to_plain(chart) for chart in _charts(labels[run_id], answers)],
        }
        for run_id, answers in found
    }
    return {"note": METRICS_NOTE, "runs": runs}


def _charts(label: str, answers: ClassScores) -> Iterator[Chart]:
    with contextlib.suppress(FigureError):  # too many classes
        curves = pr_curves.PrCurves(((label, pr_curves.curves(answers)),))
        yield replace(pr_curves.chart(curves), note="")  # its means are in the table of runs
    if len(answers.class_names) <= _MAX_MATRIX:
        with contextlib.suppress(FigureError):  # several labels
            matrix = confusion_matrix.shares(answers)
            one = confusion_matrix.Confusion(label, answers.class_names, matrix)
            yield confusion_matrix.chart(confusion_matrix.Confusions((one,)))
