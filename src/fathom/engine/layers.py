"""Layers of a stacked network: forward and backward over all runs at once.

Units lie before samples, `[R, O, B]`, and the input of an affine map carries a last row of ones:
then weights and biases are one parameter `[R, I+1, O]`, and forward, backward and update are one
product each. A layer keeps what its backward needs from its last forward.

Backward hands the gradient of the parameters to a *sink*, which either updates them on the spot or
collects gradients; the layer does not know which.

Shapes: R runs, B batch, I in, O out. The input of the first layer is shared by all runs: it is
broadcast, never copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fathom.activations.base import Activation
from fathom.stacks import aligned, lay_out, room


class Augmented(NamedTuple):
    """Inputs of an affine map, one memory in two views.

    Attributes:
        whole: `[R, I+1, B]`; the last row is ones.
        units: `[R, I, B]`, the rows before.
    """

    whole: Tensor
    units: Tensor


class Workspace:
    """Stacks by role, allocated once: a smaller shape is a view of the same memory."""

    def __init__(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        self._dtype, self._device = dtype, device
        self._memory: dict[str, Tensor] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._augmented: dict[str, Augmented] = {}

    def take(self, role: str, num_runs: int, *shape: int) -> Tensor:
        """Return a stack `[R, *shape]`; its content is whatever was left there."""
        key = role, (num_runs, *shape)
        view = self._views.get(key)
        if view is None:
            memory = self._reserve(role, room(num_runs, *shape))
            view = self._views[key] = lay_out(memory, num_runs, *shape)
        return view

    def take_augmented(self, role: str, num_runs: int, fan_in: int, batch: int) -> Augmented:
        """Return a buffer whose row of ones is in place; the role must be used this way only."""
        last = self._augmented.get(role)
        whole = self.take(role, num_runs, fan_in + 1, batch)
        if last is None or last.whole is not whole:  # another shape had this memory
            whole[:, fan_in] = 1
            last = self._augmented[role] = Augmented(whole, whole[:, :fan_in])
        return last

    def _reserve(self, role: str, size: int) -> Tensor:
        memory = self._memory.get(role)
        if memory is None or memory.numel() < size:
            self._views = {key: v for key, v in self._views.items() if key[0] != role}
            memory = torch.empty(size, dtype=self._dtype, device=self._device)
            self._memory[role] = memory
        return memory[:size]


@dataclass(slots=True, eq=False)
class Parameter:
    """Weights and biases of a layer for all runs, with their optimizer's state.

    Attributes:
        value: `[R, I+1, O]`; the last row is the bias.
        slots: Tensors of the same shape, as many as the optimizer asks for.
    """

    value: Tensor
    slots: tuple[Tensor, ...] = ()

    @property
    def weight(self) -> Tensor:
        """W, a view `[R, I, O]`."""
        return self.value[:, :-1]

    @property
    def bias(self) -> Tensor:
        """b, a view `[R, O]`."""
        return self.value[:, -1]


class Sink(Protocol):
    """Takes the gradient of an affine map's parameters during backward."""

    def affine(self, layer: "Affine", left: Tensor, delta: Tensor) -> None:
        """Receive the gradient `left @ delta^T` of the parameters, unformed.

        Args:
            layer: Whose gradient it is.
            left: Its augmented input, `[R, I+1, B]`.
            delta: dL/dh, `[R, O, B]`.
        """


class Affine:
    """h = W x + b for every run.

    Args:
        index: Number of the layer from 0; layer 0 reads the data and has no gradient of its input.
        weight_RIO: Initial weights.
        bias_RO: Initial biases.
        space: Where buffers come from.
    """

    def __init__(self, index: int, weight_RIO: Tensor, bias_RO: Tensor, space: Workspace) -> None:
        self.index = index
        self.parameter = Parameter(aligned(torch.cat([weight_RIO, bias_RO[:, None]], 1)))
        self._space = space
        self._left = torch.empty(0)

    def forward(self, left: Tensor, out: Tensor) -> Tensor:
        """Write h into `out`, `[R, O, B]`, from the augmented input, and return it.

        Args:
            left: `[R, I+1, B]`, or `[I+1, B]` where all runs share it.
            out: `[R, O, B]`.
        """
        value = self.parameter.value
        self._left = left if left.dim() == 3 else left.expand(len(value), -1, -1)
        return torch.bmm(value.transpose(1, 2), self._left, out=out)

    def backward(self, delta: Tensor, sink: Sink) -> Tensor | None:
        """Map dL/dh `[R, O, B]` to dL/dx `[R, I, B]`, or to None at the first layer."""
        grad_in = None
        if self.index > 0:  # nothing differentiates the data
            weight = self.parameter.weight
            # Two buffers in turn: this one is written while the neighbour's is read.
            role = f"grad{self.index % 2}"
            grad_in = self._space.take(role, *weight.shape[:2], delta.shape[2])
            torch.bmm(weight, delta, out=grad_in)
        sink.affine(self, self._left, delta)
        return grad_in


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring runs of a cohort that share an activation."""

    runs: slice
    activation: Activation


class Pointwise:
    """Each run's own activation at one depth; runs with the same one are neighbours.

    Where every activation's backward needs its output alone, pre-activations are overwritten by
    activations: half the memory traffic.

    Args:
        index: Number of the layer from 0.
        segments: Which runs have which activation.
        space: Where buffers come from.

    Attributes:
        act: phi(h) of the last forward, `[R, O, B]`.
    """

    def __init__(self, index: int, segments: Sequence[Segment], space: Workspace) -> None:
        self.index = index
        self.segments = tuple(segments)
        self._space = space
        self._in_place = all(segment.activation.in_place for segment in segments)
        self._kept = self.act = torch.empty(0)

    def destination(self, num_runs: int, num_units: int, batch: int) -> Tensor:
        """Return the buffer `[R, O, B]` into which h is to be written before `forward`."""
        if self._in_place:
            return self._output(num_runs, num_units, batch).units
        # Laid out like the other, lest a product takes another kernel because of its siblings.
        return self._space.take(f"pre{self.index}", num_runs, num_units + 1, batch)[:, :-1]

    def forward(self, h: Tensor) -> Tensor:
        """Map h `[R, O, B]`, which is overwritten, to the augmented phi(h) `[R, O+1, B]`."""
        output = self._output(*h.shape)
        self._kept, self.act = h, output.units
        for segment in self.segments:
            segment.activation.forward_into(h[segment.runs], self.act[segment.runs])
        return output.whole

    def backward(self, grad: Tensor) -> Tensor:
        """Turn dL/dphi `[R, O, B]` into dL/dh in place."""
        for segment in self.segments:
            runs = segment.runs
            segment.activation.backward_into(grad[runs], self._kept[runs], self.act[runs])
        return grad

    def slope(self, h: Tensor) -> Tensor:
        """Return phi'(h), both `[R, O, B]`."""
        slopes = torch.empty_like(h)
        for segment in self.segments:
            segment.activation.slope_into(h[segment.runs], slopes[segment.runs])
        return slopes

    def _output(self, num_runs: int, num_units: int, batch: int) -> Augmented:
        return self._space.take_augmented(f"act{self.index}", num_runs, num_units, batch)
