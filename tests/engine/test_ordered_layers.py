"""Layers that sort or permute their units: by hand, by autograd, by differences, in all engines.

Shapes: R runs, B batch, I in, O out; units before samples, as the stacked engine has them.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS, Activation
from fathom.data.splits import PreparedData, prepare
from fathom.engine.agreement import train_side_by_side
from fathom.engine.layers import Pointwise, Segment, Workspace
from fathom.engine.run import train_cohort
from fathom.engine.tables import CohortResult
from fathom.models.mlp import MLP
from fathom.registry import Choice
from fathom.spec.grid import Run

STEPS = 50
REMEDIES = [*product(["none", "layer_norm", "batch_norm"], ["none", "residual"])]


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def built(name: str) -> Activation:
    return ACTIVATIONS.build(Choice(name))


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layer_of(*names: str, largest_batch: int = 6) -> Pointwise:
    segments = [Segment(slice(i, i + 1), built(name)) for i, name in enumerate(names)]
    return Pointwise(0, segments, Workspace(torch.float64, largest_batch))


def passed(layer: Pointwise, h_ROB: Tensor, x_RIB: Tensor) -> Tensor:
    """Return a copy of what a layer makes of h, given what its affine map was given."""
    output = layer.buffer(*h_ROB.shape)
    output.units.copy_(h_ROB)
    ones = torch.ones(*x_RIB.shape[:-2], 1, x_RIB.shape[-1], dtype=x_RIB.dtype)
    layer.forward(torch.cat([x_RIB, ones], -2))
    assert bool((output.whole[:, -1] == 1).all())
    return output.units.clone()


# One layer --------------------------------------------------------------------------------------


def test_output_and_gradient_by_hand() -> None:
    """One sample: h = (30, 10, 20) and x = (5, 7, 6), once sorted, once in the order of x."""
    layer = layer_of("sort", "permute")
    h, x = torch.tensor([30.0, 10.0, 20.0]), torch.tensor([5.0, 7.0, 6.0])
    h_ROB, x_RIB = (v.double().view(1, 3, 1).expand(2, 3, 1) for v in (h, x))
    sorted_O, permuted_O = passed(layer, h_ROB, x_RIB)[..., 0].tolist()
    assert sorted_O == [10, 20, 30]
    assert permuted_O == [30, 20, 10]  # the units 0, 2, 1
    grad_ROB = torch.tensor([1.0, 2.0, 3.0]).double().view(1, 3, 1).repeat(2, 1, 1)
    grads = layer.backward(grad_ROB)[..., 0].tolist()
    assert grads[0] == [3, 1, 2]  # 30 went to the third place, 10 to the first, 20 to the second
    assert grads[1] == [1, 3, 2]


@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("shared", [True, False], ids=["shared input", "input of each run"])
def test_a_mixed_layer_equals_autograd(shared: bool, batch: int) -> None:
    names = ["tanh", "sort", "relu", "permute", "gelu"]
    h, grad = randn(5, 7, batch).requires_grad_(), randn(5, 7, batch, seed=1)
    x = randn(7, batch, seed=2) if shared else randn(5, 7, batch, seed=2)
    places = x.argsort(-2).expand(5, 7, batch)
    expected = torch.stack([
        built("tanh").value(h[0]),
        h[1].sort(0).values,
        built("relu").value(h[2]),
        h[3].gather(0, places[3]),
        built("gelu").value(h[4]),
    ])
    (grad_h,) = torch.autograd.grad(expected, h, grad)
    layer = layer_of(*names)
    with torch.no_grad():
        for _ in range(2):  # the buffers serve again
            torch.testing.assert_close(passed(layer, h, x), expected, rtol=1e-14, atol=1e-14)
            torch.testing.assert_close(layer.backward(grad.clone()), grad_h, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["sort", "permute"])
def test_the_gradient_is_that_of_differences(name: str) -> None:
    """Along a direction that moves h and x, away from ties: the order passes no gradient."""
    layer, step = layer_of(name, name), 1e-4
    h, x, grad = randn(2, 5, 6), randn(2, 5, 6, seed=1), randn(2, 5, 6, seed=2)
    along_h, along_x = randn(2, 5, 6, seed=3), randn(2, 5, 6, seed=4)
    for numbers in (h, x):
        assert numbers.sort(1).values.diff(dim=1).min() > 10 * step, "a tie"
    up, down = (
        (passed(layer, h + e * along_h, x + e * along_x) * grad).sum() for e in (step, -step)
    )
    passed(layer, h, x)
    told = (layer.backward(grad.clone()) * along_h).sum()
    assert float(told) == pytest.approx(float(up - down) / (2 * step), rel=1e-8)


def test_layers_that_keep_their_units_take_no_further_memory() -> None:
    space = Workspace(torch.float64, 6)
    Pointwise(0, [Segment(slice(0, 2), built("relu"))], space).buffer(2, 5, 6)
    assert {*space._memory} == {"act0"}


# The module -------------------------------------------------------------------------------------


def test_the_module_is_the_published_network() -> None:
    """Published: x = sort(fc1(x)) twice; x = fc1(x), then x = gather(fc2(x), argsort(x))."""
    sizes, x = [(2, 10), (10, 10), (10, 2)], randn(40, 2)
    for names in (["sort", "sort"], ["identity", "permute"], ["permute", "permute"]):
        net = MLP(sizes, [built(name) for name in names], torch.float64)
        for number, parameter in enumerate(net.parameters()):
            parameter.data = randn(*parameter.shape, seed=number)
        fc1, fc2, fc3 = net.layers
        if names[0] == "sort":
            x2 = fc2(fc1(x).sort(1).values).sort(1).values
        else:  # the first layer changes the width and permutes nothing
            x1 = fc1(x)
            x2 = fc2(x1).gather(1, x1.argsort(1))
        assert torch.equal(net(x), fc3(x2))


# Whole trainings --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", {"name": "adamw", "eps": 1e-4}], ids=str)
@pytest.mark.parametrize("remedy", REMEDIES, ids=str)
def test_the_engines_agree_after_fifty_steps(
    remedy: tuple[str, str],
    optimizer: Any,
    make_run: Callable[..., Run],
    data: PreparedData,
) -> None:
    """The first layer and the third keep the width, the second changes it.

    At ten times the rate networks that sort behind `batch_norm` amplify rounding by 10^0.1 a step.
    A norm's shift has no effect where nothing bends before the next norm, so that its gradient is
    rounding; before each next norm here something does.
    """
    settings = {
        "norm": remedy[0],
        "skip": remedy[1],
        "hidden": (64, 12, 12),
        "init": "torch_default",
        "optimizer": optimizer,
        "precision": "float64",
        "batch_size": 16,
        "epochs": STEPS,
        "lr": 0.001,
    }
    mixes = ["sort", ["permute", "relu", "permute"], ["sort", "tanh", "permute"]]
    runs = [make_run(activation=phi, seed=seed, **settings) for seed, phi in enumerate(mixes)]
    for row in train_side_by_side(runs, data, STEPS):
        assert row.agree, row


def table_of(
    engine: str, make_run: Callable[..., Run], data: PreparedData, **given: Any
) -> CohortResult:
    settings = {"engine": engine, "precision": "float64", "epochs": 3, "hidden": (64, 64)}
    runs = [
        make_run(activation=phi, seed=seed, **(settings | given))
        for seed, phi in enumerate(["sort", "permute", "identity"])
    ]
    return train_cohort(runs, data)


def test_every_number_of_a_training_is_the_same_in_every_engine(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    stacked, *others = (
        table_of(engine, make_run, data) for engine in ("stacked", "single", "reference")
    )
    for kind, other in product(("epochs", "layers"), others):
        ours, theirs = getattr(stacked, kind), getattr(other, kind)
        for name in set(ours) - {"run_id", "epoch_time_s"}:
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=1e-10, atol=1e-15, err_msg=name
            )


def test_units_live_and_keep_their_size(make_run: Callable[..., Run], data: PreparedData) -> None:
    """The slope is 1: no unit is dead or saturated, and moved numbers have the same moments."""
    layers = table_of("stacked", make_run, data).layers
    hidden = layers["layer"] < 3
    assert not layers["dead_share"][hidden].any()
    assert np.isnan(layers["saturated_share"][hidden]).all()
    for moment in ("mean", "std", "rms"):
        pre, act = (layers[f"{what}_{moment}"][hidden] for what in ("pre", "act"))
        np.testing.assert_allclose(act, pre, rtol=1e-12, atol=1e-13)


def test_a_moved_network_is_another_one(make_run: Callable[..., Run], data: PreparedData) -> None:
    """A check of the checks: sort, permute and identity train apart from equal weights."""
    runs = [make_run(activation=phi, hidden=(64, 64)) for phi in ("sort", "permute", "identity")]
    losses = train_cohort(runs, data).epochs
    last = losses["validation_loss"][losses["epoch"] == losses["epoch"].max()]
    assert (np.abs(np.subtract.outer(last, last))[np.triu_indices(3, 1)] > 1e-4).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [(64, 64), (17, 17)], ids=str)
def test_bits_do_not_depend_on_the_cohort(
    hidden: tuple[int, int], precision: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    phis = ["sort", "relu", "permute", ["relu", "permute"], "tanh", ["sort", "gelu"], "sort"]
    runs = [
        make_run(activation=phi, seed=seed, hidden=hidden, precision=precision, epochs=2)
        for seed, phi in enumerate(phis)
    ]
    whole = train_cohort(runs, data)
    for part in ([runs[2]], [runs[3], runs[0]], [runs[6], runs[5], runs[1], runs[2]], runs[::-1]):
        result = train_cohort(part, data)
        for run in part:
            mine = {n: t for n, t in result.weights.items() if n.startswith(run.id)}
            assert len(mine) >= 6
            for name, tensor in mine.items():
                assert torch.equal(tensor, whole.weights[name]), name


def test_training_goes_on_bit_for_bit(make_run: Callable[..., Run], data: PreparedData) -> None:
    from fathom.engine.run import CohortTraining

    runs = [make_run(activation=phi, hidden=(64, 64), epochs=4) for phi in ("sort", "permute")]
    through, first = CohortTraining(runs, data), CohortTraining(runs, data)
    for training in (through, first):
        training.start()
        training.advance()
        training.advance()
    second = CohortTraining([replace(run) for run in runs], data)
    second.engine.load(first.engine.state())
    for engine in (through.engine, second.engine):
        engine.train_epoch(3)
    for name, tensor in through.engine.weights().items():
        assert torch.equal(tensor, second.engine.weights()[name]), name
