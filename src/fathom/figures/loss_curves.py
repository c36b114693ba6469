"""Loss over epochs on each part of the data."""

from collections.abc import Sequence

from fathom.figures.charts import Chart
from fathom.figures.curves import PARTS, Curves, curve_chart, curve_numbers
from fathom.figures.frames import Frames


def numbers(frames: Frames, *, parts: Sequence[str] = PARTS) -> Curves:
    """Summarise the loss of each group of runs.

    Args:
        frames: The chosen runs.
        parts: Which of `train`, `validation` and `test` to show.

    Raises:
        FigureError: If a part is unknown, or there is no finite loss.
    """
    return curve_numbers(frames, "loss", parts)


def chart(numbers: Curves) -> Chart:
    """Draw the loss in nats; logarithmic when it spans a factor of 30."""
    return curve_chart(numbers, title="Loss", unit="nats")
