"""Each stacked layer and sink against autograd of the obvious formula."""

import pytest
import torch

from fathom.activations import ACTIVATIONS
from fathom.engine.layers import Linear, Pointwise, Segment, Workspace
from fathom.engine.sinks import CollectGradients, clip_by_norm
from fathom.registry import Choice


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shared", [True, False], ids=["shared input", "input of each run"])
def test_linear_equals_autograd(shared: bool) -> None:
    space = Workspace(torch.float64)
    weight, bias = randn(3, 4, 5), randn(3, 1, 5, seed=1)
    x = randn(6, 4, seed=2) if shared else randn(3, 6, 4, seed=2)
    grad_out = randn(3, 6, 5, seed=3)
    layer = Linear(0 if shared else 1, weight.clone(), bias.clone(), space)
    sink = CollectGradients(2, space, keep_pre=True)
    out = layer.forward(x).clone()
    grad_in = layer.backward(grad_out.clone(), sink)

    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    expected = leaves[0] @ leaves[1] + leaves[2]
    grads = torch.autograd.grad(expected, leaves, grad_out)
    torch.testing.assert_close(out, expected.detach())
    torch.testing.assert_close(sink.weight[layer.index], grads[1])
    torch.testing.assert_close(sink.bias[layer.index], grads[2])
    torch.testing.assert_close(sink.pre[layer.index], grad_out)
    if shared:
        assert grad_in is None  # nobody differentiates the data
    else:
        torch.testing.assert_close(grad_in, grads[0])


def test_pointwise_applies_to_each_run_its_own_activation() -> None:
    names = ["tanh", "relu", "spline_sigmoid"]
    phis = [ACTIVATIONS.build(Choice(name)) for name in names]
    segments = [Segment(slice(i, i + 1), phi) for i, phi in enumerate(phis)]
    layer = Pointwise(0, segments, Workspace(torch.float64))
    h, grad_out = randn(3, 6, 5), randn(3, 6, 5, seed=1)
    out = layer.forward(h)
    slopes = layer.slope()
    grad_in = layer.backward(
        grad_out.clone(), CollectGradients(1, Workspace(h.dtype), keep_pre=False)
    )
    for run, phi in enumerate(phis):
        torch.testing.assert_close(out[run], phi.value(h[run]))
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
    space = Workspace(torch.float32)
    small = space.take("a", 2, 3)
    large = space.take("a", 4, 3)
    again = space.take("a", 2, 3)
    assert again.data_ptr() == large.data_ptr()
    assert again.data_ptr() != small.data_ptr()
    assert space.take("b", 2, 3).data_ptr() != again.data_ptr()
    assert again.is_contiguous()
