"""Mean and standard deviation of each layer's activation over the epochs."""

from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, Line, Panel, curve_scale
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.figures.layer_maps import check_run_count, layer_matrix, layers_of
from fathom.figures.palette import ordered

MAX_RUNS = 8
NUM_LAYERS = 6


class ActivationStatistics(NamedTuple):
    """The activations of one run.

    Attributes:
        label: What sets the run apart.
        epochs: [E].
        layers: Shown hidden layers from the input on, [L].
        mean: [L, E].
        std: [L, E].
    """

    label: str
    epochs: Floats
    layers: Floats
    mean: Floats
    std: Floats


class AllActivationStatistics(NamedTuple):
    """What the figure shows: one record for each run."""

    runs: tuple[ActivationStatistics, ...]


def numbers(frames: Frames) -> AllActivationStatistics:
    """Read the activation statistics of up to six hidden layers, the first and the last among them.

    Raises:
        FigureError: If there are more than eight runs, or no layer has an activation.
    """
    check_run_count(frames, MAX_RUNS)
    labels = run_labels(frames)
    found = []
    for run_id in frames.runs["run_id"]:
        rows = layers_of(frames, run_id)
        epochs, layers, mean = layer_matrix(rows, "act_mean")
        std = layer_matrix(rows, "act_std")[2]
        hidden = np.flatnonzero(~np.isnan(mean).all(axis=1)) if epochs.size else np.array([], int)
        if hidden.size == 0:
            continue
        places = np.linspace(0, len(hidden) - 1, min(NUM_LAYERS, len(hidden)))
        shown = hidden[np.round(places).astype(int)]
        found.append(
            ActivationStatistics(labels[run_id], epochs, layers[shown], mean[shown], std[shown])
        )
    if not found:
        raise FigureError("no layer of these runs has an activation")
    return AllActivationStatistics(tuple(found))


def chart(numbers: AllActivationStatistics) -> Chart:
    """Draw one column for each run: the means above, the standard deviations below."""
    mean = Axis(label="mean activation")
    scale = curve_scale([run.std.ravel() for run in numbers.runs])
    std = Axis(label="std of activation", scale=scale)
    upper = [_panel(numbers, run, run.mean, mean) for run in numbers.runs]
    lower = [_panel(numbers, run, run.std, std) for run in numbers.runs]
    return Chart(
        title="Activation statistics by layer over epochs",
        panels=(*upper, *lower),
        columns=len(numbers.runs),
        note="One line for each shown layer; layer 1 is next to the input.",
    )


def _panel(
    numbers: AllActivationStatistics, run: ActivationStatistics, rows: Floats, y: Axis
) -> Panel:
    count = len(run.layers)
    same_layers = all(np.array_equal(other.layers, run.layers) for other in numbers.runs)
    names = [f"layer {layer:g}" for layer in run.layers]
    if not same_layers:  # one legend for networks of different depth
        names = [f"{index / max(count - 1, 1):.0%} of the depth" for index in range(count)]
    lines = tuple(
        Line(
            name=name,
            x=run.epochs,
            y=row,
            colour=ordered(index, count),
            markers=len(run.epochs) == 1,
        )
        for index, (name, row) in enumerate(zip(names, rows, strict=True))
    )
    return Panel(title=run.label, x=Axis(label="epoch"), y=y, lines=lines)
