"""How the distribution of activations or gradients moves over the epochs, layer by layer."""

from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, HeatMap, Panel
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.figures.histograms import (
    BIN_NOTE,
    NAMES,
    QUANTITIES,
    Histogram,
    check_quantity,
    rebin,
    recorded,
    shown_layers,
    unit_for,
)
from fathom.figures.layer_maps import check_run_count

MAX_RUNS = 4
_MOST_BINS = 1_000
_LOWEST = 1e-4  # share of a bin that has the first colour


class Course(NamedTuple):
    """One quantity of one layer of one run.

    Attributes:
        label: What sets the run apart.
        layer: From 1.
        epochs: [E].
        edges: Edges of the bins, the same for all epochs, [N + 1].
        shares: Share of the values in each bin, [N, E]; each column adds up to 1.
    """

    label: str
    layer: int
    epochs: Floats
    edges: Floats
    shares: Floats


class Distributions(NamedTuple):
    """What the figure shows.

    Attributes:
        quantity: One of `histograms.QUANTITIES`.
        courses: Up to six layers of each run, run by run.
        columns: Panels in a row.
    """

    quantity: str
    courses: tuple[Course, ...]
    columns: int


def numbers(frames: Frames, *, quantity: str = "activation", bins: int = 64) -> Distributions:
    """Count the values of every epoch in the same bins.

    Args:
        frames: At most 4 runs.
        quantity: `activation`, `pre_activation` or `grad_weight`.
        bins: How many, between the smallest and the largest value of all epochs; 2 to 1,000.

    Raises:
        FigureError: If there are too many runs, none has histograms, or an option is out of its
            range.
    """
    check_run_count(frames, MAX_RUNS)
    check_quantity(quantity, QUANTITIES)
    if not (isinstance(bins, int) and 2 <= bins <= _MOST_BINS):
        raise FigureError(f"bins: got {bins!r}; must be an integer from 2 to {_MOST_BINS:,}")
    found = recorded(frames, quantity)
    labels, layers, courses = run_labels(frames), shown_layers(found), []
    for run_id in frames.runs["run_id"]:
        for layer in layers:
            here = {k.epoch: h for k, h in found.items() if k[::2] == (run_id, layer)}
            if here:
                courses.append(_course(labels[run_id], layer, here, bins))
    return Distributions(quantity, tuple(courses), len(layers))


def _course(label: str, layer: int, here: dict[int, Histogram], bins: int) -> Course:
    edges = common_edges(list(here.values()), bins)
    shares = [rebin(h, edges) / h.counts.sum() for h in here.values()]
    return Course(label, layer, np.array([*here], np.float64), edges, np.stack(shares, axis=1))


def common_edges(histograms: list[Histogram], bins: int) -> Floats:
    """Part the range of all histograms evenly; a range of one value is widened around it."""
    low = min(float(h.edges[0]) for h in histograms)
    high = max(float(h.edges[-1]) for h in histograms)
    if high - low <= bins * np.spacing(max(abs(low), abs(high))):
        reach = max(abs(low), abs(high), 1e-300) / 2
        low, high = low - reach, high + reach
    return np.linspace(low, high, bins + 1)


def chart(numbers: Distributions) -> Chart:
    """Draw a row for each run and a column for each layer."""
    several = len({course.label for course in numbers.courses}) > 1
    name = NAMES[numbers.quantity].partition(" [")[0]
    return Chart(
        title=f"Distribution of {name} over epochs",
        panels=tuple(_panel(numbers, course, named=several) for course in numbers.courses),
        columns=numbers.columns,
        note=f"{len(numbers.courses[0].shares)} bins over each panel's own range; the shares of an "
        f"epoch add up to 1. {BIN_NOTE}",
    )


def _panel(numbers: Distributions, course: Course, *, named: bool) -> Panel:
    unit = unit_for(numbers.quantity, course.edges)
    return Panel(
        title=f"{course.label}, layer {course.layer}" if named else f"layer {course.layer}",
        x=Axis(label="epoch"),
        y=Axis(label=unit.label),
        heat_map=HeatMap(
            x=course.epochs,
            y=(course.edges[1:] + course.edges[:-1]) / 2 / unit.size,
            z=course.shares,
            label="share of the values in a bin",
            scale="log",
            low=_LOWEST,
            high=1.0,
        ),
    )
