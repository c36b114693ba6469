"""What is seen of whole networks while they train: each planted unit, and surfaces in closed form.

Shapes: R runs, G points of a side of the grid, K classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from fathom.data.config import DataConfig
from fathom.data.splits import PreparedData, prepare
from fathom.engine.observations import (
    GRID_SIDE,
    Seen,
    observe,
    surface_epochs,
    surfaces_of,
    unit_columns,
    unit_epochs,
)
from fathom.engine.run import CohortTraining, State, train_cohort
from fathom.engine.stacked import CPU
from fathom.engine.tables import CohortResult, collect_result
from fathom.errors import FathomError
from fathom.models.build import initial_network, new_network
from fathom.models.mlp import initial_weights
from fathom.records import UNIT_COLUMNS
from fathom.registry import Choice
from fathom.spec.grid import RecordConfig, Run
from fathom.store.tables import make_table
from fathom.store.tensors import tensor_bytes
from fathom.unit_life import lives

ENGINES = ["stacked", "single", "reference"]
DEAD = -1e3  # a bias that no input of these data lifts above 0
Floats = npt.NDArray[np.float64]


def record(**asked: Any) -> RecordConfig:
    return RecordConfig(probe_size=32, histograms=False, weights="last", **asked)


EVERY, ENDS = record(units="every"), record(units="ends")


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


@pytest.fixture(scope="module")
def moons(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(on_moons(make_run).data, [])


def on_moons(make_run: Callable[..., Run], **settings: Any) -> Run:
    config: DataConfig = replace(make_run().data, name="half_moons")
    return make_run(**{"data": config, "record": record(surfaces=4)} | settings)


def units(result: CohortResult) -> pl.DataFrame:
    return make_table("units", result.units)


def states(result: CohortResult, epoch: int, layer: int, run: Run | None = None) -> list[str]:
    wanted = (pl.col("epoch") == epoch) & (pl.col("layer") == layer)
    if run is not None:
        wanted &= pl.col("run_id") == run.id
    return units(result).filter(wanted).sort("unit")["state"].to_list()


def numbers_of(words: list[str], state: str) -> list[int]:
    return [index for index, word in enumerate(words) if word == state]


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


# Planted units ----------------------------------------------------------------------------------


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


def relu_counts(weights: Mapping[str, Tensor], x: Floats) -> list[npt.NDArray[np.int64]]:
    """Pass data through a ReLU network in NumPy and count the samples above 0 of each unit."""
    found = []
    depth = len(weights) // 2 - 1
    for layer in range(depth):
        w, b = (weights[f"layers.{layer}.{kind}"].double().numpy() for kind in ("weight", "bias"))
        x = np.maximum(x @ w.T + b, 0)
        found.append((x > 0).sum(0))
    return found


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


# When -------------------------------------------------------------------------------------------


def test_ends_are_the_first_and_the_last_epoch_of_each_run(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """A run with rate 0 stops after 1 + 3 epochs; its sibling goes on to the tenth."""
    settings = {"patience": 3, "epochs": 10, "activation": "tanh", "record": ENDS}
    frozen = make_run(lr=1e-30, **settings)
    learning = make_run(lr=0.1, **settings)
    result = train_cohort([frozen, learning], data)
    ends = dict(
        zip(result.runs["run_id"].tolist(), result.runs["epochs_run"].tolist(), strict=True)
    )
    assert ends[frozen.id] == 4 < ends[learning.id]
    table = units(result)
    for run_id, end in ends.items():
        epochs = table.filter(pl.col("run_id") == run_id)["epoch"].unique().sort()
        assert epochs.to_list() == [0, end]


def test_frames_lie_evenly_and_a_run_that_stops_keeps_its_last(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    settings = {"patience": 4, "epochs": 12, "record": record(surfaces=4)}
    frozen = on_moons(make_run, lr=1e-30, **settings)
    learning = on_moons(make_run, lr=0.5, hidden=(12, 10), **settings | {"patience": 12})
    for run, expected_end in ((frozen, 5), (learning, 12)):
        result = train_cohort([run], moons)
        (surface,) = result.surfaces.values()
        end = int(result.runs["epochs_run"][0])
        assert end == expected_end
        assert surface.epochs.tolist() == sorted({0, 4, 8, 12} & {*range(end + 1)} | {end})
        assert surface.shares.shape == (len(surface.epochs), GRID_SIDE, GRID_SIDE, 2)
    assert surface_epochs(frozen) == {0, 4, 8, 12}


@pytest.mark.parametrize(
    ("frames", "epochs", "expected"),
    [
        (2, 7, [0, 7]),
        (3, 7, [0, 4, 7]),
        (5, 8, [0, 2, 4, 6, 8]),
        (100, 3, [0, 1, 2, 3]),
        (2, 1, [0, 1]),
    ],
)
def test_frames_are_spread_from_the_first_epoch_to_the_last(
    frames: int, epochs: int, expected: list[int], make_run: Callable[..., Run]
) -> None:
    run = on_moons(make_run, epochs=epochs, record=record(surfaces=frames))
    assert sorted(surface_epochs(run)) == expected
    assert [*unit_epochs(run)] == []
    assert [*unit_epochs(replace(run, record=ENDS))] == [0, epochs]
    assert [*unit_epochs(replace(run, record=EVERY))] == [*range(epochs + 1)]


def test_nothing_is_done_where_nothing_is_asked_for(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    def never() -> Mapping[str, Tensor]:
        raise AssertionError("weights were asked for")

    seen: Seen = {}
    both = torch.tensor([True])
    for asked, epoch in ((record(), 0), (record(), 2), (ENDS, 1)):
        run = make_run(record=asked)
        observe(seen, epoch, [run], never, data, going=both, ended=both & (epoch == 2), device=CPU)
    assert seen == {}
    states: list[State] = []
    result = train_cohort([make_run()], data, save_state=lambda make: states.append(make()))
    assert not any("seen" in name for name in states[0])
    assert (result.units, result.surfaces) == ({}, {})


@pytest.mark.parametrize("engine", ENGINES)
def test_going_on_gives_the_same_bits(
    engine: str, make_run: Callable[..., Run], moons: PreparedData
) -> None:
    runs = [
        on_moons(
            make_run,
            engine=engine,
            precision="float64",
            activation=activation,
            patience=3,
            epochs=5,
            lr=lr,
            record=record(units="every", surfaces=3),
        )
        for activation, lr in (("relu", 0.1), ("square", 100.0), ("tanh", 1e-30))
    ]
    saved: list[State] = []
    whole = train_cohort(runs, moons, save_state=lambda make: saved.append(make()))
    assert set(whole.runs["outcome"]) == {"completed", "diverged", "stopped_early"}
    assert len(saved) == 4
    for state in saved:
        kept = load(tensor_bytes(state))  # as a checkpoint keeps it
        again = train_cohort(runs, moons, state=kept)
        for name, column in whole.units.items():
            np.testing.assert_array_equal(again.units[name], column)
        for run_id, surface in whole.surfaces.items():
            np.testing.assert_array_equal(again.surfaces[run_id].shares, surface.shares)
            np.testing.assert_array_equal(again.surfaces[run_id].epochs, surface.epochs)


# Numbers that are none --------------------------------------------------------------------------


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


# Other networks ---------------------------------------------------------------------------------


def test_batch_norm_is_seen_by_its_running_statistics(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Before training these are 0 and 1, so that ReLUs are active where they are without it."""
    found = []
    for norm in ("none", "batch_norm"):
        run = make_run(norm=norm, precision="float64", record=ENDS, init="torch_default")
        table = units(train_cohort([run], data)).filter(pl.col("epoch") == 0)
        found.append(table["active_share"].to_list())
    plain, normalised = found
    # A first layer without bias would do; with one, only signs within 1e-5 of it could differ.
    assert plain == normalised


