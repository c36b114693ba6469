"""Gradient norm against the layer, one line for each chosen epoch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, Line, Panel, columns_for
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.figures.layer_maps import MAX_RUNS, check_run_count, layer_matrix, layers_of
from fathom.figures.palette import ordered

NUM_EPOCHS = 5


class Profile(NamedTuple):
    """The gradient norms of one run.

    Attributes:
        label: What sets the run apart.
        layers: [L], from 1.
        epochs: The chosen epochs that the run has, [E].
        grad_norm: [E, L]; zero is kept.
    """

    label: str
    layers: Floats
    epochs: tuple[int, ...]
    grad_norm: Floats


class GradientByLayer(NamedTuple):
    """What the figure shows.

    Attributes:
        profiles: One for each run.
        epochs: All chosen epochs in ascending order.
    """

    profiles: tuple[Profile, ...]
    epochs: tuple[int, ...]


def numbers(frames: Frames, *, epochs: Sequence[int] | None = None) -> GradientByLayer:
    """Read the gradient norm of each layer at chosen epochs.

    Args:
        frames: At most 24 runs.
        epochs: Epochs to show; None for up to five, spread evenly from first to last.

    Raises:
        FigureError: If there are too many runs, or an epoch was not recorded in any of them.
    """
    check_run_count(frames, MAX_RUNS)
    recorded = frames.layers["epoch"].unique().sort().to_list()
    if not recorded:
        raise FigureError("no layer was recorded in these runs")
    chosen = choose_epochs(recorded, epochs)
    labels = run_labels(frames)
    profiles = []
    for run_id in frames.runs["run_id"]:
        run_epochs, layers, matrix = layer_matrix(layers_of(frames, run_id), "grad_norm")
        here = np.isin(run_epochs, chosen)
        known = tuple(int(epoch) for epoch in run_epochs[here])
        profiles.append(Profile(labels[run_id], layers, known, matrix[:, here].T))
    return GradientByLayer(tuple(profiles), chosen)


def choose_epochs(recorded: Sequence[int], wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Take the wanted epochs, or up to five spread evenly with the first and the last among them.

    >>> choose_epochs(range(51), None)
    (0, 12, 25, 38, 50)

    Raises:
        FigureError: If a wanted epoch was not recorded.
    """
    if wanted is None:
        places = np.linspace(0, len(recorded) - 1, min(NUM_EPOCHS, len(recorded)))
        return tuple(int(recorded[round(place)]) for place in places)
    missing = sorted(set(wanted) - set(recorded))
    if missing:
        raise FigureError(
            f"epoch {missing[0]} was not recorded; there are {recorded[0]} to {recorded[-1]}"
        )
    return tuple(sorted(set(wanted)))


def chart(numbers: GradientByLayer) -> Chart:
    """Draw one panel for each run; later epochs are lighter."""
    colours = {e: ordered(i, len(numbers.epochs)) for i, e in enumerate(numbers.epochs)}
    panels = tuple(
        Panel(
            title=profile.label,
            x=Axis(label="layer"),
            y=Axis(label="L2 norm of dL/dW [nats]", scale="log"),
            lines=tuple(
                Line(
                    name=f"epoch {epoch}",
                    x=profile.layers,
                    y=norms,
                    colour=colours[epoch],
                    markers=len(profile.layers) <= 12,
                )
                for epoch, norms in zip(profile.epochs, profile.grad_norm, strict=True)
            ),
        )
        for profile in numbers.profiles
    )
    return Chart(
        title="Gradient norm by layer",
        panels=panels,
        columns=columns_for(len(panels)),
        note="Layer 1 is next to the input; a norm of zero is a gap.",
    )
