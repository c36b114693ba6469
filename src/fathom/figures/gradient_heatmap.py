"""Gradient norm of every layer over the epochs, one heat-map for each run."""

from fathom.figures.charts import Chart
from fathom.figures.frames import Frames
from fathom.figures.layer_maps import LayerMaps, map_chart, map_numbers


def numbers(frames: Frames) -> LayerMaps:
    """Arrange |dL/dW| of each layer as layer x epoch.

    Raises:
        FigureError: If there are more than 24 runs, or nothing positive was recorded.
    """
    return map_numbers(frames, "grad_norm")


def chart(numbers: LayerMaps) -> Chart:
    """Draw one panel for each run."""
    return map_chart(
        numbers, title="Gradient norm by layer and epoch", label="L2 norm of dL/dW [nats]"
    )
