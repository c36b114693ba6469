"""Layer x epoch matrices of single runs: what both gradient heat-maps have in common."""

from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.figures.charts import Axis, Chart, Floats, HeatMap, Panel, columns_for
from fathom.figures.frames import FigureError, Frames, run_labels, values, varying

MAX_RUNS = 24  # panels beyond this are too small to read
MAX_DECADES = 16.0  # of the colour scale; smaller values share the first colour


class LayerMap(NamedTuple):
    """One quantity of one run.

    Attributes:
        label: What sets the run apart.
        epochs: [E].
        layers: [L], from 1.
        values: [L, E]; NaN where nothing was recorded.
    """

    label: str
    epochs: Floats
    layers: Floats
    values: Floats


class LayerMaps(NamedTuple):
    """What a figure of heat-maps shows.

    Attributes:
        maps: One for each run.
        low: Value of the first colour, shared by all maps.
        high: Value of the last colour.
        columns: Panels in a row.
    """

    maps: tuple[LayerMap, ...]
    low: float
    high: float
    columns: int


def layers_of(frames: Frames, run_id: str) -> pl.DataFrame:
    """Return the layer table of one run."""
    return frames.layers.filter(pl.col("run_id") == run_id)


def layer_matrix(rows: pl.DataFrame, quantity: str) -> tuple[Floats, Floats, Floats]:
    """Arrange one quantity of one run as a matrix.

    Args:
        rows: The layer table of the run, in any order.
        quantity: A column of it.

    Returns:
        Epochs [E], layers [L] and values [L, E]; NaN where nothing was recorded.
    """
    epochs, epoch_index = np.unique(rows["epoch"].to_numpy(), return_inverse=True)
    numbers, layer_index = np.unique(rows["layer"].to_numpy(), return_inverse=True)
    matrix = np.full((len(numbers), len(epochs)), np.nan)
    matrix[layer_index, epoch_index] = rows[quantity].cast(pl.Float64).fill_null(float("nan"))
    return epochs.astype(np.float64), numbers.astype(np.float64), matrix


def check_run_count(frames: Frames, most: int) -> None:
    """Refuse more runs than a figure of single runs can show.

    Raises:
        FigureError: If there are more than `most` runs.
    """
    count = frames.runs.height
    if count > most:
        raise FigureError(
            f"{count} runs are too many for one figure of single runs; choose at most {most} with "
            "runs=[...], activation=..., init=... or depth=..."
        )


def map_numbers(frames: Frames, quantity: str) -> LayerMaps:
    """Arrange a quantity of every run as layer x epoch, with one range of colours for all.

    Raises:
        FigureError: If there are more than 24 runs, or nothing positive was recorded.
    """
    check_run_count(frames, MAX_RUNS)
    labels = run_labels(frames)
    maps = tuple(
        LayerMap(labels[run_id], *layer_matrix(layers_of(frames, run_id), quantity))
        for run_id in frames.runs["run_id"]
    )
    joined = np.concatenate([m.values.ravel() for m in maps])
    shown = joined[np.isfinite(joined) & (joined > 0)]
    if shown.size == 0:
        raise FigureError(f"no run has a positive, finite {quantity}")
    high = float(shown.max())
    low = max(float(shown.min()), high * 10.0**-MAX_DECADES)
    return LayerMaps(maps, low, high, _columns(frames))


def _columns(frames: Frames) -> int:
    """Let a row hold all values of the setting that changes fastest from run to run, if it can."""
    count = frames.runs.height
    for setting in reversed(varying(frames)):
        num_values = len(values(frames.runs, setting))
        changes = frames.runs[setting].to_list()[:2]
        if 3 <= num_values <= 8 and count % num_values == 0 and len(set(changes)) == 2:
            return num_values
    return columns_for(count)


def map_chart(numbers: LayerMaps, *, title: str, label: str) -> Chart:
    """Draw small multiples with a shared logarithmic colour scale."""
    low = numbers.low if numbers.low < numbers.high else numbers.high / 10
    panels = tuple(
        Panel(
            title=found.label,
            x=Axis(label="epoch"),
            y=Axis(label="layer"),
            heat_map=HeatMap(
                x=found.epochs,
                y=found.layers,
                z=found.values,
                label=label,
                scale="log",
                low=low,
                high=numbers.high,
            ),
        )
        for found in numbers.maps
    )
    return Chart(
        title=title,
        panels=panels,
        columns=numbers.columns,
        note="Layer 1 is next to the input. Grey: not a number. Zero has the lowest colour.",
    )
