"""Normalised layers and residual connections in all three engines, in float64, and their probe."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from fathom.data.splits import PreparedData, prepare
from fathom.engine.agreement import _SideBySide, train_side_by_side
from fathom.engine.engines import make_engine
from fathom.engine.run import CPU, train_cohort
from fathom.models.mlp import NORM_EPS
from fathom.spec.grid import RecordConfig, Run

ENGINES = ["stacked", "single", "reference"]
REMEDIES = [
    {"norm": norm, "skip": skip}
    for norm, skip in product(["none", "layer_norm", "batch_norm"], ["none", "residual"])
][1:]
STEPS = 50


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def assert_agreement(runs: Iterable[Run], data: PreparedData) -> None:
    """Train in batches of 16 with all three engines and compare after every step."""
    longer = [replace(run, train=replace(run.train, epochs=STEPS, batch_size=16)) for run in runs]
    for row in train_side_by_side(longer, data, STEPS):
        assert row.agree, row


@pytest.mark.parametrize(
    "optimizer",
    [
        "sgd",
        {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"name": "adam", "eps": 1e-4, "weight_decay": 0.01},
        {"name": "adamw", "eps": 1e-4},
    ],
    ids=str,
)
@pytest.mark.parametrize("remedy", REMEDIES, ids=str)
def test_a_mixed_cohort_agrees(
    remedy: dict[str, object], optimizer: object, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Around the first layer and the third there is a residual connection, around the second not.

    A bias before `batch_norm` has no effect, and its gradient is rounding. So biases start away
    from 0, and Adam's eps is not so small that it makes steps of 1e-9 out of such gradients.
    """
    settings = remedy | {"hidden": (64, 12, 12), "init": "torch_default", "optimizer": optimizer}
    assert_agreement(
        [
            make_run(activation=phi, loss=loss, precision="float64", lr=lr, **settings)
            for phi, loss, lr in [
                ("relu", "cross_entropy", 0.005),
                (["tanh", "gelu", "selu"], "mse", 0.002),
                (["gelu", "selu", "hardswish"], "cross_entropy", 0.005),
                ("sigmoid", {"name": "focal", "gamma": 0.5}, 0.002),
            ]
        ],
        data,
    )


