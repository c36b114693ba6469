"""The loop over epochs: rows, selection, early stopping, divergence, going on after a stop."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fathom.data.inputs import input_statistics
from fathom.data.splits import PreparedData, prepare
from fathom.engine.precision import dtype_of
from fathom.engine.run import State, train_cohort
from fathom.engine.tables import CohortResult
from fathom.errors import FathomError
from fathom.models.build import rebuilt_network
from fathom.records import EPOCH_COLUMNS, HISTOGRAM_COLUMNS, LAYER_COLUMNS, RUN_COLUMNS
from fathom.spec.grid import RecordConfig, Run

PRECISION = {"stacked": "float32", "single": "float32", "reference": "float64"}
ENGINES = [*PRECISION]


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def rows(result: CohortResult, run: Run, name: str) -> np.ndarray:
    return result.epochs[name][result.epochs["run_id"] == run.id]


@pytest.mark.parametrize("engine", ENGINES)
def test_tables_have_the_recorded_columns(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    record = RecordConfig(probe_size=64, histograms=True, weights="best_and_last")
    runs = [
        make_run(engine=engine, precision=PRECISION[engine], seed=s, epochs=3, record=record)
        for s in range(2)
    ]
    result = train_cohort(runs, data)
    for table, columns in [
        (result.runs, RUN_COLUMNS),
        (result.epochs, EPOCH_COLUMNS),
        (result.layers, LAYER_COLUMNS),
        (result.histograms, HISTOGRAM_COLUMNS),
    ]:
        assert set(table) == {column.name for column in columns}
        assert len({len(values) for values in table.values()}) == 1
    assert len(result.runs["run_id"]) == 2
    assert len(result.epochs["epoch"]) == 2 * 4
    assert len(result.layers["layer"]) == 2 * 4 * 3
    counted = result.histograms["count"].reshape(-1, 64).sum(1)
    sizes = {64 * 12, 64 * 10, 64 * 12 * 12, 12 * 10, 10 * 10}
    assert set(counted.tolist()) <= sizes


@pytest.mark.parametrize("engine", ENGINES)
def test_training_learns_and_the_first_row_is_untrained(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    run = make_run(engine=engine, precision=PRECISION[engine], hidden=(32,), epochs=40, lr=0.2)
    result = train_cohort([run], data)
    loss, accuracy = rows(result, run, "test_loss"), rows(result, run, "test_accuracy")
    assert loss[0] == pytest.approx(np.log(10), abs=0.8)
    assert loss[-1] < 0.6 < loss[0]
    assert accuracy[-1] > 0.85
    assert result.runs["outcome"].tolist() == ["completed"]
    assert np.isnan(result.layers["update_ratio"][:2]).all()  # no step yet
    assert (result.layers["update_ratio"][2:] > 0).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "sgd"},
        {"optimizer": {"name": "sgd", "momentum": 0.9}},
        {"optimizer": "adam"},
        {"optimizer": "adam", "norm": "layer_norm"},
        {"optimizer": "adam", "norm": "batch_norm", "skip": "residual", "hidden": (9, 9)},
    ],
    ids=str,
)
def test_going_on_gives_the_bits_of_an_uninterrupted_run(
    engine: str, given: dict[str, object], make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [
        make_run(
            engine=engine,
            precision=PRECISION[engine],
            seed=s,
            epochs=5,
            patience=4,
            lr=0.01,
            **given,
        )
        for s in range(3)
    ]
    states: list[State] = []
    whole = train_cohort(runs, data, save_state=lambda make: states.append(make()))
    assert len(states) == 4
    for state in states:
        again = train_cohort(runs, data, state=state)
        assert set(again.weights) == set(whole.weights)
        for name, tensor in whole.weights.items():
            assert torch.equal(again.weights[name], tensor), name
        for mine, theirs in [(again.epochs, whole.epochs), (again.layers, whole.layers)]:
            for name in mine:
                if name != "epoch_time_s":
                    np.testing.assert_array_equal(mine[name], theirs[name])


def test_patience_stops_a_run_at_its_own_time(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """A run with rate 0 never improves after epoch 1; its sibling goes on."""
    frozen = make_run(lr=1e-30, patience=3, epochs=30, activation="tanh")
    learning = make_run(lr=0.1, patience=3, epochs=30, activation="tanh")
    result = train_cohort([frozen, learning], data)
    outcomes = dict(
        zip(result.runs["run_id"].tolist(), result.runs["outcome"].tolist(), strict=True)
    )
    assert outcomes[frozen.id] == "stopped_early"
    assert len(rows(result, frozen, "epoch")) == 1 + 4  # epoch 0, the best at 1, three in vain
    assert len(rows(result, learning, "epoch")) > 8
    reason = str(result.runs["reason"][0])
    assert reason == "validation_accuracy did not improve for 3 epochs after epoch 1"


def test_best_weights_are_those_of_the_best_epoch(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """A large rate makes a late epoch worse; training up to the best epoch alone must agree."""
    run = make_run(lr=1.2, epochs=12, activation="relu", hidden=(16, 16))
    result = train_cohort([run], data)
    best = int(result.runs["best_epoch"][0])
    accuracy = rows(result, run, "validation_accuracy")
    assert best == int(np.argmax(accuracy[1:])) + 1
    assert best < 12, "the case must have its best epoch before its last"
    shorter = make_run(lr=1.2, epochs=best, activation="relu", hidden=(16, 16))
    until_best = train_cohort([shorter], data)
    for name, tensor in until_best.weights.items():
        kind = name.replace(shorter.id, run.id).replace("/last/", "/best/")
        assert torch.equal(result.weights[kind], tensor)


def test_a_part_for_testing_is_never_used_for_selection(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Scrambling the test labels changes no weight and no best epoch."""
    run = make_run(epochs=4)
    honest = train_cohort([run], data)
    targets = data.test.targets.flip(0)
    scrambled = replace(data, test=replace_targets(data, targets))
    other = train_cohort([run], scrambled)
    assert honest.runs["best_epoch"].tolist() == other.runs["best_epoch"].tolist()
    for name, tensor in honest.weights.items():
        assert torch.equal(other.weights[name], tensor)
    assert not np.array_equal(honest.epochs["test_loss"], other.epochs["test_loss"])


