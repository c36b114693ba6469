"""What is read from the frames, against values computed by hand."""

import math
from dataclasses import replace

import polars as pl
import pytest

from fathom.figures.frames import (
    FigureError,
    Frames,
    final_metrics,
    gradient_spans,
    in_order,
    run_labels,
    select,
    values,
    varying,
)
from made_frames import small, study


@pytest.fixture(scope="module")
def small_study() -> Frames:
    return small()


def layers_of(run_id: str, epoch: int, grad_pre_rms: list[float]) -> pl.DataFrame:
    count = len(grad_pre_rms)
    return pl.DataFrame({
        "run_id": [run_id] * count,
        "epoch": [epoch] * count,
        "layer": list(range(1, count + 1)),
        "grad_pre_rms": grad_pre_rms,
    })


def frames_of(layers: pl.DataFrame, ids: list[str]) -> Frames:
    runs = pl.DataFrame({
        "run_id": ids,
        "name": ids,
        "activation": "relu",
        "init": "he",
        "depth": 1,
    })
    epochs = pl.DataFrame({"run_id": ids, "epoch": 0})
    return Frames(runs=runs, epochs=epochs, layers=layers, settings=())


def test_gradient_span_compares_first_and_last_hidden_layer() -> None:
    # The last layer, the output, has 5e9 and must not matter; the order of rows must not either.
    layers = pl.concat([
        layers_of("a", 2, [1e-3, 0.5, 1.0, 5e9]),
        layers_of("a", 0, [100.0, 7.0, 1.0, 5e9]),
    ]).sort("layer", descending=True)
    row = gradient_spans(frames_of(layers, ["a"])).row(0, named=True)
    assert row["span_start"] == pytest.approx(2.0)
    assert row["span_end"] == pytest.approx(-3.0)


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [(0.0, 1.0, -math.inf), (1.0, 0.0, math.inf), (math.nan, 1.0, math.nan), (0.0, 0.0, math.nan)],
)
def test_gradient_span_of_extremes(first: float, last: float, span: float) -> None:
    found = gradient_spans(frames_of(layers_of("a", 0, [first, last, 1.0]), ["a"]))
    assert found["span_start"][0] == pytest.approx(span, nan_ok=True)


def test_gradient_span_of_a_single_layer_is_zero_and_of_no_layer_null() -> None:
    found = gradient_spans(frames_of(layers_of("b", 0, [3.0]), ["a", "b"]))
    assert found["span_start"].to_list() == [None, 0.0]


def test_final_metrics_are_those_of_each_runs_last_epoch() -> None:
    frames = frames_of(layers_of("a", 0, [1.0]), ["b", "a", "c"])
    epochs = pl.DataFrame({
        "run_id": ["a", "a", "b", "b", "b"],
        "epoch": [1, 0, 0, 2, 1],
        "test_accuracy": [0.7, 0.1, 0.2, 0.9, 0.3],
    })
    found = final_metrics(
        Frames(runs=frames.runs, epochs=epochs, layers=frames.layers, settings=())
    )
    assert found["run_id"].to_list() == ["b", "a", "c"]
    assert found["test_accuracy"].to_list() == [0.9, 0.7, None]


def test_values_sort_numbers_and_keep_the_order_of_texts() -> None:
    table = pl.DataFrame({"depth": [20, 5, 20], "init": ["xavier", "he", "xavier"]})
    assert values(table, "depth") == (5, 20)
    assert values(table, "init") == ("xavier", "he")


def test_varying_leaves_out_replicates_and_constants() -> None:
    frames = study(
        activations=("relu",), inits=("he", "xavier"), depths=(2, 3), seeds=(0, 1), epochs=1
    )
    assert varying(frames) == ("init", "depth")


def test_run_labels_fall_back_to_names_where_settings_do_not_tell_runs_apart() -> None:
    frames = study(activations=("relu", "tanh"), inits=("he",), depths=(2,), epochs=1)
    assert sorted(run_labels(frames).values()) == ["relu", "tanh"]
    repeated = study(
        activations=("relu", "tanh"), inits=("he",), depths=(2,), seeds=(0, 1), epochs=1
    )
    labels = {f"{phi}, seed {seed}" for phi in ("relu", "tanh") for seed in (0, 1)}
    assert set(run_labels(repeated).values()) == labels
    alone = study(activations=("relu",), inits=("he",), depths=(2,), seeds=(0, 1), epochs=1)
    assert set(run_labels(alone).values()) == {"seed 0", "seed 1"}
    (name,) = (one := select(alone, seed=1)).runs["name"]
    assert list(run_labels(one).values()) == [name]
    unclear = replace(repeated, runs=repeated.runs.with_columns(seed=0))
    assert sorted(run_labels(unclear).values()) == sorted(repeated.runs["name"])


def test_a_whole_number_is_found_among_others() -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(2, 4), epochs=1)
    rates = replace(frames, runs=frames.runs.with_columns(lr=pl.Series([0.05, 100.0])))
    assert select(rates, lr=100).runs["depth"].to_list() == [4]
    assert select(frames, depth=4.0).runs["depth"].to_list() == [4]
    with pytest.raises(FigureError, match=r"There are: 0\.05, 100\.0"):
        select(rates, lr=1)


def test_select_keeps_the_epochs_and_layers_of_the_chosen_runs(small_study: Frames) -> None:
    chosen = select(small_study, activation="tanh", depth=[2, 4], init=None)
    assert set(chosen.runs["activation"]) == {"tanh"}
    assert chosen.runs.height == 4
    for table in (chosen.epochs, chosen.layers):
        assert set(table["run_id"]) == set(chosen.runs["run_id"])


def test_select_takes_run_ids_and_names(small_study: Frames) -> None:
    run = small_study.runs.row(3, named=True)
    other = small_study.runs.row(5, named=True)
    chosen = select(small_study, runs=[run["run_id"], other["name"]])
    assert chosen.runs["run_id"].to_list() == [run["run_id"], other["run_id"]]


def test_select_says_what_there_is(small_study: Frames) -> None:
    with pytest.raises(FigureError, match=r"no run with activation 'rellu'. Did you mean 'relu'\?"):
        select(small_study, activation="rellu")
    with pytest.raises(FigureError, match="There are: 2, 4"):
        select(small_study, depth=3)
    run = small_study.runs.filter(pl.col("activation") == "relu")["run_id"][0]
    with pytest.raises(FigureError, match="no run has this combination"):
        select(small_study, activation="tanh", runs=run)


def test_in_order_sorts_by_the_values_of_the_settings(small_study: Frames) -> None:
    shuffled = Frames(
        runs=small_study.runs.sort("run_id"),
        epochs=small_study.epochs,
        layers=small_study.layers,
        settings=small_study.settings,
    )
    rows = in_order(shuffled).runs.select("activation", "init", "depth").rows()
    first = shuffled.runs["activation"][0]
    assert [row[0] for row in rows] == [first] * 4 + [rows[-1][0]] * 4
    assert [row[2] for row in rows] == [2, 4] * 4
