"""Recorded histograms as arrays: their density, and the same counts in other bins.

Shapes: N bins, N + 1 edges.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from fathom.errors import suggestion
from fathom.figures.charts import Dash, Floats, Line
from fathom.figures.frames import FigureError, Frames, run_labels, varying
from fathom.figures.palette import category, style_of

Quantity = Literal["pre_activation", "activation", "grad_weight"]
QUANTITIES: tuple[str, ...] = get_args(Quantity)
NAMES: Mapping[str, str] = {
    "pre_activation": "pre-activation",
    "activation": "activation",
    "grad_weight": "dL/dW [nats]",
}
NUM_LAYERS = 6
BIN_NOTE = "The values of a recorded bin count as spread evenly over it."


class Histogram(NamedTuple):
    """How often values fall into bins that lie side by side.

    Attributes:
        edges: `[N + 1]`, ascending; all the same where there was one value only.
        counts: `[N]`; the last edge belongs to the last bin.
    """

    edges: Floats
    counts: Floats

    @property
    def is_point(self) -> bool:
        """Whether all values are the same."""
        return bool(self.edges[0] == self.edges[-1])


class Key(NamedTuple):
    """Which histogram of a quantity."""

    run_id: str
    epoch: int
    layer: int


class Style(NamedTuple):
    """How a run's line looks, the same in every panel."""

    label: str
    colour: str
    dash: Dash


def check_quantity(given: str, known: Sequence[str]) -> None:
    """Refuse a quantity that a figure does not know.

    Raises:
        FigureError: If it is not one of `known`.
    """
    if given not in known:
        text = str(given)
        raise FigureError(
            f"unknown quantity {text[:40]!r}.{suggestion(text, known)} Known: {', '.join(known)}"
        )


def recorded(frames: Frames, quantity: str) -> dict[Key, Histogram]:
    """Read the histograms of one quantity in order of epoch and layer.

    A run that had a value that is not finite has no histogram of that epoch and layer.

    Args:
        frames: The study.
        quantity: One of `QUANTITIES`.

    Raises:
        FigureError: If no run has histograms of it.
    """
    wanted = (pl.col("quantity") == quantity) & pl.col("low").is_finite()
    wanted &= pl.col("run_id").is_in(frames.runs["run_id"].implode())
    rows = frames.histograms.filter(wanted).collect().sort("run_id", "epoch", "layer", "bin")
    parts = rows.partition_by("run_id", "epoch", "layer", as_dict=True, maintain_order=True)
    found = {Key(*key): _histogram(part) for key, part in parts.items()}
    if not found:
        raise FigureError("no run has histograms; set record.histograms: true in the study")
    return found


def _histogram(rows: pl.DataFrame) -> Histogram:
    low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
    return Histogram(np.append(low, high[-1]), rows["count"].cast(pl.Float64).to_numpy())


def density(histogram: Histogram) -> Floats:
    """Return `[N]`: the share of the values per unit of the axis, of which the integral is 1."""
    heights: Floats = histogram.counts / (histogram.counts.sum() * np.diff(histogram.edges))
    return heights


def rebin(histogram: Histogram, edges: Floats) -> Floats:
    """Count the same values in other bins, those of a bin being spread evenly over it.

    Args:
        histogram: What was recorded.
        edges: `[M + 1]`, ascending.

    Returns:
        `[M]`; together as many as were recorded where the edges enclose all of them.
    """
    if histogram.is_point:
        counts, _ = np.histogram(histogram.edges[:1], edges)
        return counts.astype(np.float64) * float(histogram.counts.sum())
    below = np.concatenate([[0.0], np.cumsum(histogram.counts)])
    counted: Floats = np.diff(np.interp(edges, histogram.edges, below))
    return counted


class Unit(NamedTuple):
    """A power of ten in which an axis has short numbers.

    Attributes:
        label: Of the axis.
        size: What the values are divided by.
    """

    label: str
    size: float


def unit_for(quantity: str, *values: Floats) -> Unit:
    """Choose a unit for an axis: 1, unless all values are below 0.01 or one is 10,000 or more.

    >>> unit_for("grad_weight", np.array([-3e-5, 0.0]))
    Unit(label='dL/dW [1e-5 nats]', size=1e-05)
    """
    largest = max((float(np.abs(v).max()) for v in values), default=0.0)
    name, _, unit = NAMES[quantity].partition(" [")
    if largest == 0 or 0.01 <= largest < 1e4:
        return Unit(NAMES[quantity], 1.0)
    size = f"1e{math.floor(math.log10(largest))}"
    return Unit(f"{name} [{size} {unit}" if unit else f"{name} [{size}]", float(size))


def density_lines(found: Sequence[tuple[Style, Histogram]], unit: Unit) -> tuple[Line, ...]:
    """Draw densities per 1 into one panel: the upper edges of their bins.

    A histogram of one value only has no density; it is drawn as a bin around it, as narrow as the
    finest of the others.
    """
    widths = [float(h.edges[1] - h.edges[0]) for _, h in found if not h.is_point]
    width = min(widths, default=1.0)
    drawn = [(style, _widened(h, width) if h.is_point else h) for style, h in found]
    return tuple(
        line_of(style, np.repeat(h.edges / unit.size, 2)[1:-1], np.repeat(density(h), 2))
        for style, h in drawn
    )


def _widened(histogram: Histogram, width: float) -> Histogram:
    at, total = histogram.edges[0], histogram.counts.sum()
    width = max(width, 4 * float(np.spacing(abs(at))))  # two edges that differ in float64
    return Histogram(np.array([at - width / 2, at + width / 2]), np.array([total]))


def line_of(style: Style, x: Floats, y: Floats) -> Line:
    """Draw a run's line."""
    return Line(name=style.label, x=x, y=y, colour=style.colour, dash=style.dash)


def last_epochs(found: Iterable[Key]) -> dict[str, int]:
    """Return the last epoch of each run, by run id."""
    last: dict[str, int] = {}
    for key in found:
        last[key.run_id] = max(key.epoch, last.get(key.run_id, 0))
    return last


def shown_layers(found: Mapping[Key, Histogram], most: int = NUM_LAYERS) -> tuple[int, ...]:
    """Choose up to so many layers, the first and the last among them.

    >>> one = Histogram(np.array([0.0, 1.0]), np.array([1.0]))
    >>> shown_layers({Key("a", 0, layer): one for layer in range(1, 51)})
    (1, 11, 21, 30, 40, 50)
    """
    layers = sorted({key.layer for key in found})
    places = np.linspace(0, len(layers) - 1, min(most, len(layers)))
    return tuple(layers[int(place)] for place in np.rint(places))


def run_styles(frames: Frames) -> dict[str, Style]:
    """Give each run a name and a line of its own: of its setting where a single one varies."""
    labels, settings = run_labels(frames), varying(frames)
    rows = frames.runs.select("run_id", *settings).rows()
    if len(settings) == 1 and len({row[1] for row in rows}) == len(rows):
        return {key: Style(labels[key], *style_of(frames, settings[0], v)) for key, v in rows}
    return {row[0]: Style(labels[row[0]], *category(index)) for index, row in enumerate(rows)}
