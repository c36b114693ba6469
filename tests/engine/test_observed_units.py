"""Units of networks while they train: each planted one is found at its epoch, in every engine."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from observation_cases import (
    DEAD,
    ENDS,
    ENGINES,
    EVERY,
    numbers_of,
    on_moons,
    record,
    relu_counts,
    states,
    units,
)

from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import CohortTraining, train_cohort
from fathom.engine.tables import collect_result
from fathom.models.mlp import initial_weights
from fathom.records import UNIT_COLUMNS
from fathom.spec.grid import Run
from fathom.unit_life import lives


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


@pytest.fixture(scope="module")
def moons(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(on_moons(make_run).data, [])


def train_with_edits(run: Run, data: PreparedData, edits: Mapping[int, Mapping[int, float]]) -> Any:
    """Train, and set biases of the first layer before an epoch: `{epoch: {unit: bias}}`."""
    training = CohortTraining([run], data)
    training.start()
    while not training.done:
        state = training.state()
        for unit, bias in edits.get(training.progress.epoch + 1, {}).items():
            state["engine.run0.net.layers.0.bias"][unit] = bias
        training.load(state)
        training.advance()
    return collect_result(training.runs, training.progress, data)


def test_planted_units_die_and_revive_at_their_epochs(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    run = make_run(engine="single", epochs=4, lr=1e-3, hidden=(12, 10), record=EVERY)
    result = train_with_edits(run, data, {2: {3: DEAD, 7: DEAD}, 4: {7: 0.5}})
    born = numbers_of(states(result, 0, 1), "dead")
    assert not {3, 7} & {*born}
    dead = [numbers_of(states(result, epoch, 1), "dead") for epoch in range(5)]
    assert dead == [sorted({*born, *planted}) for planted in ((), (), (3, 7), (3, 7), (3,))]
    rows = lives(units(result)).filter(pl.col("layer") == 1).rows_by_key("unit", named=True)
    fates = {unit: (row["died_at"], row["revived_at"]) for unit, (row,) in rows.items()}
    assert {unit: fate for unit, fate in fates.items() if fate != (None, None)} == {
        3: (2, None),
        7: (2, 4),
    }
    assert {unit for unit, (row,) in rows.items() if row["born_dead"]} == {*born}


@pytest.mark.parametrize("engine", ENGINES)
def test_units_that_a_huge_step_kills_are_told_at_its_epoch(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Training up to each epoch alone gives its weights, and NumPy counts by these."""
    own = {"engine": engine, "precision": "float64", "lr": 20.0, "hidden": (12, 10)}
    x = data.scale(data.train.inputs, torch.float64).numpy()
    result = train_cohort([make_run(epochs=2, record=EVERY, **own)], data)
    assert result.runs["outcome"].tolist() == ["completed"], "the case must not diverge"
    shares = units(result)
    killed = 0
    for epoch in (1, 2):
        run = make_run(epochs=epoch, record=EVERY, **own)
        alone = train_cohort([run], data).weights
        weights = {k.removeprefix(f"{run.id}/last/"): v for k, v in alone.items()}
        for layer, counts in enumerate(relu_counts(weights, x), 1):
            mine = shares.filter((pl.col("epoch") == epoch) & (pl.col("layer") == layer))
            assert mine.sort("unit")["active_share"].to_list() == (counts / len(x)).tolist()
            dead = numbers_of(states(result, epoch, layer), "dead")
            assert dead == np.flatnonzero(counts == 0).tolist()
            killed += len({*dead} - {*numbers_of(states(result, 0, layer), "dead")})
    assert killed > 2, "the case must kill some"


@pytest.mark.parametrize("activation", ["relu", "tanh", "sort", "square"])
def test_all_engines_see_the_same_units(
    activation: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    tables = []
    for engine in ENGINES:
        runs = [
            make_run(
                engine=engine,
                precision="float64",
                activation=activation,
                seed=seed,
                lr=0.02,
                record=EVERY,
            )
            for seed in range(2)
        ]
        tables.append(units(train_cohort(runs, data)).drop("run_id"))
    for other in tables[1:]:
        exact = ["epoch", "layer", "place", "unit", "state", "active_share", "samples"]
        assert other.select(exact).equals(tables[0].select(exact))
        for name in ("act_min", "act_max", "low_share", "high_share"):
            np.testing.assert_allclose(other[name], tables[0][name], rtol=1e-9, atol=1e-12)


def test_columns_are_those_of_the_record(make_run: Callable[..., Run], data: PreparedData) -> None:
    result = train_cohort([make_run(record=EVERY)], data)
    assert [*result.units] == [column.name for column in UNIT_COLUMNS]
    table = units(result)
    assert table.height == (2 + 1) * (12 + 10)
    assert table["place"].unique().sort().to_list() == ["layers.0", "layers.1"]


def test_units_are_those_of_the_initial_weights(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Row 0 by NumPy, from weights that no engine has touched."""
    run = make_run(precision="float64", hidden=(40, 30, 20), record=ENDS)
    drawn = initial_weights(run, data.num_features, data.num_classes)
    weights = {
        f"layers.{layer}.{kind}": getattr(pair, kind)
        for layer, pair in enumerate(drawn)
        for kind in ("weight", "bias")
    }
    x = data.scale(data.train.inputs, torch.float64).numpy()
    table = units(train_cohort([run], data)).filter(pl.col("epoch") == 0)
    for layer, counts in enumerate(relu_counts(weights, x), 1):
        mine = table.filter(pl.col("layer") == layer).sort("unit")
        assert mine["active_share"].to_list() == (counts / len(x)).tolist()


@pytest.mark.parametrize("activation", ["relu", "square"])
def test_a_diverged_run_is_seen_as_it_is_and_not_as_dead(
    activation: str, make_run: Callable[..., Run], moons: PreparedData
) -> None:
    # Squares diverge by themselves; of ReLUs a huge rate makes the first layer's infinite, but for
    # those that are dead: these have no gradient and stay what they are.
    lr = 1e38 if activation == "relu" else 100.0
    both = record(units="ends", surfaces=2)
    run = on_moons(make_run, activation=activation, lr=lr, epochs=4, record=both)
    result = train_cohort([run], moons)
    end = int(result.runs["epochs_run"][0])
    assert result.runs["outcome"].tolist() == ["diverged"]
    assert set(states(result, end, 2)) == {"no number"}
    assert set(states(result, end, 1)) <= {"no number", "dead"} - {"square": {"dead"}}.get(
        activation, set()
    )
    assert "no number" in states(result, end, 1)
    assert "no number" not in states(result, 0, 1) + states(result, 0, 2)
    (surface,) = result.surfaces.values()
    assert surface.epochs.tolist() == [0, end]
    assert np.isfinite(surface.shares[0]).all()
    assert np.isnan(surface.shares[-1]).all()
    fates = lives(units(result)).filter(pl.col("layer") == 2)
    assert set(fates["last_state"]) == {"no number"}
    assert fates["died_at"].null_count() == fates.height


def test_a_linear_classifier_has_no_units(make_run: Callable[..., Run], data: PreparedData) -> None:
    assert train_cohort([make_run(hidden=(), record=EVERY)], data).units == {}
