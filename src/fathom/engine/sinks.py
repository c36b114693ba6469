"""What happens to a gradient: applied at once, or collected.

Shapes: R runs, B batch, I in, O out.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from fathom.engine.layers import Affine, AffineSink, Workspace
from fathom.engine.norms import Norm, NormSink
from fathom.optimizers import Coefficients, Optimizer


class Sink(AffineSink, NormSink, Protocol):
    """Takes the gradients of a whole network's parameters during backward."""


class ApplyUpdate:
    """Update each layer as soon as its gradient is known; no network-wide gradient ever exists.

    Backward has already used the old weights when a layer's sink is called, so that updating
    during the backward pass gives what updating after it would.

    Args:
        rule: The update rule.
        space: Where buffers come from.
        has_norms: Whether parameters will come whose gradient is no product. Those are updated by
            `rule.update`, which wants the gradient itself: then nobody may multiply it before.

    Attributes:
        coefficients: Of the current step.
        scale: Name of the coefficient that the caller multiplies into dL/dlogits, if any.
    """

    def __init__(self, rule: Optimizer, space: Workspace, *, has_norms: bool = False) -> None:
        self._rule = rule
        self._space = space
        self.coefficients: Coefficients = {}
        self.scale = None if has_norms else rule.scale
        self._fused = rule.fused if rule.scale == self.scale else None

    def affine(self, layer: Affine, left: Tensor, delta: Tensor) -> None:
        """Update the layer."""
        parameter, right = layer.parameter, delta.transpose(1, 2)
        if self._fused is not None:
            self._fused(parameter.value, left, right, parameter.slots, self.coefficients)
            return
        shape = parameter.value.shape
        grad = self._space.take(f"gradient of {tuple(shape)}", *shape)  # shared by such layers
        torch.bmm(left, right, out=grad)
        self._rule.update(parameter.value, grad, parameter.slots, self.coefficients)

    def norm(self, layer: Norm, grad: Tensor) -> None:
        """Update gamma and beta."""
        parameter = layer.parameter
        self._rule.update(parameter.value, grad, parameter.slots, self.coefficients)


class CollectGradients:
    """Keep every layer's gradients: for the probe, and for clipping by the norm of the whole.

    Attributes:
        pre: dL/dh by layer, `[R, O, B]`; only where `keep_pre` was asked for.
        parameters: Gradient of weights and biases by layer, `[R, I+1, O]`.
        norms: Gradient of gamma and beta by layer, `[R, 2, O]`, where there are any.
    """

    def __init__(self, num_layers: int, space: Workspace, *, keep_pre: bool) -> None:
        self._space = space
        self._keep_pre = keep_pre
        empty = torch.empty(0)
        self.pre = [empty] * num_layers
        self.parameters = [empty] * num_layers
        self.norms: dict[int, Tensor] = {}

    def affine(self, layer: Affine, left: Tensor, delta: Tensor) -> None:
        """Form and keep the layer's gradients."""
        grad = self._space.take(f"collected gradient {layer.index}", *layer.parameter.value.shape)
        self.parameters[layer.index] = torch.bmm(left, delta.transpose(1, 2), out=grad)
        if self._keep_pre:
            self.pre[layer.index] = delta.clone()

    def norm(self, layer: Norm, grad: Tensor) -> None:
        """Keep the gradient of gamma and beta."""
        self.norms[layer.index] = grad


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
