"""Normalisation and residual connections: closed forms, autograd, differences, torch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fathom.data.splits import prepare
from fathom.engine.layers import Parameter, Workspace
from fathom.engine.norms import SAMPLES, UNITS, Norm
from fathom.engine.sinks import CollectGradients
from fathom.engine.skips import Skip
from fathom.engine.stacked import StackedEngine
from fathom.models.mlp import NORM_EPS
from fathom.spec.grid import Norm as Kind
from fathom.spec.grid import Run

OVER: dict[Kind, int] = {"layer_norm": UNITS, "batch_norm": SAMPLES}
KINDS = [*OVER]
NUM_RUNS, NUM_UNITS, BATCH = 3, 5, 7


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layer(kind: Kind, space: Workspace, *, random: bool = True) -> Norm:
    value = torch.stack(
        [torch.ones(NUM_RUNS, NUM_UNITS), torch.zeros(NUM_RUNS, NUM_UNITS)], 1
    ).double()
    if random:
        value = value + 0.5 * randn(NUM_RUNS, 2, NUM_UNITS, seed=9)
    return Norm(0, kind, Parameter(value, num_slots=0), space)


@pytest.fixture
def space() -> Workspace:
    return Workspace(torch.float64, largest_batch=BATCH)


@pytest.mark.parametrize("kind", KINDS)
def test_values_get_mean_0_and_variance_1(kind: Kind, space: Workspace) -> None:
    """Up to eps: the variance is v / (v + eps) exactly."""
    h = 3 + 0.1 * randn(NUM_RUNS, NUM_UNITS, BATCH)
    variance = h.var(OVER[kind], correction=0)
    layer(kind, space, random=False).forward(h, training=True)
    torch.testing.assert_close(h.mean(OVER[kind]), torch.zeros_like(variance), rtol=0, atol=1e-12)
    torch.testing.assert_close(h.var(OVER[kind], correction=0), variance / (variance + NORM_EPS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_backward_equals_autograd_of_the_definition(
    kind: Kind, training: bool, space: Workspace
) -> None:
    norm, h, grad = (
        layer(kind, space),
        2 + randn(NUM_RUNS, NUM_UNITS, BATCH, seed=1),
        randn(NUM_RUNS, NUM_UNITS, BATCH, seed=2),
    )
    if norm.running is not None:
        norm.running.mean.copy_(randn(NUM_RUNS, NUM_UNITS, seed=3))
        norm.running.variance.copy_(randn(NUM_RUNS, NUM_UNITS, seed=4).square())
    leaf, gamma, beta = (
        x.clone().requires_grad_() for x in (h, norm.parameter.weight, norm.parameter.bias)
    )
    if norm.running is not None and not training:
        mean, variance = (x[:, :, None].clone() for x in (norm.running.mean, norm.running.variance))
    else:
        mean = leaf.mean(OVER[kind], keepdim=True)
        variance = (leaf - mean).square().mean(OVER[kind], keepdim=True)
    expected = (leaf - mean) / (variance + NORM_EPS).sqrt() * gamma.transpose(1, 2)
    expected = expected + beta[:, :, None]
    grads = torch.autograd.grad(expected, [leaf, gamma, beta], grad)

    norm.forward(h, training=training)
    torch.testing.assert_close(h, expected.detach())
    assert torch.equal(norm.output(), h)
    sink = CollectGradients(1, space, keep_pre=False)
    torch.testing.assert_close(norm.backward(grad.clone(), sink), grads[0])
    torch.testing.assert_close(sink.norms[0][:, :1], grads[1])
    torch.testing.assert_close(sink.norms[0][:, 1], grads[2])


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_along_what_normalisation_removes(kind: Kind, space: Workspace) -> None:
    """n does not change when h is shifted or, where eps is small beside it, scaled."""
    norm, h = layer(kind, space), 1e3 * randn(NUM_RUNS, NUM_UNITS, BATCH)
    grad = randn(NUM_RUNS, NUM_UNITS, BATCH, seed=1)
    norm.forward(h.clone(), training=True)
    found = norm.backward(grad, CollectGradients(1, space, keep_pre=False))
    over = OVER[kind]
    shift, scale = found.sum(over), (found * h).sum(over)
    torch.testing.assert_close(shift, torch.zeros_like(shift), rtol=0, atol=1e-12)
    torch.testing.assert_close(scale, torch.zeros_like(scale), rtol=0, atol=1e-9)


def test_running_statistics_are_those_of_torch(space: Workspace) -> None:
    norm, judge = (
        layer("batch_norm", space, random=False),
        nn.BatchNorm1d(NUM_UNITS, dtype=torch.float64),
    )
    for seed, batch in enumerate((BATCH, 4, BATCH, 2)):
        h = randn(NUM_RUNS, NUM_UNITS, batch, seed=seed)
        judge(h[1].T)
        norm.forward(h.clone(), training=True)
    norm.forward(randn(NUM_RUNS, NUM_UNITS, BATCH, seed=8), training=False)  # only looks at them
    assert norm.running is not None
    assert judge.running_mean is not None
    assert judge.running_var is not None
    torch.testing.assert_close(norm.running.mean[1], judge.running_mean)
    torch.testing.assert_close(norm.running.variance[1], judge.running_var)


def test_a_nan_stays_in_its_run(space: Workspace) -> None:
    for kind in KINDS:
        norm, h = layer(kind, space), randn(NUM_RUNS, NUM_UNITS, BATCH)
        h[1, 0, 0] = float("nan")
        norm.forward(h, training=True)
        found = norm.backward(
            randn(NUM_RUNS, NUM_UNITS, BATCH), CollectGradients(1, space, keep_pre=False)
        )
        assert found[[0, 2]].isfinite().all()
        assert found[1].isnan().any()


@pytest.mark.parametrize("shared", [True, False], ids=["shared input", "input of each run"])
def test_a_skip_adds_the_input(shared: bool, space: Workspace) -> None:
    left, act = (
        randn(*([] if shared else [NUM_RUNS]), NUM_UNITS + 1, BATCH),
        randn(NUM_RUNS, NUM_UNITS, BATCH, seed=1),
    )
    skip = Skip(0, space)
    total = skip.forward(left, act)
    assert torch.equal(total[:, :-1], left[..., :-1, :] + act)
    assert torch.equal(total[:, -1], torch.ones(NUM_RUNS, BATCH).double())
    kept = skip.keep(act)
    act.zero_()
    assert kept.abs().min() > 0


@pytest.mark.parametrize("skip", ["none", "residual"])
@pytest.mark.parametrize("norm", ["none", *KINDS])
def test_the_written_backward_equals_central_differences(
    norm: str, skip: str, make_run: Callable[..., Run]
) -> None:
    """Every parameter of a tiny network, gamma and beta moved away from 1 and 0."""
    runs = [
        make_run(activation=phi, norm=norm, skip=skip, hidden=(3, 3, 2), precision="float64")
        for phi in ("tanh", "gelu")
    ]
    data = prepare(runs[0].data, [])
    engine = StackedEngine(runs, data)
    norms = [layer for layer in engine.norms if layer is not None]
    for number, normalisation in enumerate(norms):
        value = normalisation.parameter.value
        value.add_(0.5 * randn(*value.shape, seed=number))
    x, target = engine.batch(data.train, torch.arange(6))

    def losses() -> torch.Tensor:
        return engine._loss_and_grad(engine.forward(x, training=True), target)[0].mean(1)

    collected = CollectGradients(len(engine.affines), engine.space, keep_pre=False)
    engine.backward(engine._loss_and_grad(engine.forward(x, training=True), target)[1], collected)
    pairs = [(a.parameter.value, collected.parameters[a.index].clone()) for a in engine.affines]
    pairs += [(n.parameter.value, collected.norms[n.index].clone()) for n in norms]
    step = 1e-5
    for value, gradient in pairs:
        for place in range(0, value[0].numel(), 7):
            row, column = divmod(place, value.shape[2])
            kept = value[:, row, column].clone()
            value[:, row, column] = kept + step
            above = losses()
            value[:, row, column] = kept - step
            slope = (above - losses()) / (2 * step)
            value[:, row, column] = kept
            torch.testing.assert_close(gradient[:, row, column], slope, rtol=1e-6, atol=1e-9)
