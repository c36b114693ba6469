"""Accuracy over epochs on each part of the data."""

from collections.abc import Sequence

from fathom.figures.charts import Chart
from fathom.figures.curves import PARTS, Curves, curve_chart, curve_numbers
from fathom.figures.frames import Frames


def numbers(frames: Frames, *, parts: Sequence[str] = PARTS) -> Curves:
    """Summarise the accuracy of each group of runs.

    Args:
        frames: The chosen runs.
        parts: Which of `train`, `validation` and `test` to show.

    Raises:
        FigureError: If a part is unknown, or there is no finite accuracy.
    """
    return curve_numbers(frames, "accuracy", parts)


def chart(numbers: Curves) -> Chart:
    """Draw the accuracy as a share."""
    return curve_chart(numbers, title="Accuracy", unit="share")
