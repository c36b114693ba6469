"""The figure of the units' life: counts by state, and where the bars stand."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from fathom.figures import FigureError, Frames, make, unit_life
from fathom.figures.unit_life import MAX_BARS, STATE_COLOURS, shown_epochs
from fathom.records import UNIT_STATES
from fathom.store.tables import schema
from made_frames import study

Counts = dict[tuple[int, int], Sequence[str]]  # states of a layer's units by epoch and layer

# Four units, then three. One dies; a layer that has all states is below.
FIRST: Counts = {
    (0, 1): ("alive", "alive", "asleep", "dead"),
    (0, 2): ("alive", "saturated high", "saturated low"),
    (7, 1): ("dead", "alive", "dead", "dead"),
    (7, 2): ("constant", "saturated high", "alive"),
}


def frames(*counts: Counts) -> Frames:
    made = study(
        activations=[f"a{i}" for i in range(len(counts))], inits=("he",), depths=(2,), epochs=7
    )
    rows = [
        {"run_id": run_id, "epoch": epoch, "layer": layer, "unit": unit, "state": state}
        for run_id, one in zip(made.runs["run_id"], counts, strict=True)
        for (epoch, layer), states in one.items()
        for unit, state in enumerate(states)
    ]
    table = pl.DataFrame(rows).sample(fraction=1, shuffle=True, seed=1)  # in no order
    units = pl.concat([pl.DataFrame(schema=schema("units")), table], how="diagonal")
    return dataclasses.replace(made, units=units.lazy())


def place(state: str) -> int:
    return list(UNIT_STATES).index(state)


def test_units_are_counted_by_state_layer_and_epoch() -> None:
    found = unit_life.numbers(frames(FIRST, {(0, 1): ("alive",)}))
    run, other = found.runs
    assert (run.label, other.label) == ("a0", "a1")
    assert run.epochs.tolist() == [0, 7]
    assert run.layers.tolist() == [1, 2]
    np.testing.assert_array_equal(run.counts[place("dead")], [[1, 0], [3, 0]])
    np.testing.assert_array_equal(run.counts[place("alive")], [[2, 1], [1, 1]])
    np.testing.assert_array_equal(run.counts[place("constant")], [[0, 0], [0, 1]])
    np.testing.assert_allclose(run.shares[place("dead")], [[1 / 4, 0], [3 / 4, 0]])
    np.testing.assert_allclose(run.shares[place("saturated high")], [[0, 1 / 3], [0, 1 / 3]])
    np.testing.assert_allclose(run.shares.sum(0), 1)
    assert other.counts.sum() == 1


def test_states_are_named_in_the_order_of_the_records_and_only_if_they_occur() -> None:
    found = unit_life.numbers(frames(FIRST))
    assert found.states == tuple(state for state in UNIT_STATES if state != "no number")
    (legend,) = make("unit_life", frames(FIRST)).legends
    assert tuple(text.get_text() for text in legend.get_texts()) == found.states
    odd = unit_life.numbers(frames({(0, 1): ("no number", "alive")}))
    assert odd.states == ("alive", "no number")


def test_every_state_has_a_colour_of_its_own() -> None:
    assert list(STATE_COLOURS) == list(UNIT_STATES)
    assert len(set(STATE_COLOURS.values())) == len(UNIT_STATES)


def test_a_layer_that_was_not_counted_at_an_epoch_is_a_gap() -> None:
    found = unit_life.numbers(frames({(0, 1): ("alive",), (3, 1): ("dead",), (3, 2): ("alive",)}))
    (run,) = found.runs
    assert np.isnan(run.shares[:, 0, 1]).all()
    assert np.isfinite(run.shares[:, 1]).all()
    figure = make("unit_life", frames({(0, 1): ("alive",), (3, 2): ("dead", "alive")}))
    figure.canvas.draw()


def test_bars_stand_on_each_other_fresh_left_of_last() -> None:
    chart = unit_life.chart(unit_life.numbers(frames(FIRST)))
    (panel,) = chart.panels
    blocks = {one.name: one for one in panel.blocks}
    assert list(blocks) == [state for state in UNIT_STATES if state != "no number"]
    # Bars by epoch, then layer. The three others are above: 2/4 alive, 1/4 asleep, 1/4 dead.
    np.testing.assert_allclose(blocks["alive"].low, 0)
    np.testing.assert_allclose(blocks["alive"].high, [2 / 4, 1 / 3, 1 / 4, 1 / 3])
    np.testing.assert_allclose(blocks["asleep"].high, [3 / 4, 1 / 3, 1 / 4, 1 / 3])
    np.testing.assert_allclose(blocks["dead"].low, [3 / 4, 1 / 3, 1 / 4, 1 / 3])
    np.testing.assert_allclose(blocks["dead"].high, [1, 1 / 3, 1, 1 / 3])
    np.testing.assert_allclose(blocks["constant"].high, 1)
    left, right = blocks["dead"].left, blocks["dead"].right
    middle = (left + right) / 2
    assert middle[0] < 1 < middle[2]  # around the number of their layer
    assert middle[1] < 2 < middle[3]
    np.testing.assert_allclose(middle[0] + middle[2], 2)
    assert right[0] <= left[2]
    assert right[2] < left[1]  # layers stand apart
    assert chart.note == "In each layer: left before training, right after the last epoch."


def test_rectangles_are_painted_where_they_are_described() -> None:
    figure = make("unit_life", frames(FIRST))
    ax = figure.axes[0]
    chart = unit_life.chart(unit_life.numbers(frames(FIRST)))
    described = chart.panels[0].blocks
    for painted, block in zip(ax.collections, described, strict=True):
        for index, path in enumerate(painted.get_paths()):
            x, y = path.vertices[:, 0], path.vertices[:, 1]
            assert (x.min(), x.max()) == (block.left[index], block.right[index])
            assert (y.min(), y.max()) == (block.low[index], block.high[index])
    assert ax.get_ylim() == (0, 1)
    low, high = ax.get_xlim()
    assert low < min(block.left.min() for block in described)
    assert high > max(block.right.max() for block in described)
    assert not ax.lines


def test_of_many_epochs_some_are_shown_the_first_and_the_last_among_them() -> None:
    epochs = shown_epochs(101)
    assert len(epochs) == MAX_BARS
    assert (epochs[0], epochs[-1]) == (0, 100)
    steps = np.diff(epochs)
    assert steps.max() - steps.min() <= 1
    many: Counts = {(epoch, 1): ("alive",) * 3 for epoch in range(101)}
    chart = unit_life.chart(unit_life.numbers(frames(many)))
    assert len(chart.panels[0].blocks[0].left) == MAX_BARS
    assert "Of more than 12 epochs some are shown" in chart.note


def test_a_single_epoch_has_one_bar_for_each_layer() -> None:
    chart = unit_life.chart(unit_life.numbers(frames({(0, 1): ("alive",), (0, 2): ("dead",)})))
    assert chart.note == "One bar for each layer."
    block = chart.panels[0].blocks[0]
    np.testing.assert_allclose((block.left + block.right) / 2, [1, 2])


def test_a_study_without_counts_is_told_how_to_get_them() -> None:
    with pytest.raises(FigureError, match=r"set record\.units: ends in the study"):
        unit_life.numbers(study(activations=("relu",), inits=("he",), depths=(2,), epochs=1))


def test_too_many_runs_are_refused() -> None:
    many = study(activations=("relu",), inits=("he",), depths=range(1, 14), epochs=1, observed=True)
    with pytest.raises(FigureError, match="13 runs are too many"):
        unit_life.numbers(many)