@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
def test_clipping_counts_the_parameters_of_norms(
    norm: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    remedies = {"norm": norm, "skip": "residual", "init": "torch_default", "hidden": (8, 8)}
    assert_agreement(
        [
            make_run(precision="float64", clip_norm=limit, seed=seed, **remedies)
            for seed, limit in enumerate([0.05, 1.0, 100.0])
        ],
        data,
    )


@pytest.mark.parametrize(
    "optimizer", [{"name": "sgd", "momentum": 0.9}, {"name": "adam", "eps": 1e-4}], ids=str
)
@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
def test_engines_are_told_the_whole_state(
    norm: str, optimizer: object, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Spoilt weights, running statistics and memories of two engines: the third's replace them."""
    settings = {"norm": norm, "optimizer": optimizer, "init": "torch_default", "lr": 0.01}
    runs = [make_run(precision="float64", seed=seed, **settings) for seed in (0, 1)]
    engines = _SideBySide(runs, data)
    engines.take_step(0)
    for by_hand, single in zip(engines.by_hand.trainers, engines.single.trainers, strict=True):
        for array in by_hand.weights().values():
            array *= 1.5
        for slot in (slot for slots in by_hand.slots for slot in slots.values() if slot.ndim):
            slot *= 1.5
        for tensor in single.net.state_dict().values():
            tensor.mul_(1.5)
        for slots in single.optimizer.state.values():
            for memory in (x for x in slots.values() if isinstance(x, torch.Tensor) and x.dim()):
                memory.mul_(1.5)
    engines.equalise()
    ours, autograd, theirs = engines.weights()
    assert set(ours) == set(autograd) == set(theirs)
    assert all(torch.equal(ours[x], theirs[x]) for x in theirs)
    assert all(torch.equal(autograd[x], theirs[x]) for x in theirs)
    engines.take_step(1)
    ours, autograd, theirs = engines.weights()
    for name in theirs:
        torch.testing.assert_close(ours[name], autograd[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(theirs[name], autograd[name], rtol=1e-9, atol=1e-12)


def test_networks_of_which_only_running_statistics_move_agree_about_nothing(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [make_run(precision="float64", norm="batch_norm", lr=0.0, seed=seed) for seed in (0, 1)]
    for row in train_side_by_side(runs, data, 2):
        assert row.moved == 0
        assert not row.agree


# What the probe shows of batch_norm ------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_row_0_shows_the_normalised_network(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """With phi(n) = n the activation has mean 0 and each unit's variance v / (v + eps)."""
    settings = {"activation": "identity", "init": "torch_default", "norm": "batch_norm"}
    run = make_run(engine=engine, precision="float64", epochs=1, **settings)
    layers = train_cohort([run], data).layers
    first, *_ = make_engine([run, run], data, CPU).probe()
    variance = first.pre[0].var(1, correction=0)
    expected = (variance / (variance + NORM_EPS)).mean().sqrt().item()
    mean, std = (layers[name][layers["epoch"] == 0] for name in ("act_mean", "act_std"))
    np.testing.assert_allclose(mean[:2], 0, atol=1e-12)
    assert std[0] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(std[:2], 1, atol=0.02)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_normalised_unit_is_dead_before_training(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """n has mean 0 over the probe batch, so that ReLU has a slope on some of it."""
    biased = {"name": "normal", "std": 0.05, "bias_std": 3.0}
    shares = []
    for norm in ("none", "batch_norm"):
        run = make_run(
            engine=engine, precision="float64", init=biased, hidden=(40, 40), norm=norm, epochs=1
        )
        layers = train_cohort([run], data).layers
        shares.append(layers["dead_share"][layers["epoch"] == 0][:2])
    plain, normalised = shares
    assert plain.min() > 0.2, "the case must have dead units without norm"
    assert normalised.tolist() == [0, 0]


@pytest.mark.parametrize("engine", ENGINES)
def test_probing_leaves_running_statistics_alone(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """And everything else, bit for bit."""
    run = make_run(engine=engine, precision="float64", norm="batch_norm", optimizer="adam")
    probed, other = (make_engine([run, run], data, CPU) for _ in range(2))
    for epoch in (1, 2):
        for _ in range(2):
            assert len([*probed.probe()]) == 3
        assert_same_state(probed.state(), other.state())
        for engine_ in (probed, other):
            engine_.train_epoch(epoch)
    assert_same_state(probed.state(), other.state())
    running = probed.weights()["norms.1.running_mean"]
    assert running.abs().min() > 0
    assert torch.equal(probed.evaluate(data.test).loss, other.evaluate(data.test).loss)


def assert_same_state(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert set(one) == set(two)
    assert any("running_var" in name for name in one)
    for name in one:
        assert torch.equal(one[name], two[name]), name


@pytest.mark.parametrize("skip", ["none", "residual"])
@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_probe_shows_the_gradient_of_the_next_step(
    engine: str, norm: str, skip: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Where all training samples are the probe batch and a batch, W loses lr dL/dW in a step."""
    record = RecordConfig(probe_size=256, histograms=False, weights="none")
    settings = {"norm": norm, "skip": skip, "hidden": (12, 12), "activation": "tanh"}
    run = make_run(
        engine=engine, precision="float64", batch_size=256, lr=0.5, record=record, **settings
    )
    assert len(data.train.targets) == 256
    trained = make_engine([run, run], data, CPU)
    for epoch in (1, 2):
        views = [(view.weight.clone(), view.grad_weight.clone()) for view in trained.probe()]
        trained.train_epoch(epoch)
        for (before, grad), after in zip(views, trained.probe(), strict=True):
            torch.testing.assert_close(after.weight, before - 0.5 * grad, rtol=0, atol=1e-13)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_gradient_along_a_shift_of_a_batch(
    engine: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """n does not change when a unit's h is shifted for the whole batch, and so does not L."""
    run = make_run(engine=engine, precision="float64", norm="batch_norm", activation="tanh")
    trained = make_engine([run, run], data, CPU)
    trained.train_epoch(1)
    sums = [(view.grad_pre.sum(2), view.grad_pre.abs().sum(2)) for view in trained.probe()]
    for along, size in sums[:-1]:
        assert size.min() > 1e-4
        assert along.abs().max() < 1e-15
