"""What an architecture is, and the pieces that all are made of.

A network is an ordinary module. Beside `forward` it names its *measured layers*: every linear map
with weights, in the order in which the signal passes them, and the activation that reads its
result. Engines draw initial weights for these and measure these; they ask nothing else of it.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from fathom.activations import Activation

ImageShape = tuple[int, int, int]  # channels, height, width
Linear = nn.Linear | nn.Conv2d
Normalise = Literal["none", "batch_norm", "layer_norm"]


class _Elementwise(torch.autograd.Function):
    """phi with the record's own slope as its derivative."""

    @staticmethod
    def forward(ctx, h: Tensor, phi: Activation) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as torch calls it
        ctx.save_for_backward(h)
        ctx.phi = phi
        return phi.value(h)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as torch calls it
        (h,) = ctx.saved_tensors
        return grad * ctx.phi.slope(h), None


class Act(nn.Module):
    """An activation at one place of a network: a module of its own wherever it is used.

    Its derivative is the record's slope, since a user may have written one that differs from
    autograd on purpose.
    """

    def __init__(self, phi: Activation) -> None:
        super().__init__()
        self.phi = phi

    def forward(self, h: Tensor) -> Tensor:
        """Return phi(h), of any shape."""
        return _Elementwise.apply(h, self.phi)  # type: ignore[no-any-return,no-untyped-call]  # torch's


class MeasuredLayer(NamedTuple):
    """One linear map of a network, and what reads it.

    Attributes:
        name: Its name within the network, as in `state_dict`, without `.weight`.
        linear: The map; its output is the pre-activation h.
        act: The activation whose argument comes of h (through a normalisation, or after a shortcut
            was added); None where none follows, as after the output layer.
    """

    name: str
    linear: Linear
    act: Act | None


class Network(Protocol):
    """A module that can be trained and measured: `[B, C, H, W] -> [B, K]`, logits."""

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A kind of network, its own parameters chosen.

    Attributes:
        name: Name in the registry.
        build: `build(image_shape, num_classes, act)` makes the network, where `act()` makes each of
            its activations; weights are torch's defaults until they are drawn. Raises ValueError
            with a sentence if images of this shape do not fit. None for `mlp`, whose layers are
            settings of the study.
        source: Where the definition comes from.
    """

    name: str
    build: Callable[[ImageShape, int, Callable[[], Act]], nn.Module] | None
    source: str = ""


def measured(network: nn.Module, pairs: Sequence[tuple[Linear, Act | None]]) -> list[MeasuredLayer]:
    """Name linear maps as a network's `state_dict` does."""
    names = {module: name for name, module in network.named_modules()}
    return [MeasuredLayer(names[linear], linear, act) for linear, act in pairs]


def normalisation(kind: Normalise, num_channels: int) -> nn.Module:
    """Make what stands between a convolution `[B, C, H, W]` and its activation.

    `layer_norm` normalises an image's channels and positions together, and scales each channel.
    """
    if kind == "batch_norm":
        return nn.BatchNorm2d(num_channels)
    return nn.GroupNorm(1, num_channels) if kind == "layer_norm" else nn.Identity()


def image_shape(sample_shape: Sequence[int]) -> ImageShape:
    """Read a sample's shape as that of an image: `[H, W]` is grey, `[C, H, W]` has channels.

    Raises:
        ValueError: If it is neither.
    """
    match tuple(sample_shape):
        case (height, width):
            return 1, height, width
        case (channels, height, width):
            return channels, height, width
    raise ValueError(
        f"samples of shape {tuple(sample_shape)} are no images; must be [H, W] or [C, H, W]"
    )
