"""What became of the units of each layer: alive, dead, saturated, from epoch to epoch."""

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from fathom.figures.cases import case_labels
from fathom.figures.charts import Axis, Blocks, Chart, Floats, Panel, columns_for
from fathom.figures.frames import FigureError, Frames
from fathom.figures.layer_maps import check_run_count
from fathom.records import UNIT_STATES
from fathom.unit_life import count_states

MAX_RUNS: Final = 12
MAX_BARS: Final = 12  # of one layer; more could not be told apart

# What learns is blue and green, what does not is warm; each differs in brightness, too.
STATE_COLOURS: Final = {
    "alive": "#56b4e9",
    "asleep": "#0072b2",
    "dead": "#1a1a1a",
    "saturated low": "#d55e00",
    "saturated high": "#e69f00",
    "constant": "#cc79a7",
    "no number": "#c8c8c8",
}
_PLACES: Final = tuple(enumerate(UNIT_STATES))
_GROUP: Final = 0.84  # of the place of a layer


class RunUnits(NamedTuple):
    """The units of one run.

    Attributes:
        label: What sets the run apart.
        epochs: At which units were counted, [E], ascending.
        layers: [L], from 1.
        shares: Share of a layer's units in each state of `UNIT_STATES`, [S, E, L]; NaN where
            nothing was counted.
        counts: The same in units.
    """

    label: str
    epochs: Floats
    layers: Floats
    shares: Floats
    counts: Floats


class UnitLife(NamedTuple):
    """What the figure shows.

    Attributes:
        runs: Those whose units were counted.
        states: States that occur, in the order of `UNIT_STATES`.
    """

    runs: tuple[RunUnits, ...]
    states: tuple[str, ...]


def numbers(frames: Frames) -> UnitLife:
    """Count the units in each state, by layer and epoch.

    Raises:
        FigureError: If there are more than 12 runs, or the units of none were counted.
    """
    check_run_count(frames, MAX_RUNS)
    counted = count_states(frames.units.collect()).partition_by("run_id", as_dict=True)
    if not counted:
        raise FigureError("no run has counts of units; set record.units: ends in the study")
    labels = case_labels(frames)
    runs = tuple(
        _arrange(labels[key], counted[key,]) for key in frames.runs["run_id"] if (key,) in counted
    )
    occurring = [any((run.counts[place] > 0).any() for run in runs) for place, _ in _PLACES]
    return UnitLife(runs, tuple(state for place, state in _PLACES if occurring[place]))


def _arrange(label: str, rows: pl.DataFrame) -> RunUnits:
    epochs, epoch = np.unique(rows["epoch"].to_numpy(), return_inverse=True)
    layers, layer = np.unique(rows["layer"].to_numpy(), return_inverse=True)
    state = np.array([UNIT_STATES.index(name) for name in rows["state"]])
    counts = np.zeros((len(UNIT_STATES), len(epochs), len(layers)))
    counts[state, epoch, layer] = rows["count"].to_numpy()
    counts[:, counts.sum(0) == 0] = np.nan
    shares = counts / counts.sum(0)
    return RunUnits(label, epochs.astype(np.float64), layers.astype(np.float64), shares, counts)


def chart(numbers: UnitLife) -> Chart:
    """Draw a panel for each run: a group of stacked bars for each layer, a bar for each epoch."""
    panels = tuple(
        Panel(
            title=run.label,
            x=Axis(label="layer"),
            y=Axis(label="share of the units"),
            blocks=_blocks(run, numbers.states),
        )
        for run in numbers.runs
    )
    return Chart(
        title="Life of the units, over the whole training part",
        panels=panels,
        columns=columns_for(len(panels), most=4),
        note=_note(numbers),
    )


def _note(numbers: UnitLife) -> str:
    most = max(len(run.epochs) for run in numbers.runs)
    if most == 1:
        return "One bar for each layer."
    if most == 2:
        return "In each layer: left before training, right after the last epoch."
    thinned = f" Of more than {MAX_BARS} epochs some are shown." if most > MAX_BARS else ""
    return f"In each layer from left to right: before training to after the last epoch.{thinned}"


def _blocks(run: RunUnits, states: tuple[str, ...]) -> tuple[Blocks, ...]:
    """Stack the states on each other, the first one at the bottom."""
    epochs = shown_epochs(len(run.epochs))
    shares = run.shares[:, epochs]
    tops = shares.cumsum(0)
    left, right = _edges(run.layers, len(epochs))
    return tuple(
        Blocks(
            name=state,
            left=left.ravel(),
            right=right.ravel(),
            low=(tops[place] - shares[place]).ravel(),
            high=tops[place].ravel(),
            colour=STATE_COLOURS[state],
        )
        for place, state in _PLACES
        if state in states
    )


def shown_epochs(count: int) -> list[int]:
    """Choose the places of at most 12 of `count` epochs, evenly, with the first and the last.

    >>> shown_epochs(3), len(shown_epochs(101)), shown_epochs(101)[-1]
    ([0, 1, 2], 12, 100)
    """
    if count <= MAX_BARS:
        return list(range(count))
    return [round(place * (count - 1) / (MAX_BARS - 1)) for place in range(MAX_BARS)]


def _edges(layers: Floats, num_epochs: int) -> tuple[Floats, Floats]:
    """Return the left and the right edges of the bars, [E, L]; few bars have gaps between them."""
    width = _GROUP / num_epochs
    left = layers - _GROUP / 2 + width * np.arange(num_epochs)[:, None]
    gap = 0.08 if 1 < num_epochs <= 4 else 0.0
    return left + gap / 2 * width, left + (1 - gap / 2) * width
