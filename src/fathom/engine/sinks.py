"""What happens to a gradient: applied at once, or collected.

Shapes: R runs, B batch, I in, O out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.engine.layers import Linear, Workspace
from fathom.optimizers import Coefficients, Optimizer


class ApplyUpdate:
    """Update each layer as soon as its gradient is known; no network-wide gradient ever exists.

    Backward has already used the old weights when a layer's sink is called, so that updating
    during the backward pass gives what updating after it would.
    """

    def __init__(self, rule: Optimizer, space: Workspace) -> None:
        self._rule = rule
        self._space = space
        self.coefficients: Coefficients = {}

    def linear(self, layer: Linear, left_RIB: Tensor, delta_RBO: Tensor) -> None:
        """Update the layer."""
        weight, bias = layer.weight, layer.bias
        if self._rule.fused is not None:
            self._rule.fused(weight.value, bias.value, left_RIB, delta_RBO, self.coefficients)
            return
        grad = self._space.take("grad_weight", *weight.value.shape)
        torch.bmm(left_RIB, delta_RBO, out=grad)
        self._rule.update(weight.value, grad, weight.slots, self.coefficients)
        grad_bias = delta_RBO.sum(1, keepdim=True)
        self._rule.update(bias.value, grad_bias, bias.slots, self.coefficients)


class CollectGradients:
    """Keep every layer's gradients: for the probe, and for clipping by the norm of the whole.

    Attributes:
        pre: dL/dh by layer, `[R, B, O]`; only where `keep_pre` was asked for.
        weight: dL/dW by layer, `[R, I, O]`.
        bias: dL/db by layer, `[R, 1, O]`.
    """

    def __init__(self, num_layers: int, space: Workspace, *, keep_pre: bool) -> None:
        self._space = space
        self._keep_pre = keep_pre
        empty = torch.empty(0)
        self.pre = [empty] * num_layers
        self.weight = [empty] * num_layers
        self.bias = [empty] * num_layers

    def linear(self, layer: Linear, left_RIB: Tensor, delta_RBO: Tensor) -> None:
        """Form and keep the layer's gradients."""
        grad = self._space.take(f"grad_weight{layer.index}", *layer.weight.value.shape)
        self.weight[layer.index] = torch.bmm(left_RIB, delta_RBO, out=grad)
        self.bias[layer.index] = delta_RBO.sum(1, keepdim=True)
        if self._keep_pre:
            self.pre[layer.index] = delta_RBO.clone()


def clip_by_norm(gradients: Sequence[Tensor], limit_R11: Tensor) -> None:
    """Scale each run's gradients in place so that their common L2 norm is at most its limit.

    Args:
        gradients: Tensors `[R, ...]` that together are one gradient per run.
        limit_R11: Largest norm of each run, > 0; `inf` leaves a run as it is.

    Source: Pascanu et al. 2013, arXiv:1211.5063, alg. 1, with torch's 1e-6 in the denominator.
    """
    # Not torch.linalg.vector_norm: its float32 bits were seen to depend on the number of runs.
    squares = [grad.double().square().flatten(1).sum(1) for grad in gradients]
    norm = torch.stack(squares, 1).sum(1).sqrt().view(-1, 1, 1)
    scale = (limit_R11 / (norm + 1e-6)).clamp(max=1.0)
    for grad in gradients:
        grad.mul_(scale.to(grad.dtype))