def replace_targets(data: PreparedData, targets: torch.Tensor) -> object:
    return replace(data.test, targets=targets)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_validation_nothing_is_selected(engine: str, make_run: Callable[..., Run]) -> None:
    config = replace(make_run().data, protocol="train_test")
    run = make_run(engine=engine, precision=PRECISION[engine], data=config, epochs=2)
    result = train_cohort([run], prepare(config, []))
    assert np.isnan(result.epochs["validation_loss"]).all()
    assert result.runs["best_epoch"].tolist() == [2]
    assert result.runs["outcome"].tolist() == ["completed"]


@pytest.mark.parametrize("engine", ENGINES)
def test_divergence_is_an_outcome_with_step_and_reason(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    run = make_run(
        engine=engine,
        precision=PRECISION[engine],
        activation="square",
        hidden=(16, 16, 16),
        lr=100.0,
        epochs=5,
    )
    result = train_cohort([run], data)
    assert result.runs["outcome"].tolist() == ["diverged"]
    step = int(result.runs["diverged_step"][0])
    assert 1 <= step <= 2 * 8
    assert f"not finite at step {step} (epoch " in str(result.runs["reason"][0])
    assert len(result.epochs["epoch"]) == int(result.runs["epochs_run"][0]) + 1


def test_no_batch_at_all_is_a_user_error(make_run: Callable[..., Run], data: PreparedData) -> None:
    run = make_run(batch_size=4096, drop_last=True)
    with pytest.raises(FathomError, match=r"train\.batch_size: 4096 is more than the 256 training"):
        train_cohort([run], data)


@pytest.mark.parametrize("batch_size", [1, 85])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_of_one_cannot_be_normalised(
    engine: str, batch_size: int, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """256 samples are three batches of 85 and one sample."""
    own = {"engine": engine, "precision": PRECISION[engine], "batch_size": batch_size, "epochs": 1}
    with pytest.raises(FathomError, match=r"a batch of one of the 256 .* batch_norm needs two"):
        train_cohort([make_run(norm="batch_norm", **own)], data)
    if batch_size > 1:
        train_cohort([make_run(norm="batch_norm", drop_last=True, **own)], data)
        train_cohort([make_run(norm="layer_norm", **own)], data)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("skip", ["none", "residual"])
@pytest.mark.parametrize("norm", ["none", "layer_norm", "batch_norm"])
def test_weights_rebuild_the_network_that_was_measured(
    norm: str, skip: str, engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Weights from the table, put into an ordinary module, give the recorded test accuracy."""
    remedies = {"norm": norm, "skip": skip, "hidden": (12, 12)}
    run = make_run(
        epochs=3,
        activation=["gelu", "spline_sigmoid"],
        engine=engine,
        precision=PRECISION[engine],
        **remedies,
    )
    result = train_cohort([run], data)
    prefix = f"{run.id}/last/"
    weights = {k.removeprefix(prefix): v for k, v in result.weights.items() if k.startswith(prefix)}
    shape, dtype, seeds = data.sample_shape, dtype_of(run.precision), (run.study_seed, run.seed)
    net = rebuilt_network(run.model, weights, shape, data.num_classes, dtype, seeds=seeds)
    logits = net(data.scale(data.test.inputs, dtype_of(run.precision)))
    accuracy = (logits.argmax(1) == data.test.targets).double().mean().item()
    assert accuracy == pytest.approx(rows(result, run, "test_accuracy")[-1], abs=1e-9)


@pytest.mark.parametrize("kept", ["best_and_last", "last", "none"])
def test_scores_are_the_best_networks_whatever_weights_are_kept(
    kept: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    record = RecordConfig(probe_size=64, histograms=False, weights=kept, scores=True)  # type: ignore[arg-type]
    runs = [
        make_run(epochs=6, lr=lr, seed=seed, record=record) for seed, lr in ((0, 0.05), (1, 2.0))
    ]
    result = train_cohort(runs, data)
    for index, run in enumerate(runs):
        best = int(result.runs["best_epoch"][index])
        mine = result.scores["run_id"] == run.id
        logits = result.scores["logit"][mine].reshape(-1, data.num_classes)
        hits = (logits.argmax(1) == data.test.targets.numpy()).mean()
        assert hits == pytest.approx(rows(result, run, "test_accuracy")[best], abs=1e-12)
    assert (result.runs["best_epoch"] < 6).any(), "the case must have a best epoch before the last"
    assert {name.split("/")[1] for name in result.weights} == {
        "best_and_last": {"best", "last"},
        "last": {"last"},
        "none": set(),
    }[kept]


def test_a_diverged_run_has_no_accuracy_and_is_never_the_best(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """NaN logits answer class 0 for ever; among samples of class 0 that looks like skill."""
    targets = torch.zeros_like(data.validation.targets)
    lopsided = replace(data, validation=replace(data.validation, targets=targets))
    run = make_run(activation="square", hidden=(16, 16, 16), lr=100.0, epochs=5)
    sibling = make_run(hidden=(16, 16, 16), epochs=5, lr=1e-3)
    result = train_cohort([run, sibling], lopsided)
    end = int(result.runs["epochs_run"][0])
    assert result.runs["outcome"][0] == "diverged"
    assert np.isnan(rows(result, run, "validation_accuracy")[end])
    assert np.isnan(rows(result, run, "test_accuracy")[end])
    assert end == 1, "the case must diverge in its first epoch"
    assert int(result.runs["best_epoch"][0]) == 0
    assert not any(name.startswith(f"{run.id}/best/") for name in result.weights)


@pytest.mark.parametrize("hidden", [(64, 32, 16), (16, 64, 8, 2), (8, 2, 2)], ids=str)
@pytest.mark.parametrize("batch_size", [8, 256, 300])
def test_widths_may_change_from_layer_to_layer(
    hidden: tuple[int, ...], batch_size: int, make_run: Callable[..., Run]
) -> None:
    """The probe, the batch and the evaluation take turns in being the largest."""
    record = RecordConfig(probe_size=256, histograms=False, weights="none")
    run = make_run(hidden=hidden, batch_size=batch_size, record=record)
    result = train_cohort([run], prepare(run.data, []))
    assert np.isfinite(result.epochs["train_loss"]).all()


@pytest.mark.parametrize("probe_size", [40, 10_000])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_layer_sees_these_inputs(
    engine: str, probe_size: int, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """A square orthogonal first layer keeps lengths and angles, so its own columns show them."""
    run = make_run(
        engine=engine,
        init="orthogonal",
        hidden=(data.num_features, 8),
        precision="float64",
        record=RecordConfig(probe_size=probe_size, histograms=False, weights="none"),
    )
    result = train_cohort([run, replace(run, seed=1)], data)
    first = (result.layers["epoch"] == 0) & (result.layers["layer"] == 1)
    recorded = result.runs
    np.testing.assert_allclose(
        recorded["input_mean_square"], result.layers["pre_rms"][first] ** 2, rtol=1e-12
    )
    np.testing.assert_allclose(
        recorded["input_cosine"], result.layers["pre_cosine"][first], rtol=1e-12
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_all_runs_of_all_engines_record_the_same_bits(
    precision: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    found = set()
    for engine in ENGINES:
        if engine == "reference" and precision != "float64":
            continue
        phis = ("relu", "tanh", "square")
        runs = [make_run(engine=engine, activation=phi, precision=precision) for phi in phis]
        table = train_cohort(runs, data).runs
        found |= {*zip(table["input_mean_square"], table["input_cosine"], strict=True)}
    assert found == {input_statistics(data, 64)}
