"""Precision over recall of the best network on the test part, one panel for each run."""

from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, Line, Panel, columns_for
from fathom.figures.class_scores import ClassScores, recorded_scores
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.figures.palette import category
from fathom.metrics import Curve, precision_recall

MAX_CLASSES = 20  # curves beyond this cannot be told apart
_MOST_POINTS = 120  # of a curve; evenly along what is seen of it


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
    """Compute the curves; of a long one some points are kept, both ends included.

    Raises:
        FigureError: If no run has scores, there are more than 12 runs or more than 20 classes.
    """
    labels = run_labels(frames)
    found = recorded_scores(frames)
    return PrCurves(tuple((labels[run_id], curves(one)) for run_id, one in found.items()))


def curves(answers: ClassScores) -> tuple[PrCurve, ...]:
    """Compute the curves of one run.

    Raises:
        FigureError: If there are more than 20 classes.
    """
    count = len(answers.class_names)
    if count > MAX_CLASSES:
        raise FigureError(f"{count} classes are too many for one panel; {MAX_CLASSES} at most")
    return tuple(_thinned(curve) for curve in precision_recall(*answers))


def _thinned(curve: Curve) -> PrCurve:
    """Keep points at even distances along a curve, from recall 0 on."""
    recall, precision = curve.recall[::-1], curve.precision[::-1]
    steps = np.abs(np.diff(recall)) + np.abs(np.diff(precision))
    way = np.concatenate([[0.0], np.cumsum(np.nan_to_num(steps))])
    places = np.searchsorted(way, np.linspace(0, way[-1], _MOST_POINTS))
    kept = np.unique(np.concatenate([[0], places, [len(way) - 1]]))
    return PrCurve(curve.name, recall[kept], precision[kept], curve.average_precision)


def chart(numbers: PrCurves) -> Chart:
    """Draw one panel for each run, one line for each class."""
    panels = tuple(
        Panel(
            title=label,
            x=Axis(label="recall", high=1.0),
            y=Axis(label="precision", high=1.0),
            lines=tuple(_line(index, curve) for index, curve in enumerate(of_classes)),
        )
        for label, of_classes in numbers.runs
    )
    means = (
        f"{label} {np.nanmean([curve.average_precision for curve in of_classes]):.3f}"
        for label, of_classes in numbers.runs
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
