"""Precision over recall of the best network on the test part, one panel for each run."""

from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, Line, Panel, columns_for
from fathom.figures.class_scores import class_scores, recorded_runs
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.figures.palette import category
from fathom.metrics import precision_recall

MAX_CLASSES = 20  # curves beyond this cannot be told apart
_MOST_POINTS = 200


class PrCurve(NamedTuple):
    """One class of one run.

    Attributes:
        name: The class.
        recall: [P], rising.
        precision: [P].
        average_precision: Area below the steps of the whole curve.
    """

    name: str
    recall: Floats
    precision: Floats
    average_precision: float


class PrCurves(NamedTuple):
    """What the figure shows: for each run its label and a curve for each class."""

    runs: tuple[tuple[str, tuple[PrCurve, ...]], ...]


def numbers(frames: Frames) -> PrCurves:
    """Compute the curves; of a long one every so many points are kept, both ends included.

    Raises:
        FigureError: If no run has scores, there are more than 12 runs or more than 20 classes.
    """
    labels = run_labels(frames)
    found = []
    for run_id in recorded_runs(frames):
        answers = class_scores(frames.scores, run_id)
        if len(answers.class_names) > MAX_CLASSES:
            count = len(answers.class_names)
            raise FigureError(f"{count} classes are too many for one panel; {MAX_CLASSES} at most")
        curves = []
        for curve in precision_recall(*answers):
            keep = np.unique(np.linspace(0, len(curve.recall) - 1, _MOST_POINTS).round())
            order = keep.astype(int)[::-1]
            kept = PrCurve(
                curve.name, curve.recall[order], curve.precision[order], curve.average_precision
            )
            curves.append(kept)
        found.append((labels[run_id], tuple(curves)))
    return PrCurves(tuple(found))


def chart(numbers: PrCurves) -> Chart:
    """Draw one panel for each run, one line for each class."""
    panels = tuple(
        Panel(
            title=label,
            x=Axis(label="recall", high=1.0),
            y=Axis(label="precision", high=1.0),
            lines=tuple(_line(index, curve) for index, curve in enumerate(curves)),
        )
        for label, curves in numbers.runs
    )
    means = (
        f"{label} {np.nanmean([curve.average_precision for curve in curves]):.3f}"
        for label, curves in numbers.runs
    )
    return Chart(
        title="Precision and recall of each class",
        panels=panels,
        columns=columns_for(len(panels)),
        note=f"Mean average precision: {', '.join(means)}.",
    )


def _line(index: int, curve: PrCurve) -> Line:
    colour, dash = category(index)
    return Line(name=curve.name, x=curve.recall, y=curve.precision, colour=colour, dash=dash)