def test_channels_of_images_are_units(make_run: Callable[..., Run], data: PreparedData) -> None:
    run = make_run(engine="single", hidden=(), activation=["relu"], record=ENDS)
    model = replace(run.model, name=Choice("lenet"), activation=(Choice("relu"),))
    run = replace(run, model=model)
    images = replace(
        data,
        sample_shape=(28, 28),
        num_features=28 * 28,
        train=replace(data.train, inputs=torch.rand(300, 28 * 28, dtype=torch.float64)),
    )
    network = initial_network(run, images.sample_shape, images.num_classes, torch.float32)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = network.measured()[0].name
    weights[f"{first}.bias"][[1, 4]] = DEAD
    table = seen_units(run, weights, images)
    channels = table.filter(pl.col("layer") == 1)
    assert set(channels["place"]) == {first}
    assert channels.filter(pl.col("state") == "dead")["unit"].to_list() == [1, 4]
    positions = channels["samples"].unique().item() / 300
    assert positions == int(positions) > 1
    places = table.unique("layer").sort("layer")["place"].to_list()
    assert places == [layer.name for layer in network.measured()[:-1]]
    dense = table.filter(pl.col("layer") == table["layer"].max())
    assert set(dense["samples"]) == {300}


def seen_units(run: Run, weights: Mapping[str, Tensor], data: PreparedData) -> pl.DataFrame:
    return make_table("units", unit_columns([run], seen_of(run, weights, data)))


def seen_of(run: Run, weights: Mapping[str, Tensor], data: PreparedData) -> Seen:
    seen: Seen = {}
    stacked = {name: tensor[None] for name, tensor in weights.items()}
    yes, no = torch.tensor([True]), torch.tensor([False])
    observe(seen, 0, [run], lambda: stacked, data, going=yes, ended=no, device=CPU)
    return seen


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


