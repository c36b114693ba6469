"""Evidence, verdicts and forecasts of runs written by hand."""

import math
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from fathom.figures.evidence import band_exits, measured, predicted
from fathom.figures.frames import Frames
from fathom.figures.verdict_table import Forecast, forecast, trained, verdict_table
from fathom.records import PREDICTION_COLUMNS
from made_frames import study

LAYER = {
    "grad_pre_rms": 1.0,
    "pre_rms": 1.0,
    "pre_cosine": 0.5,
    "dead_share": 0.0,
    "saturated_share": math.nan,
    "update_ratio": 1e-3,
}


def rows(epoch: int, **columns: list[float]) -> list[dict[str, Any]]:
    """Make the layers of run `a` at one epoch; the last is the output layer."""
    count = len(next(iter(columns.values())))
    return [
        {"run_id": "a", "epoch": epoch, "layer": index + 1}
        | LAYER
        | {name: values[index] for name, values in columns.items()}
        for index in range(count)
    ]


def run(
    layers: list[dict[str, Any]],
    losses: list[float] = (2.0, 1.0),
    theory: dict[str, list[float]] | None = None,
    rates: list[float] | None = None,
    **facts: Any,
) -> Frames:
    """Make a study of one run."""
    table = {"run_id": "a", "name": "a", "outcome": "completed", "num_classes": 10}
    table |= {"activation": "relu", "init": "he", "depth": 3}
    known: dict[str, list[Any]] = {}
    if theory is not None:
        count = len(next(iter(theory.values())))
        known = {c.name: [0.0] * count for c in PREDICTION_COLUMNS}
        known |= {"run_id": ["a"] * count, "layer": list(range(1, count + 1))} | theory
    return Frames(
        runs=pl.DataFrame([table | facts]),
        epochs=pl.DataFrame({
            "run_id": "a",
            "epoch": list(range(len(losses))),
            "lr": rates or [0.0] + [0.1] * (len(losses) - 1),
            "train_loss": losses,
            "train_accuracy": [0.1 + 0.4 * epoch for epoch in range(len(losses))],
        }),
        layers=pl.DataFrame(layers, schema_overrides=dict.fromkeys(LAYER, pl.Float64)),
        settings=(),
        **({"predictions": pl.DataFrame(known)} if known else {}),
    )


def test_what_is_measured_is_of_hidden_layers() -> None:
    layers = rows(
        0,
        grad_pre_rms=[1e-4, 1e-3, 1e-2, 9e9],
        pre_rms=[1.0, 30.0, 10.0, 9e9],
        pre_cosine=[0.2, 0.4, 0.6, 0.9],
        dead_share=[0.1, 0.3, 0.2, math.nan],
        saturated_share=[0.0, math.nan, 0.4, math.nan],
    )
    found = measured(run(layers), "start")["a"]
    assert found.is_finite
    assert found.gradient_span == pytest.approx(-2)
    assert found.smallest_gradient == 1e-4
    assert found.scale_growth == pytest.approx(2)  # of the square
    assert found.largest_rms == 30.0
    assert (found.cosine, found.dead_share, found.saturated_share) == (0.6, 0.3, 0.4)
    assert found.num_classes == 10
    assert math.isnan(found.largest_update)
    assert math.isnan(found.loss)
    assert found.epochs == 0


def test_the_end_has_steps_of_all_layers_and_losses() -> None:
    layers = rows(0, update_ratio=[math.nan] * 3) + rows(
        2, update_ratio=[1e-3, 1e-5, 0.5], grad_pre_rms=[1.0, 10.0, 7.0]
    )
    found = measured(run(layers, [2.0, 1.5, 1.2]), "end")["a"]
    assert (found.smallest_update, found.largest_update) == (1e-5, 0.5)
    assert (found.first_loss, found.loss, found.epochs) == (2.0, 1.2, 2)
    assert found.gradient_span == pytest.approx(-1)


def test_weight_steps_are_those_before_a_schedule_ends_near_zero() -> None:
    layers = [row for e in range(5) for row in rows(e, update_ratio=[1e-3 / 10**e, 0.5 / 10**e])]
    falling = run(layers, [2.0] * 5, rates=[0.0, 0.1, 0.2, 0.1, 1e-9])
    found = measured(falling, "end")["a"]
    assert (found.smallest_update, found.largest_update) == (1e-6, 0.5e-3)
    untrained = measured(run(rows(0, update_ratio=[math.nan]), [2.0]), "end")["a"]
    assert math.isnan(untrained.smallest_update)


def test_the_order_of_rows_does_not_matter() -> None:
    layers = rows(0, grad_pre_rms=[1.0, 10.0, 7.0]) + rows(1, grad_pre_rms=[5.0, 5.0, 5.0])
    assert measured(run(layers[::-1]), "start") == measured(run(layers), "start")
    assert measured(run(layers[::-1]), "end") == measured(run(layers), "end")


