"""Activations compared at each initializer: training accuracy and how soon it arrives."""

from fathom.figures.charts import Chart
from fathom.figures.fixed_setting import Comparison, compare, compare_chart
from fathom.figures.frames import Frames


def numbers(frames: Frames, *, target: float | None = None) -> Comparison:
    """Compare the activations, one panel for each initializer.

    Args:
        frames: The chosen runs.
        target: Training accuracy that counts as arrived, in (0, 1]; None for 90 % of the best.

    Raises:
        FigureError: If there is only one activation.
    """
    return compare(frames, compared="activation", fixed="init", target=target)


def chart(numbers: Comparison) -> Chart:
    """Draw one column of panels for each initializer."""
    return compare_chart(numbers, title="Activations at each initializer")
