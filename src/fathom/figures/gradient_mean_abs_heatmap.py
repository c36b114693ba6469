"""Mean absolute gradient of every layer over the epochs, one heat-map for each run."""

from fathom.figures.charts import Chart
from fathom.figures.frames import Frames
from fathom.figures.layer_maps import LayerMaps, map_chart, map_numbers


def numbers(frames: Frames) -> LayerMaps:
    """Arrange the mean of |dL/dW_ij| of each layer as layer x epoch.

    Raises:
        FigureError: If there are more than 24 runs, or nothing positive was recorded.
    """
    return map_numbers(frames, "grad_mean_abs")


def chart(numbers: LayerMaps) -> Chart:
    """Draw one panel for each run."""
    return map_chart(
        numbers,
        title="Mean absolute gradient by layer and epoch",
        label="mean absolute entry of dL/dW [nats]",
    )