@pytest.mark.parametrize(
    ("spoiled", "losses", "facts"),
    [
        ({"grad_pre_rms": [1.0, math.inf, 1.0]}, [2.0, 1.0], {}),
        ({"pre_rms": [1.0, 1.0, math.nan]}, [2.0, 1.0], {}),
        ({"pre_rms": [1.0, 1.0, 1.0]}, [2.0, math.nan], {}),
        ({"pre_rms": [1.0, 1.0, 1.0]}, [2.0, 1.0], {"outcome": "diverged"}),
    ],
)
def test_a_run_that_is_not_finite_has_diverged_at_the_end_only(
    spoiled: dict[str, list[float]], losses: list[float], facts: dict[str, str]
) -> None:
    frames = run(rows(0, pre_rms=[1.0] * 3) + rows(1, **spoiled), losses, **facts)
    assert measured(frames, "start")["a"].is_finite
    assert not measured(frames, "end")["a"].is_finite
    assert verdict_table(frames)["verdict_end"].to_list() == ["diverged"]


def test_from_nothing_there_is_no_growth() -> None:
    found = measured(run(rows(0, pre_rms=[0.0, 1.0, 1.0])), "start")["a"]
    assert math.isnan(found.scale_growth)


def test_a_run_of_which_nothing_was_recorded_is_unknown() -> None:
    frames = run(rows(3, pre_rms=[1.0] * 3))
    frames = Frames(
        runs=frames.runs, epochs=frames.epochs, layers=frames.layers.clear(), settings=()
    )
    table = verdict_table(frames)
    assert table["verdict_start"].to_list() == table["verdict_end"].to_list() == ["unknown"]


@pytest.mark.parametrize(("loss", "known"), [("cross_entropy", math.log(10)), ("mse", math.nan)])
def test_the_loss_of_equal_shares_is_known_for_cross_entropy(loss: str, known: float) -> None:
    found = measured(run(rows(1, pre_rms=[1.0] * 3), loss=loss), "end")["a"]
    assert found.uniform_loss == pytest.approx(known, nan_ok=True)


THEORY = {
    "pre_log10": [0.0, 0.5, 0.25],
    "pre_log10_sd": [0.1, 0.1, 0.1],
    "gradient_log10": [-2.0, -1.0, 0.0],
    "gradient_log10_sd": [0.3, 0.2, 0.0],
    "pre_cosine": [0.3, 0.4, 0.5],
    "dead_share": [0.0, 0.2, 0.1],
    "saturated_share": [math.nan] * 3,
}


def test_as_many_probes_count_as_there_were() -> None:
    frames = study(activations=("relu",), inits=("he_normal",), depths=(5,), odd=False)
    asked = frames.runs.with_columns(probe_size=pl.lit(256))
    for recorded, expected in ((5, 5), (None, 256)):
        told = asked.with_columns(num_probes=pl.lit(recorded, dtype=pl.Int64))
        for evidence in (
            measured(replace(frames, runs=told), "start"),
            predicted(replace(frames, runs=told)),
        ):
            assert [each.num_probes for each in evidence.values()] == [expected]


def test_what_is_predicted() -> None:
    found = predicted(run(rows(0, pre_rms=[1.0] * 4), theory=THEORY))["a"]
    assert (found.gradient_span, found.span_sd, found.cosine) == (-2.0, 0.3, 0.5)
    assert found.scale_growth == pytest.approx(0.5)
    assert found.largest_rms == pytest.approx(math.sqrt(10))
    assert found.dead_share == 0.2
    assert math.isnan(found.saturated_share)
    assert found.num_classes == 10
    assert measured(run(rows(0, pre_rms=[1.0] * 4), theory=THEORY), "start")["a"].span_sd == 0.3


def test_a_prediction_beyond_all_numbers_of_float32_diverges() -> None:
    """The largest is 2^128, less a little: 10^38.53."""
    for scale, name in ((38.5, "exploding"), (38.6, "diverged"), (math.inf, "diverged")):
        frames = run(
            rows(0, pre_rms=[1.0] * 4),
            theory=THEORY | {"pre_log10": [0.0, 0.0, scale], "gradient_log10": [0.0] * 3},
        )
        assert verdict_table(frames)["verdict_predicted"].to_list() == [name]


def test_layers_where_saturation_is_not_defined_do_not_count() -> None:
    theory = THEORY | {"saturated_share": [0.1, math.nan, 0.4]}
    assert predicted(run(rows(0, pre_rms=[1.0] * 4), theory=theory))["a"].saturated_share == 0.4


@pytest.mark.parametrize(
    ("span", "exit_layer"),
    [
        # Logarithms relative to layer 3; the band is -2 +- 0.6 in layer 1, -1 +- 0.4 in layer 2.
        ([-2.59, -1.39], None),
        ([-2.61, -1.0], 1),
        ([-2.0, -0.59], 2),
        ([-9.0, -9.0], 2),  # the way of the gradient: back from the last layer
        ([-math.inf, -1.0], 1),
        ([math.nan, -1.0], None),
    ],
)
def test_where_the_gradient_leaves_its_band(span: list[float], exit_layer: int | None) -> None:
    grads = [7.0 * 10**s for s in span] + [7.0, 1.0]
    found = band_exits(run(rows(0, grad_pre_rms=grads), theory=THEORY))
    assert found["leaves_band_layer"].to_list() == [exit_layer]


