"""How the entries of dL/dW are distributed in each layer: by value, and by size in decades."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, Panel
from fathom.figures.frames import FigureError, Frames
from fathom.figures.histograms import (
    BIN_NOTE,
    Histogram,
    Key,
    Style,
    density_lines,
    line_of,
    rebin,
    recorded,
    run_styles,
    shown_layers,
    unit_for,
)
from fathom.figures.layer_maps import check_run_count

MAX_RUNS = 12
_PER_DECADE = 10  # bins of a decade
_MOST_DECADES = 12


class GradientHistograms(NamedTuple):
    """What the figure shows.

    Attributes:
        epoch: When the gradients were taken.
        layers: Up to six layers, the first and the last among them, from 1.
        styles: Name and line of each run, by run id.
        found: Histograms of dL/dW by run, epoch and layer.
        sizes: Edges of the bins for |dL/dW|, the same for all layers; empty if all are 0.
    """

    epoch: int
    layers: tuple[int, ...]
    styles: dict[str, Style]
    found: dict[Key, Histogram]
    sizes: Floats


def numbers(frames: Frames, *, epoch: int = 0) -> GradientHistograms:
    """Read the histograms of the weight gradients of the probe batch.

    Args:
        frames: At most 12 runs.
        epoch: After how many epochs; 0 is before training.

    Raises:
        FigureError: If there are too many runs, none has histograms, or none was recorded at this
            epoch.
    """
    check_run_count(frames, MAX_RUNS)
    every = recorded(frames, "grad_weight")
    found = {key: histogram for key, histogram in every.items() if key.epoch == epoch}
    if not found:
        last = max(key.epoch for key in every)
        raise FigureError(f"epoch {epoch} has no histograms; there are 0 to {last}")
    return GradientHistograms(
        epoch, shown_layers(found), run_styles(frames), found, size_edges(list(found.values()))
    )


def size_edges(histograms: list[Histogram]) -> Floats:
    """Choose bins of equal ratio from a tenth of the finest recorded bin to the largest size."""
    largest = [float(np.abs(h.edges).max()) for h in histograms]
    widths = [float(h.edges[1] - h.edges[0]) for h in histograms if not h.is_point]
    if not widths:
        return np.empty(0)
    high = np.ceil(np.log10(max(largest)) * _PER_DECADE)
    low = np.floor(np.log10(min(widths) / 10) * _PER_DECADE)
    low = max(low, high - _MOST_DECADES * _PER_DECADE)
    return np.asarray(10.0 ** (np.arange(low, high + 1) / _PER_DECADE))


def by_size(histogram: Histogram, sizes: Floats) -> Floats:
    """Return the share of the values whose size lies in each bin, per decade."""
    counts = rebin(histogram, sizes) + rebin(histogram, -sizes[::-1])[::-1]
    share: Floats = counts / histogram.counts.sum() * _PER_DECADE
    return share


def chart(numbers: GradientHistograms) -> Chart:
    """Draw a column for each layer: the density above, shares of sizes per decade below."""
    upper = tuple(_values(numbers, layer) for layer in numbers.layers)
    lower = tuple(_sizes(numbers, layer) for layer in numbers.layers) if numbers.sizes.size else ()
    when = "before training" if numbers.epoch == 0 else f"after epoch {numbers.epoch}"
    return Chart(
        title=f"Weight gradients of the probe batch, {when}",
        panels=(*upper, *lower),
        columns=len(numbers.layers),
        note=f"Above each layer's own range, below one range for all. {BIN_NOTE}",
    )


def _of_layer(numbers: GradientHistograms, layer: int) -> Iterator[tuple[Style, Histogram]]:
    for run_id, style in numbers.styles.items():
        histogram = numbers.found.get(Key(run_id, numbers.epoch, layer))
        if histogram is not None:
            yield style, histogram


def _values(numbers: GradientHistograms, layer: int) -> Panel:
    content = list(_of_layer(numbers, layer))
    unit = unit_for("grad_weight", *(histogram.edges for _, histogram in content))
    return Panel(
        title=f"layer {layer}",
        x=Axis(label=unit.label),
        y=Axis(label="density [1 / nats]", scale="log"),
        lines=density_lines(content, unit),
    )


def _sizes(numbers: GradientHistograms, layer: int) -> Panel:
    middles = np.sqrt(numbers.sizes[1:] * numbers.sizes[:-1])
    return Panel(
        title="",
        x=Axis(label="|dL/dW| [nats]", scale="log"),
        y=Axis(label="share [1 / decade]"),
        lines=tuple(
            line_of(style, middles, by_size(histogram, numbers.sizes))
            for style, histogram in _of_layer(numbers, layer)
        ),
    )
