"""Each stacked layer and sink against autograd of the obvious formula."""

import pytest
import torch

from fathom.activations import ACTIVATIONS
from fathom.engine.layers import Affine, Parameter, Pointwise, Segment, Workspace
from fathom.engine.sinks import CollectGradients, clip_by_norm
from fathom.registry import Choice


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def augmented(x: torch.Tensor) -> torch.Tensor:
    ones = torch.ones(*x.shape[:-2], 1, x.shape[-1], dtype=x.dtype)
    return torch.cat([x, ones], -2)


@pytest.mark.parametrize("shared", [True, False], ids=["shared input", "input of each run"])
def test_affine_equals_autograd(shared: bool) -> None:
    space = Workspace(torch.float64, largest_batch=6)
    weight, bias = randn(3, 4, 5), randn(3, 5, seed=1)
    x = randn(4, 6, seed=2) if shared else randn(3, 4, 6, seed=2)
    delta = randn(3, 5, 6, seed=3)
    parameter = Parameter(torch.cat([weight, bias[:, None]], 1), num_slots=0)
    layer = Affine(0 if shared else 1, parameter, space)
    sink = CollectGradients(2, space, keep_pre=True)
    out = layer.forward(augmented(x), torch.empty(3, 5, 6, dtype=torch.float64))
    grad_in = layer.backward(delta.clone(), sink)

    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    expected = leaves[1].transpose(1, 2) @ leaves[0] + leaves[2][:, :, None]
    grads = torch.autograd.grad(expected, leaves, delta)
    torch.testing.assert_close(out, expected.detach())
    torch.testing.assert_close(sink.parameters[layer.index][:, :-1], grads[1])
    torch.testing.assert_close(sink.parameters[layer.index][:, -1], grads[2])
    torch.testing.assert_close(sink.pre[layer.index], delta)
    torch.testing.assert_close(layer.parameter.weight, weight)
    torch.testing.assert_close(layer.parameter.bias, bias)
    if shared:
        assert grad_in is None  # nobody differentiates the data
    else:
        torch.testing.assert_close(grad_in, grads[0])


@pytest.mark.parametrize(
    "names", [["tanh", "gelu", "spline_sigmoid"], ["tanh", "relu", "sigmoid"]], ids=str
)
def test_pointwise_applies_to_each_run_its_own_activation(names: list[str]) -> None:
    phis = [ACTIVATIONS.build(Choice(name)) for name in names]
    segments = [Segment(slice(i, i + 1), phi) for i, phi in enumerate(phis)]
    layer = Pointwise(0, segments, Workspace(torch.float64, largest_batch=6))
    h, grad_out = randn(3, 5, 6), randn(3, 5, 6, seed=1)
    output = layer.buffer(3, 5, 6)
    output.units.copy_(h)
    layer.forward(augmented(h))
    assert torch.equal(output.whole[:, -1], torch.ones(3, 6).double())
    slopes = layer.slope(h)
    grad_in = layer.backward(grad_out.clone())
    for run, phi in enumerate(phis):
        torch.testing.assert_close(output.units[run], phi.value(h[run]))
        torch.testing.assert_close(slopes[run], phi.slope(h[run]))
        torch.testing.assert_close(grad_in[run], grad_out[run] * phi.slope(h[run]))


def test_clipping_bounds_each_run_by_its_own_limit() -> None:
    """Closed form: a gradient of norm 5 clipped at 1 and at 10."""
    grads = [torch.zeros(2, 1, 2, dtype=torch.float64), torch.zeros(2, 1, 1, dtype=torch.float64)]
    for g, value in zip(grads, (3.0, 4.0), strict=True):
        g[:, 0, 0] = value
    clip_by_norm(grads, torch.tensor([1.0, 10.0], dtype=torch.float64).view(2, 1, 1))
    torch.testing.assert_close(
        grads[0][:, 0, 0], torch.tensor([0.6, 3.0]).double(), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        grads[1][:, 0, 0], torch.tensor([0.8, 4.0]).double(), rtol=1e-6, atol=0
    )


def test_clipping_one_run_ignores_a_nan_in_another() -> None:
    grads = [randn(2, 3, 3)]
    grads[0][1, 0, 0] = float("nan")
    kept = grads[0][0].clone()
    clip_by_norm(grads, torch.full((2, 1, 1), 1e9, dtype=torch.float64))
    assert torch.equal(grads[0][0], kept)


def test_workspace_gives_the_same_memory_for_a_smaller_batch() -> None:
    space = Workspace(torch.float32, largest_batch=128)
    large = space.take_units("a", 2, 3, 128)
    small = space.take_units("a", 2, 3, 64)
    assert small.shape == (2, 3, 64)
    assert small.data_ptr() == large.data_ptr()
    assert space.take_units("a", 2, 3, 128) is large
    assert space.take_units("b", 2, 3, 64).data_ptr() != small.data_ptr()


def test_the_row_of_ones_survives_a_change_of_shape() -> None:
    space = Workspace(torch.float32, largest_batch=8)
    for batch in (8, 3, 8, 5):
        buffer = space.take_augmented("x", 2, 4, batch)
        buffer.units.fill_(7)
        assert buffer.whole.shape == (2, 5, batch)
        assert (buffer.whole[:, -1] == 1).all()
        again = space.take_augmented("x", 2, 4, batch)
        assert (again.units == 7).all(), "the same shape twice in a row keeps its content"
