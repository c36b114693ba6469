"""Measure the layers of any network on one batch: what hooks and autograd see.

Shapes: B batch, C channels, H height, W width, T tokens, D units of a token; N numbers of one
input's pre-activation, U units, S samples of a unit.

A convolution applies one unit per channel at every position, and a linear map of tokens one unit
per output to every token. Such a unit has S = B x positions samples, and its input has N = U x
positions pre-activations; in a plain layer both are its outputs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fathom.architectures.base import MeasuredLayer
from fathom.engine.probes import LayerView


def measure_network(
    net: nn.Module, layers: Sequence[MeasuredLayer], loss: Callable[[], Tensor]
) -> list[LayerView]:
    """Measure every layer as a training step sees it, but without dropout; nothing changes.

    `batch_norm` takes the batch's own statistics, and gradients flow through these.

    Args:
        net: The network.
        layers: Its measured layers.
        loss: Passes the batch through the network and returns the mean loss.

    Returns:
        A stack of one for each layer.
    """
    linears = [layer.linear for layer in layers]
    acts = [layer.act for layer in layers if layer.act is not None]
    with _unchanged(net), _seen(linears) as pre, _seen(acts, argument=True) as arguments:
        loss_value = loss()
        outputs = [pre[linear] for linear in linears]
        weights = [linear.weight for linear in linears]
        grads = torch.autograd.grad(loss_value, [*outputs, *weights])
    views = []
    for index, layer in enumerate(layers):
        weight = layer.linear.weight
        views.append(
            LayerView(
                pre=_by_input(outputs[index].detach()),
                **_at_units(layer, arguments)._asdict(),
                grad_pre=_by_input(grads[index]),
                grad_weight=_as_matrix(grads[len(layers) + index]),
                weight=_as_matrix(weight.detach()),
            )
        )
    return views


class _Units(NamedTuple):
    """What a `LayerView` says of a layer's activation."""

    act: Tensor | None
    slope: Tensor | None
    saturation_slope: Tensor | None


def _at_units(layer: MeasuredLayer, arguments: dict[nn.Module, Tensor]) -> _Units:
    """Look at an activation where it is evaluated."""
    if layer.act is None:
        return _Units(None, None, None)
    phi, argument = layer.act.phi, _by_unit(layer.linear, arguments[layer.act].detach())
    steepest = torch.tensor([phi.saturation_slope], dtype=torch.float64)
    return _Units(phi.value(argument), phi.slope(argument), steepest)


def _by_input(x: Tensor) -> Tensor:
    """Lay `[B, ...]` out as `[1, N, B]`."""
    return x.flatten(1).T[None]


def _by_unit(linear: nn.Module, x: Tensor) -> Tensor:
    """Lay `[B, C, H, W]`, `[B, T, D]` or `[B, D]` out as `[1, U, S]`."""
    units = 1 if isinstance(linear, nn.Conv2d) else x.dim() - 1
    return x.movedim(units, 0).flatten(1)[None]


def _as_matrix(weight: Tensor) -> Tensor:
    """Lay a weight `[O, I, ...]` out as `[1, I, O]`, a kernel's positions as further inputs."""
    return weight.flatten(1).T[None]


@contextmanager
def _unchanged(net: nn.Module) -> Iterator[None]:
    """Put a network into training mode without dropout; keep running statistics from the batch.

    A backward belongs inside: autograd refuses tensors that changed after the forward.
    """
    kept = [buffer.clone() for buffer in net.buffers()]
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(net.buffers(), kept, strict=True):
                buffer.copy_(before)


@contextmanager
def _seen(
    modules: Sequence[nn.Module], *, argument: bool = False
) -> Iterator[dict[nn.Module, Tensor]]:
    """Collect what modules return, or what they are given, while the context lasts."""
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        found[module] = given[0] if argument else output

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
