"""Layers of a stacked network: small records of forward and backward over all runs at once.

A layer keeps what its backward needs from its last forward. Backward hands the gradient of the
layer's parameters to a *sink*, which either updates them on the spot or collects gradients; the
layer does not know which. A new kind of layer (a norm, a skip) is another class with these two
methods.

Shapes: R runs, B batch, I in, O out. The first layer reads an input `[B, I]` that all runs share;
it is broadcast, never copied.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from fathom.activations.base import Activation


class Workspace:
    """Buffers by role, allocated once: a smaller shape is a view of the same memory."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._memory: dict[str, Tensor] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def take(self, role: str, *shape: int) -> Tensor:
        """Return a contiguous buffer; its content is whatever was left there."""
        view = self._views.get((role, shape))
        if view is None:
            view = self._views[role, shape] = self._reserve(role, math.prod(shape)).view(shape)
        return view

    def _reserve(self, role: str, size: int) -> Tensor:
        memory = self._memory.get(role)
        if memory is None or memory.numel() < size:
            self._views = {key: v for key, v in self._views.items() if key[0] != role}
            memory = self._memory[role] = torch.empty(size, dtype=self._dtype)
        return memory[:size]


@dataclass(slots=True, eq=False)
class Parameter:
    """A stacked parameter with its optimizer's state.

    Attributes:
        value: `[R, I, O]` or `[R, 1, O]`.
        slots: Tensors of the same shape, as many as the optimizer asks for.
    """

    value: Tensor
    slots: tuple[Tensor, ...] = field(default=())


class Sink(Protocol):
    """Takes the gradient of a linear layer's parameters during backward."""

    def linear(self, layer: "Linear", left_RIB: Tensor, delta_RBO: Tensor) -> None:
        """Receive weight gradient `left @ delta` and bias gradient `delta.sum(1)`, unformed.

        The sink may overwrite `delta_RBO`, which is dL/dh of the layer.
        """


class Layer(Protocol):
    """Forward and backward of one layer for all runs."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `[R, B, I]` (or the shared `[B, I]`) to `[R, B, O]`."""

    def backward(self, grad_out: Tensor, sink: Sink) -> Tensor | None:
        """Map dL/d(output) to dL/d(input); None where nobody needs it. May overwrite `grad_out`."""


class Linear:
    """h = x W + b for every run.

    Args:
        index: Number of the layer from 0; layer 0 reads the data and has no gradient of its input.
        weight_RIO: Initial weights, changed in place by training.
        bias_R1O: Initial biases, likewise.
        space: Where buffers come from.
    """

    def __init__(self, index: int, weight_RIO: Tensor, bias_R1O: Tensor, space: Workspace) -> None:
        self.index = index
        self.weight = Parameter(weight_RIO)
        self.bias = Parameter(bias_R1O)
        self._space = space
        self._input = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[R, B, I]` (or the shared `[B, I]`) to `[R, B, O]`."""
        num_runs, _, fan_out = self.weight.value.shape
        self._input = x if x.dim() == 3 else x.expand(num_runs, -1, -1)
        out = self._space.take(f"pre{self.index}", num_runs, self._input.shape[1], fan_out)
        torch.baddbmm(self.bias.value, self._input, self.weight.value, out=out)
        return out

    def backward(self, grad_out: Tensor, sink: Sink) -> Tensor | None:
        """Map dL/dh to dL/dx, or to None at the first layer."""
        grad_in = None
        if self.index > 0:  # nothing differentiates the data
            # Two buffers in turn: this one is written while the neighbour's is read.
            role = f"grad{self.index % 2}"
            grad_in = self._space.take(role, *self._input.shape)
            torch.bmm(grad_out, self.weight.value.transpose(1, 2), out=grad_in)
        sink.linear(self, self._input.transpose(1, 2), grad_out)
        return grad_in


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring runs of a cohort that share an activation."""

    runs: slice
    activation: Activation


class Pointwise:
    """Each run's own activation at one depth; runs with the same one are neighbours.

    Attributes:
        pre: h of the last forward, `[R, B, O]`.
        act: phi(h) of the last forward, `[R, B, O]`.
    """

    def __init__(self, index: int, segments: Sequence[Segment], space: Workspace) -> None:
        self.index = index
        self.segments = tuple(segments)
        self._space = space
        self.pre = self.act = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """Map h to phi(h), `[R, B, O]`."""
        self.pre = x
        self.act = self._space.take(f"act{self.index}", *x.shape)
        for segment in self.segments:
            segment.activation.forward_into(x[segment.runs], self.act[segment.runs])
        return self.act

    def backward(self, grad_out: Tensor, sink: Sink) -> Tensor:
        """Turn dL/dphi into dL/dh in place; there are no parameters, so the sink gets nothing."""
        for segment in self.segments:
            runs = segment.runs
            segment.activation.backward_into(grad_out[runs], self.pre[runs], self.act[runs])
        return grad_out

    def slope(self) -> Tensor:
        """Return phi'(h) of the last forward, `[R, B, O]`."""
        slopes = torch.empty_like(self.pre)
        for segment in self.segments:
            segment.activation.slope_into(self.pre[segment.runs], slopes[segment.runs])
        return slopes
