"""Initializers compared at each activation: training accuracy and how soon it arrives."""

from fathom.figures.charts import Chart
from fathom.figures.fixed_setting import Comparison, compare, compare_chart
from fathom.figures.frames import Frames


def numbers(frames: Frames, *, target: float | None = None) -> Comparison:
    """Compare the initializers, one panel for each activation.

    Args:
        frames: The chosen runs.
        target: Training accuracy that counts as arrived, in (0, 1]; None for 90 % of the best.

    Raises:
        FigureError: If there is only one initializer.
    """
    return compare(frames, compared="init", fixed="activation", target=target)


def chart(numbers: Comparison) -> Chart:
    """Draw one column of panels for each activation."""
    return compare_chart(numbers, title="Initializers at each activation")
