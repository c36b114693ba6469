"""Which runs share a line, and the summary of a group against values computed by hand."""

import math

import numpy as np
import polars as pl
import pytest

from fathom.figures.frames import Frames, select
from fathom.figures.groups import MAX_LINES, Group, carry_forward, line_of, split, summarise
from fathom.figures.palette import CATEGORIES, category, ordered, style_of
from made_frames import ACTIVATIONS, INITS, small, study


@pytest.fixture(scope="module")
def small_study() -> Frames:
    return small()


@pytest.fixture(scope="module")
def large_study() -> Frames:
    return study(epochs=6)


def test_few_cells_are_a_line_each(small_study: Frames) -> None:
    groups = split(small_study)
    assert [g.name for g in groups[:2]] == ["relu, he_normal, depth 2", "relu, he_normal, depth 4"]
    assert all(len(g.run_ids) == 1 and g.panel == "" for g in groups)
    assert len({(g.colour, g.dash) for g in groups}) == 8


def test_many_cells_become_a_panel_for_each_init_and_a_line_for_each_activation(
    large_study: Frames,
) -> None:
    groups = split(large_study)
    assert len(groups) == len(ACTIVATIONS) * len(INITS)
    assert {g.panel for g in groups} == set(INITS)
    assert all(len(g.run_ids) == 6 for g in groups)
    assert sorted(i for g in groups for i in g.run_ids) == sorted(large_study.runs["run_id"])
    per_panel = [[g.name for g in groups if g.panel == panel] for panel in INITS]
    assert per_panel == [list(ACTIVATIONS)] * len(INITS)


def test_replicates_share_a_line() -> None:
    frames = study(
        activations=("relu", "tanh"), inits=("he",), depths=(2,), seeds=range(5), epochs=1
    )
    assert [(g.name, len(g.run_ids)) for g in split(frames)] == [("relu", 5), ("tanh", 5)]


def test_one_run_is_named_by_itself() -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(2,), epochs=1)
    (group,) = split(frames)
    assert group.name == frames.runs["name"][0]


def test_more_values_than_colours_keep_styles_apart() -> None:
    names = [f"act{index}" for index in range(23)]
    groups = split(study(activations=names, inits=("he",), depths=(2,), epochs=1))
    assert len(groups) == 23 > MAX_LINES
    assert len({(g.colour, g.dash) for g in groups}) == 23


def test_a_value_keeps_its_colour_whatever_is_chosen(large_study: Frames) -> None:
    whole = {g.name: g.colour for g in split(large_study)}
    chosen = split(select(large_study, activation=["sigmoid", "gelu"], init="he_normal", depth=5))
    assert {g.name: g.colour for g in chosen} == {n: whole[n] for n in ("sigmoid", "gelu")}
    assert style_of(large_study, "activation", "tanh") == (CATEGORIES[1], "solid")


def test_palette() -> None:
    assert len({category(index) for index in range(28)}) == 28
    assert (ordered(0, 3), ordered(2, 3)) == ("#471365", "#a0da39")
    assert ordered(0, 1) == "#471365"


def test_summary_is_median_and_range_of_the_finite_values() -> None:
    table = pl.DataFrame({
        "run_id": ["a", "b", "c", "a", "b", "c", "x"],
        "epoch": [1, 1, 1, 0, 0, 0, 0],
        "loss": [math.nan, math.inf, None, 1.0, 2.0, 9.0, 100.0],
    })
    series = summarise(table, Group("", "g", "#000000", "solid", ("a", "b", "c")), "epoch", "loss")
    np.testing.assert_array_equal(series.x, [0, 1])
    np.testing.assert_array_equal(series.median, [2, np.nan])
    np.testing.assert_array_equal(series.low, [1, np.nan])
    np.testing.assert_array_equal(series.high, [9, np.nan])


def test_a_band_needs_two_runs() -> None:
    table = pl.DataFrame({"run_id": ["a", "b"], "epoch": [0, 0], "loss": [1.0, 3.0]})
    for ids, banded in ((("a",), False), (("a", "b"), True)):
        group = Group("", "g", "#000000", "solid", ids)
        line = line_of(group, summarise(table, group, "epoch", "loss"))
        assert (line.low is not None) == banded
        assert line.markers  # a single point would be invisible without


def test_runs_that_ended_early_keep_their_last_row() -> None:
    table = pl.DataFrame({
        "run_id": ["a", "a", "b", "b", "b"],
        "epoch": [0, 1, 0, 1, 3],
        "loss": [5.0, 4.0, 3.0, 2.0, 1.0],
    })
    found = carry_forward(table).sort("run_id", "epoch")
    assert found.filter(pl.col("run_id") == "a").rows() == [
        ("a", 0, 5.0),
        ("a", 1, 4.0),
        ("a", 3, 4.0),
    ]
    assert found.filter(pl.col("run_id") == "b").height == 3
