"""The page's settings and counts of units, as data."""

from dataclasses import replace

import polars as pl

from fathom.report.run_table import NO_DEPTH, setting_table, setting_texts
from fathom.report.units import unit_table
from made_frames import study


def test_only_an_mlp_has_a_depth() -> None:
    """A linear classifier has no hidden layer and one layer; a network with 0 and more is none."""
    frames = study(activations=("relu",), inits=("he",), depths=(1, 2, 3), epochs=1)
    runs = frames.runs.with_columns(depth=pl.Series([0, 0, 3]))
    frames = replace(frames, runs=runs)
    num_layers = [1, 8, 4]
    assert setting_texts(frames, "depth", num_layers) == ["0", NO_DEPTH, "3"]
    (depth,) = (s for s in setting_table(frames, num_layers) if s["name"] == "depth")
    assert [value["label"] for value in depth["values"]] == ["0", "3", NO_DEPTH]


def test_the_depth_is_left_out_where_no_run_has_one() -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(1, 2), epochs=1)
    frames = replace(frames, runs=frames.runs.with_columns(depth=pl.lit(0)))
    names = [described["name"] for described in setting_table(frames, [5, 9])]
    assert names == ["activation", "init"]


def test_units_are_counted_at_the_first_and_the_last_epoch() -> None:
    """Of four units in each layer the first dies."""
    frames = study(
        activations=("relu",), inits=("he",), depths=(2,), epochs=3, odd=False, observed=True
    )
    table = unit_table(frames)
    (found,) = table["runs"].values()
    assert set(table["runs"]) == set(frames.runs["run_id"])
    assert (table["states"], found["epochs"]) == (["alive", "dead"], [0, 3])
    assert found["layers"] == [
        [layer, f"layers.{layer - 1}", 4, [4, 0], [3, 1], 0, 1, 0] for layer in (1, 2)
    ]


def test_nothing_is_told_of_units_that_nobody_counted() -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(2,), epochs=1)
    assert unit_table(frames) == {"states": [], "runs": {}}