@pytest.mark.parametrize(
    ("logs", "exit_layer"),
    [([0.19, 0.31, 0.44], None), ([0.0, 0.29, 0.9], 2), ([0.0, 0.5, 0.46], 3), ([9, 9, 9], 1)],
)
def test_where_the_scale_leaves_its_band(logs: list[float], exit_layer: int | None) -> None:
    found = band_exits(run(rows(0, pre_rms=[*(10.0**x for x in logs), 1.0]), theory=THEORY))
    assert found["scale_leaves_band_layer"].to_list() == [exit_layer]


def test_only_the_state_before_training_is_held_against_the_band() -> None:
    layers = rows(0, grad_pre_rms=[0.01, 0.1, 1.0, 1.0], pre_rms=[1.0, 3.2, 1.8, 1.0])
    frames = run(layers + rows(1, grad_pre_rms=[1e3] * 4), theory=THEORY)
    assert band_exits(frames).row(0) == ("a", None, None)


def test_the_table_tells_numbers_verdicts_and_sentences() -> None:
    layers = rows(0, grad_pre_rms=[1e-4, 1e-2, 1.0, 1.0]) + rows(1, grad_pre_rms=[1.0] * 4)
    table = verdict_table(run(layers, theory=THEORY)).row(0, named=True)
    assert table["span_measured"] == pytest.approx(-4)
    assert (table["span_predicted"], table["span_predicted_sd"]) == (-2.0, 0.3)
    names = [table[f"verdict_{when}"] for when in ("predicted", "start", "end")]
    assert names == ["borderline", "vanishing", "healthy"]
    assert "is -4, at most -3 (predicted before training: -2)" in table["sentence_start"]
    assert table["leaves_band_layer"] == 2
    assert table["trained"] is True


def test_a_run_without_a_prediction_has_the_reason_for_its_verdict() -> None:
    frames = run(rows(0, pre_rms=[1.0] * 4))
    table = verdict_table(frames).row(0, named=True)
    assert math.isnan(table["span_predicted"])
    assert table["sentence_predicted"] == "no prediction: none was made for this run"
    told = Frames(
        runs=frames.runs,
        epochs=frames.epochs,
        layers=frames.layers,
        settings=(),
        obstacles={"a": "a pole at 0"},
    )
    assert verdict_table(told)["sentence_predicted"].to_list() == ["no prediction: a pole at 0"]


@pytest.mark.parametrize(
    ("accuracy", "classes", "outcome", "learned"),
    [
        (0.19, 10, "completed", True),
        (0.189, 10, "completed", False),
        (0.55, 2, "completed", True),
        (0.549, 2, "completed", False),
        (0.9, 10, "stopped_early", True),
        (0.9, 10, "diverged", False),
        (0.9, None, "completed", None),
        (math.nan, 10, "completed", None),
    ],
)
def test_a_run_trained_a_tenth_of_the_way_from_chance(
    accuracy: float, classes: int | None, outcome: str, learned: bool | None
) -> None:
    frames = run(rows(0, pre_rms=[1.0] * 3), outcome=outcome, num_classes=classes)
    epochs = frames.epochs.with_columns(train_accuracy=pl.lit(accuracy))
    frames = Frames(runs=frames.runs, epochs=epochs, layers=frames.layers, settings=())
    assert trained(frames)["trained"].to_list() == [learned]
    without = Frames(
        runs=frames.runs.drop("num_classes"), epochs=epochs, layers=frames.layers, settings=()
    )
    assert trained(without)["trained"].to_list() == [False if outcome == "diverged" else None]


def test_the_forecast_counts_every_run_once() -> None:
    verdicts = ["healthy", "borderline", "vanishing", "exploding", "no prediction", "healthy"]
    table = pl.DataFrame({
        "run_id": list("abcdef"),
        "verdict_predicted": verdicts,
        "trained": [True, False, True, False, True, None],
    })
    frames = run(rows(0, pre_rms=[1.0] * 3))
    found = forecast(frames, table)
    assert found == Forecast(1, 1, 1, 1, unpredicted=1, unknown=1, obstacles=())
    assert found.sentence == (
        "Theory expected 2 of 4 runs to train; 1 of these did, and so did 1 of the other 2. "
        "Not known whether they trained: 1. Runs without a prediction: 1."
    )


def test_a_shared_reason_is_told_once() -> None:
    frames = study(activations=("relu", "tanh"), epochs=1)
    found = forecast(frames, verdict_table(frames))
    assert found.unpredicted == len(frames.obstacles) > 1
    assert found.num_predicted + found.unpredicted == frames.runs.height
    assert found.sentence.endswith(f"{found.unpredicted} (no mean-field limit: a pole at 0).")
