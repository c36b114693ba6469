"""The three panels that tell of one network layer by layer: gradient, scale and cosine."""

from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.figures.charts import Axis, Chart, Floats, Line, Panel, Points
from fathom.figures.evidence import BAND_SDS

PREDICTED, START, END = "#7f7f7f", "#0072b2", "#e69f00"
BAND_NAME = "predicted, with two standard deviations"
NOTE = (
    "Hidden layers; 1 is next to the input. Gradient: log10 of rms dL/dh over that in the last "
    "hidden layer. Scale: log10 of rms h. Cosine between two inputs' h. A gap: 0, or not finite."
)


class Profile(NamedTuple):
    """One quantity of one network in every hidden layer, each [L]; NaN where there is none.

    Attributes:
        mean: Predicted before training.
        low: Lower edge of the band.
        high: Upper edge of it.
        start: Measured before training.
        end: Measured at the last epoch.
    """

    mean: Floats
    low: Floats
    high: Floats
    start: Floats
    end: Floats


class Overlay(NamedTuple):
    """One network.

    Attributes:
        label: What it is.
        layers: [L], from 1.
        gradient: log10 of the rms of dL/dh over that in the last hidden layer, in decades.
        scale: log10 of the rms of the pre-activations, in decades.
        cosine: Cosine between two inputs' pre-activations; it has no band.
    """

    label: str
    layers: Floats
    gradient: Profile
    scale: Profile
    cosine: Profile


def overlay(label: str, predicted: pl.DataFrame, start: pl.DataFrame, end: pl.DataFrame) -> Overlay:
    """Lay what was measured of one network over what is predicted.

    Args:
        label: What the network is.
        predicted: Its rows of `records.PREDICTION_COLUMNS`, or none.
        start: Its rows of `evidence.hidden_log10` before training, or none.
        end: The same at the last epoch.
    """
    tables = (predicted, start, end)
    layers = np.unique(np.concatenate([t["layer"].to_numpy() for t in tables]).astype(np.int64))

    def profile(name: str, *, has_band: bool = True) -> Profile:
        mean, first, last = (_column(table, layers, name) for table in tables)
        sd = _column(predicted, layers, f"{name}_sd") if has_band else np.zeros(len(layers))
        return Profile(mean, mean - BAND_SDS * sd, mean + BAND_SDS * sd, first, last)

    return Overlay(
        label,
        layers.astype(np.float64),
        profile("gradient_log10"),
        profile("pre_log10"),
        profile("pre_cosine", has_band=False),
    )


def _column(
    table: pl.DataFrame, layers: "np.ndarray[tuple[int], np.dtype[np.int64]]", name: str
) -> Floats:
    values = np.full(len(layers), np.nan)
    places = np.searchsorted(layers, table["layer"].to_numpy())
    values[places] = table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values


def panels(found: Overlay) -> tuple[Panel, Panel, Panel]:
    """Draw one row; every network has axes of its own, or a band could not be seen."""
    axes = (
        Axis(label="gradient [decades]", shared=False),
        Axis(label="scale [decades]", shared=False),
        Axis(label="cosine", shared=False),
    )
    profiles = (found.gradient, found.scale, found.cosine)
    titles = (found.label, "", "")
    first, second, third = (
        Panel(
            title=title,
            x=Axis(label="layer"),
            y=axis,
            lines=_prediction(found.layers, profile),
            points=_measurements(found.layers, profile),
        )
        for title, axis, profile in zip(titles, axes, profiles, strict=True)
    )
    return first, second, third


def _prediction(layers: Floats, profile: Profile) -> tuple[Line, ...]:
    if not np.isfinite(profile.mean).any():
        return ()
    has_band = bool((profile.high > profile.low).any())
    return (
        Line(
            name=BAND_NAME,
            x=layers,
            y=profile.mean,
            low=profile.low if has_band else None,
            high=profile.high if has_band else None,
            colour=PREDICTED,
            markers=len(layers) == 1,
        ),
    )


def _measurements(layers: Floats, profile: Profile) -> tuple[Points, ...]:
    """Put the end below the start, which is what the prediction is about."""
    end = Points(
        name="measured at the last epoch", x=layers, y=profile.end, colour=END, marker="ring"
    )
    start = Points(name="measured before training", x=layers, y=profile.start, colour=START)
    return tuple(points for points in (end, start) if np.isfinite(points.y).any())


def overlay_chart(found: tuple[Overlay, ...], *, title: str) -> Chart:
    """Draw a row of three panels for each network."""
    rows = tuple(panel for one in found for panel in panels(one))
    return Chart(title=title, panels=rows, columns=3, note=NOTE)