# Surfaces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["none", "unit", "symmetric", "standard"])
@pytest.mark.parametrize("slopes", [(3.0, 0.0), (0.0, -2.0), (1.5, 4.0)], ids=str)
def test_a_linear_network_has_a_sigmoid_of_its_plane(
    slopes: tuple[float, float], scaling: Any, make_run: Callable[..., Run]
) -> None:
    """softmax of two logits is the sigmoid of their difference, here a x + b y + 0.5."""
    plain = on_moons(make_run, hidden=(), precision="float64")
    run = replace(plain, data=replace(plain.data, scaling=scaling))
    data = prepare(run.data, [])
    weight = torch.tensor([[0.0, 0.0], slopes], dtype=torch.float64)
    bias = torch.tensor([0.25, 0.75], dtype=torch.float64)
    weights = {"layers.0.weight": weight, "layers.0.bias": bias}
    surface = surfaces_of([run], seen_of(run, weights, data), data)[run.id]
    inputs = data.train.inputs.double().numpy()
    shift, divisor = {
        "none": (0.0, 1.0),
        "unit": (inputs.min(), np.ptp(inputs)),
        "symmetric": (inputs.min() + np.ptp(inputs) / 2, np.ptp(inputs) / 2),
        "standard": (inputs.mean(), inputs.std()),
    }[scaling]
    across, up = ((side - shift) / divisor for side in (surface.across, surface.up))
    logit = slopes[0] * across[None, :] + slopes[1] * up[:, None] + 0.5
    np.testing.assert_allclose(surface.shares[0, :, :, 1], 1 / (1 + np.exp(-logit)), atol=1e-6)
    np.testing.assert_allclose(surface.shares.sum(-1), 1, atol=1e-6)
    if slopes[1] == 0:  # a border that depends on the first feature alone stands upright
        assert (surface.shares[0] == surface.shares[0, :1]).all()
        assert (np.diff(surface.shares[0, 0, :, 1]) > 0).all()


def test_the_grid_reaches_a_fifth_beyond_the_data(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    run = on_moons(make_run, epochs=1)
    (surface,) = train_cohort([run], moons).surfaces.values()
    points = moons.train.inputs.double().numpy()
    low, high = points.min(0), points.max(0)
    for side, start, end in zip((surface.across, surface.up), low, high, strict=True):
        expected = np.linspace(start - 0.2 * (end - start), end + 0.2 * (end - start), GRID_SIDE)
        np.testing.assert_allclose(side, expected, rtol=1e-12)
    np.testing.assert_array_equal(surface.points, moons.test.inputs.numpy())
    np.testing.assert_array_equal(surface.labels, moons.test.targets.numpy())


def test_a_surface_is_the_recorded_network(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    """The nearest point of the last frame answers as the network that scored the test part."""
    run = on_moons(make_run, optimizer="adam", lr=0.02, epochs=30)
    result = train_cohort([run], moons)
    (surface,) = result.surfaces.values()
    column = np.abs(surface.across[:, None] - surface.points[:, 0]).argmin(0)
    row = np.abs(surface.up[:, None] - surface.points[:, 1]).argmin(0)
    answers = surface.shares[-1, row, column].argmax(-1)
    accuracy = result.epochs["test_accuracy"][-1]
    assert accuracy > 0.8, "the case must learn"
    # A few test points at most lie nearer to the border than half a cell.
    assert (answers == surface.labels).mean() == pytest.approx(accuracy, abs=0.03)


def test_a_normalised_network_is_drawn_in_evaluation(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    """By the running statistics of its last weights, and not by those of the grid's points."""
    run = on_moons(make_run, norm="batch_norm", precision="float64", lr=0.2)
    result = train_cohort([run], moons)
    surface = result.surfaces[run.id]
    network = new_network(run.model, moons.sample_shape, 2, torch.float64).eval()
    prefix = f"{run.id}/last/"
    own = {name.removeprefix(prefix): tensor for name, tensor in result.weights.items()}
    network.load_state_dict(own)
    points = np.stack(np.meshgrid(surface.across, surface.up), -1).reshape(-1, 2)
    with torch.no_grad():
        logits = network(moons.scale(torch.from_numpy(points), torch.float64))
    shares = torch.softmax(logits, 1).view(GRID_SIDE, GRID_SIDE, 2).numpy()
    np.testing.assert_allclose(surface.shares[-1], shares, atol=1e-6)


def test_surfaces_need_points_of_a_plane(
    make_run: Callable[..., Run], data: PreparedData, moons: PreparedData
) -> None:
    with pytest.raises(FathomError, match=r"a sample of 'digits' has 64 numbers\. Leave it out"):
        train_cohort([make_run(record=record(surfaces=2))], data)
    hot = torch.nn.functional.one_hot(moons.train.targets, 2).float()
    several = replace(moons, train=replace(moons.train, targets=hot))
    with pytest.raises(FathomError, match="'half_moons' has several labels"):
        CohortTraining([on_moons(make_run, engine="single", loss="bce")], several)
