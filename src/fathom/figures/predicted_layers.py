"""What theory says of one network layer by layer, before there is anything to measure."""

from dataclasses import replace

import polars as pl

from fathom.figures.charts import Chart
from fathom.figures.predicted_panels import NOTE, Overlay, overlay, overlay_chart


def numbers(layers: pl.DataFrame, network: str) -> Overlay:
    """Take the prediction of one network.

    Args:
        layers: `records.PREDICTION_COLUMNS`, with or without the run.
        network: What the network is, in words.
    """
    return overlay(network, layers, layers.clear(), layers.clear())


def chart(numbers: Overlay) -> Chart:
    """Draw gradient, scale and cosine with their bands."""
    drawn = overlay_chart((numbers._replace(label=""),), title="Predicted before training")
    return replace(drawn, note=f"{numbers.label}. {NOTE}")
