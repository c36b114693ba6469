"""How the activations of each layer are distributed, in fresh and in trained networks."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Panel, Scale, curve_scale
from fathom.figures.frames import FigureError, Frames
from fathom.figures.histograms import (
    BIN_NOTE,
    NAMES,
    Histogram,
    Key,
    Style,
    check_quantity,
    density,
    density_lines,
    last_epochs,
    recorded,
    run_styles,
    shown_layers,
    unit_for,
)
from fathom.figures.layer_maps import check_run_count

MAX_RUNS = 12
Epoch = int | Literal["last"]


class ActivationHistograms(NamedTuple):
    """What the figure shows.

    Attributes:
        quantity: `activation` or `pre_activation`.
        epochs: A row of panels for each; `last` is each run's own last one.
        last: Last epoch of each run with histograms, by run id.
        layers: Up to six layers, the first and the last among them, from 1.
        styles: Name and line of each run, by run id.
        found: Histograms by run, epoch and layer.
    """

    quantity: str
    epochs: tuple[Epoch, ...]
    last: dict[str, int]
    layers: tuple[int, ...]
    styles: dict[str, Style]
    found: dict[Key, Histogram]

    def of_panel(self, epoch: Epoch, layer: int) -> Iterator[tuple[Style, Histogram]]:
        """Yield what one panel shows, in the order of the runs."""
        for run_id, style in self.styles.items():
            when = self.last.get(run_id, 0) if epoch == "last" else epoch
            histogram = self.found.get(Key(run_id, when, layer))
            if histogram is not None:
                yield style, histogram


def numbers(
    frames: Frames,
    *,
    quantity: str = "activation",
    epoch: Epoch | Sequence[Epoch] = (0, "last"),
) -> ActivationHistograms:
    """Read the histograms of the activations of the probe batch.

    Args:
        frames: At most 12 runs.
        quantity: `activation`, or `pre_activation`, which the output layer has too.
        epoch: After how many epochs: 0 is before training, `last` each run's last one; or several.

    Raises:
        FigureError: If there are too many runs, none has histograms, the quantity is unknown, or
            an epoch was recorded in no run.
    """
    check_run_count(frames, MAX_RUNS)
    check_quantity(quantity, ("activation", "pre_activation"))
    found = recorded(frames, quantity)
    last = last_epochs(found)
    epochs: tuple[Epoch, ...] = (epoch,) if isinstance(epoch, int | str) else tuple(epoch)
    if not epochs:
        raise FigureError("no epoch was chosen")
    for wanted in epochs:
        if wanted != "last" and all(key.epoch != wanted for key in found):
            most = max(last.values())
            raise FigureError(
                f"epoch {repr(wanted)[:40]} has no histograms; there are 0 to {most}, and 'last'"
            )
    return ActivationHistograms(
        quantity, epochs, last, shown_layers(found), run_styles(frames), found
    )


def chart(numbers: ActivationHistograms) -> Chart:
    """Draw a row for each epoch and a column for each layer."""
    places = [(epoch, layer) for epoch in numbers.epochs for layer in numbers.layers]
    contents = [list(numbers.of_panel(*place)) for place in places]
    scale = _scale([histogram for content in contents for _, histogram in content])
    units = [unit_for(numbers.quantity, *(h.edges for _, h in content)) for content in contents]
    panels = tuple(
        Panel(
            title=f"layer {layer}, {_when(epoch)}",
            x=Axis(label=unit.label),
            y=Axis(label="density", scale=scale),
            lines=density_lines(content, unit),
        )
        for (epoch, layer), content, unit in zip(places, contents, units, strict=True)
    )
    return Chart(
        title=f"{NAMES[numbers.quantity].capitalize()}s of the probe batch",
        panels=panels,
        columns=len(numbers.layers),
        note=f"Each panel has its own range of values. {BIN_NOTE}",
    )


def _scale(histograms: Sequence[Histogram]) -> Scale:
    heights = [density(h) for h in histograms if not h.is_point]
    return curve_scale([np.where(y > 0, y, np.nan) for y in heights])


def _when(epoch: Epoch) -> str:
    return "fresh" if epoch == 0 else "last epoch" if epoch == "last" else f"epoch {epoch}"
