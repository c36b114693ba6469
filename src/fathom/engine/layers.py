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

from fathom.activations.base import Activation, unit_order
from fathom.stacks import aligned, apart, lay_out, room


class Augmented(NamedTuple):
    """Inputs of an affine map, one memory in two views.

    Attributes:
        whole: `[R, I+1, B]`; the last row is ones.
        units: `[R, I, B]`, the rows before.
    """

    whole: Tensor
    units: Tensor


class Workspace:
    """Stacks by role, allocated once; what is taken again is the very same tensor.

    Args:
        dtype: Of all numbers.
        largest_batch: The most samples that a batch may have: no memory ever moves, so that views
            of it can be kept.
        device: Where it lies.
    """

    def __init__(
        self, dtype: torch.dtype, largest_batch: int, device: torch.device | str = "cpu"
    ) -> None:
        self._dtype, self._device, self._largest_batch = dtype, device, largest_batch
        self._memory: dict[str, Tensor] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._augmented: dict[tuple[str, int], Augmented] = {}
        self._batch_of: dict[str, int] = {}
        # A captured step is replayed without this code: it must hold the writing of the ones.
        self.always_writes_ones = torch.device(device).type != "cpu"

    def take(self, role: str, num_runs: int, *shape: int) -> Tensor:
        """Return a stack `[R, *shape]`, always the same; its content is whatever was left there."""
        return self._take(role, (num_runs, *shape), (num_runs, *shape))

    def take_units(self, role: str, num_runs: int, num_units: int, batch: int) -> Tensor:
        """Return a stack `[R, O, B]`; batches of different sizes share the memory of a role."""
        assert batch <= self._largest_batch, "the workspace was made for smaller batches"
        largest = num_runs, num_units, self._largest_batch
        return self._take(role, (num_runs, num_units, batch), largest)

    def take_augmented(self, role: str, num_runs: int, fan_in: int, batch: int) -> Augmented:
        """Return a buffer whose row of ones is in place; the role must be used this way only.

        Batches of another size have the same memory, and leave their numbers in that row.
        """
        found = self._augmented.get((role, batch))
        if found is None:
            whole = self.take_units(role, num_runs, fan_in + 1, batch)
            found = self._augmented[role, batch] = Augmented(whole, whole[:, :fan_in])
        if self.always_writes_ones or self._batch_of.get(role) != batch:
            self._batch_of[role] = batch
            found.whole[:, fan_in].fill_(1)
        return found

    def _take(self, role: str, shape: tuple[int, ...], largest: tuple[int, ...]) -> Tensor:
        view = self._views.get((role, shape))
        if view is None:
            memory = self._memory.get(role)
            if memory is None:
                memory = torch.empty(room(*largest), dtype=self._dtype, device=self._device)
                self._memory[role] = memory
            view = self._views[role, shape] = lay_out(memory[: room(*shape)], *shape)
        return view


class Parameter:
    """Weights and biases of a layer for all runs, with their optimizer's state.

    Attributes:
        value: `[R, I+1, O]`, changed in place only; the last row is the bias.
        weight: W, a view `[R, I, O]`.
        bias: b, a view `[R, O]`.
        transposed: A view `[R, O, I+1]`.
        slots: Tensors of the shape of `value`, as many as the optimizer asks for.
    """

    def __init__(self, value: Tensor, num_slots: int) -> None:
        self.value = aligned(value)
        self.weight, self.bias = self.value[:, :-1], self.value[:, -1]
        self.transposed = self.value.transpose(1, 2)
        self.slots = tuple(aligned(torch.zeros_like(value)) for _ in range(num_slots))

    def state(self, name: str) -> dict[str, Tensor]:
        """Return the tensors themselves, under names that begin with `name`."""
        return {name: self.value} | {f"{name}.{i}": slot for i, slot in enumerate(self.slots)}


class AffineSink(Protocol):
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
        parameter: Its weights and biases.
        space: Where buffers come from.
    """

    def __init__(self, index: int, parameter: Parameter, space: Workspace) -> None:
        self.index = index
        self.parameter = parameter
        self._space = space
        self._num_runs, fan_in, self.fan_out = parameter.value.shape
        self.fan_in = fan_in - 1
        self._left = torch.empty(0)

    def forward(self, left: Tensor, out: Tensor) -> Tensor:
        """Write h into `out`, `[R, O, B]`, from the augmented input, and return it.

        Args:
            left: `[R, I+1, B]`, or `[I+1, B]` where all runs share it.
            out: `[R, O, B]`.
        """
        self._left = left if left.dim() == 3 else left.expand(self._num_runs, -1, -1)
        return torch.bmm(self.parameter.transposed, self._left, out=out)

    def backward(self, delta: Tensor, sink: AffineSink) -> Tensor | None:
        """Map dL/dh `[R, O, B]` to dL/dx `[R, I, B]`, or to None at the first layer."""
        grad_in = None
        if self.index > 0:  # nothing differentiates the data
            # Two buffers in turn for each width: one is written while the neighbour's is read.
            role = f"grad{self.index % 2} of {self.fan_in}"
            grad_in = self._space.take_units(role, self._num_runs, self.fan_in, delta.shape[2])
            torch.bmm(self.parameter.weight, delta, out=grad_in)
        sink.affine(self, self._left, delta)
        return grad_in


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring runs of a cohort that share an activation."""

    runs: slice
    activation: Activation


class _Piece(NamedTuple):
    """What one call of an activation handles: `act` holds h before and phi(h) after forward."""

    activation: Activation
    act: Tensor
    kept: Tensor


class Reordering:
    """h of neighbouring runs put in an order, sample by sample.

    Nothing is computed, so that no bit depends on siblings.

    Args:
        segment: The runs, and the activation that has an order.
        act: Buffer of all runs `[R, O, B]`.
        spare: Memory for the units of these runs.
    """

    def __init__(self, segment: Segment, act: Tensor, spare: Tensor) -> None:
        self._runs, self._spare = segment.runs, spare
        self._order = segment.activation.order
        self._act = act[segment.runs]
        self._index = torch.empty(0)

    def forward(self, left: Tensor) -> None:
        """Move h within the buffer; `left` is the layer's augmented input."""
        x = left[..., :-1, :]
        assert self._order is not None, "runs whose units stay are not moved"
        self._index = unit_order(self._order, self._act, x if x.dim() == 2 else x[self._runs])
        self._act.copy_(torch.gather(self._act, 1, self._index, out=self._spare))

    def backward(self, grad: Tensor) -> None:
        """Send the gradient of every place, `[R, O, B]`, to the unit that came there."""
        mine = grad[self._runs]
        mine.scatter_(1, self._index, self._spare.copy_(mine))


class _Buffers(NamedTuple):
    """What a layer works on for one size of batch."""

    output: Augmented
    pieces: list[_Piece]
    reorderings: list[Reordering]


class Pointwise:
    """Each run's own activation at one depth; runs with the same one are neighbours.

    phi(h) overwrites h. Only where an activation's backward needs more than phi(h), it keeps that
    in a second buffer: memory traffic is what deep networks wait for. An activation with an order
    moves the units before phi sees them.

    Args:
        index: Number of the layer from 0.
        segments: Which runs have which activation.
        space: Where buffers come from.
    """

    def __init__(self, index: int, segments: Sequence[Segment], space: Workspace) -> None:
        self.index = index
        self.segments = tuple(segments)
        self._space = space
        self._buffers: dict[int, _Buffers] = {}
        self._grads: dict[int, tuple[Tensor, list[Tensor]]] = {}

    def buffer(self, num_runs: int, num_units: int, batch: int) -> Augmented:
        """Return the buffer whose units are h before `forward` and phi(h) after it."""
        output = self._space.take_augmented(f"act{self.index}", num_runs, num_units, batch)
        if batch not in self._buffers:
            act = output.units
            self._buffers[batch] = _Buffers(output, self._pieces(act), self._reorderings(act))
        return output

    def forward(self, left: Tensor) -> None:
        """Turn h into phi(h) in the buffer.

        Args:
            left: What the layer's affine map was given, augmented, whose batch tells the buffer.
        """
        _, pieces, reorderings = self._buffers[left.shape[-1]]
        for reordering in reorderings:
            reordering.forward(left)
        for phi, act, kept in pieces:
            phi.forward_into(act, kept)

    def backward(self, grad: Tensor) -> Tensor:
        """Turn dL/dphi, the `[R, O, B]` of the layer above, into dL/dh in place."""
        batch = grad.shape[2]
        known, cut = self._grads.get(batch, (None, []))
        if known is not grad:  # it is a buffer: cut once for every size of batch
            cut = [piece for segment in self.segments for piece in apart(grad[segment.runs])]
            self._grads[batch] = grad, cut
        _, pieces, reorderings = self._buffers[batch]
        for (phi, act, kept), piece in zip(pieces, cut, strict=True):
            phi.backward_into(piece, kept, act)
        for reordering in reorderings:
            reordering.backward(grad)
        return grad

    def slope(self, h: Tensor) -> Tensor:
        """Return phi'(h), both `[R, O, B]`."""
        return torch.cat([
            segment.activation.slope(piece)
            for segment in self.segments
            for piece in apart(h[segment.runs])
        ])

    def _pieces(self, act: Tensor) -> list[_Piece]:
        """Cut the buffer into what one call may handle, each with the memory for what it keeps."""
        num_keeping = sum(len(act[s.runs]) for s in self.segments if s.activation.keeps)
        kept = act[:0]
        if num_keeping:
            kept = self._space.take_units(f"kept{self.index}", num_keeping, *act.shape[1:])
        pieces, first = [], 0
        for segment in self.segments:
            acts = apart(act[segment.runs])
            room: Sequence[Tensor] = acts  # not touched
            if segment.activation.keeps:
                stop = first + len(act[segment.runs])
                room, first = apart(kept[first:stop]), stop
            pairs = zip(acts, room, strict=True)
            pieces += [_Piece(segment.activation, a, k) for a, k in pairs]
        return pieces

    def _reorderings(self, act: Tensor) -> list[Reordering]:
        """Make what moves units, for the runs whose activation does."""
        found = []
        for segment in self.segments:
            if segment.activation.order is not None:
                role = f"moved{self.index} from run {segment.runs.start}"
                num_runs = len(act[segment.runs])
                spare = self._space.take_units(role, num_runs, *act.shape[1:])
                found.append(Reordering(segment, act, spare))
        return found
