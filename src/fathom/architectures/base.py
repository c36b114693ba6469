"""What an architecture is, and the pieces that all are made of.

A network is an ordinary module. Beside `forward` it names its *measured layers*: every linear map
with weights, in the order in which the signal passes them, and the activation that reads its
result. Engines draw initial weights for these and measure these; they ask nothing else of it.

How a network starts. Every number of it belongs to one of two parts, and neither depends on
torch's global generator:

* weights and biases (None where a normalisation makes them idle) of the measured layers: the engine
  draws them through the study's initializer;
* all else, through `reset(network, generator)`: scales 1 and shifts 0 of normalisations, running
  means 0 and variances 1, and `Learned` numbers from the generator. A user's own module starts this
  part by itself, under `torch_seeded`, see `custom.py`.

A network that is built under `torch.device("meta")` and then moved by `to_empty` draws nothing
while it is built; its activations' records must have been made outside of that context.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from fathom.activations import Activation
from fathom.errors import suggestion

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


class Network(nn.Module):
    """A module that can be trained and measured: samples to logits `[B, K]`."""

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output.

        Raises:
            NotImplementedError: If a kind of network does not say.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A kind of network, its own parameters chosen.

    Attributes:
        name: Name in the registry.
        build: `build(image_shape, num_classes, act)` makes the network, where `act()` makes each of
            its activations; weights are torch's defaults until they are drawn. Raises ValueError
            with a sentence if images of this shape do not fit. None for `mlp`, whose layers are
            settings of the study.
        own: A user's module, which starts all but its measured layers by itself, by torch's own
            generator.
        source: Where the definition comes from.
        warnings: Sentences for the user: what works and is unlikely to be meant.
    """

    name: str
    build: Callable[[ImageShape, int, Callable[[], Act]], Network] | None
    own: bool = False
    source: str = ""
    warnings: tuple[str, ...] = ()


def measured(network: nn.Module, pairs: Sequence[tuple[Linear, Act | None]]) -> list[MeasuredLayer]:
    """Name linear maps as a network's `state_dict` does."""
    names = {module: name for name, module in network.named_modules()}
    return [MeasuredLayer(names[linear], linear, act) for linear, act in pairs]


def chain(modules: Iterable[nn.Module]) -> list[tuple[Linear, Act | None]]:
    """Pair the linear maps of modules that follow one another with the next activation, if any."""
    pairs: list[tuple[Linear, Act | None]] = []
    for module in modules:
        if isinstance(module, Linear):
            pairs.append((module, None))
        elif isinstance(module, Act) and pairs:
            pairs[-1] = (pairs[-1][0], module)
    return pairs


class Learned(nn.Module):
    """Numbers that are learned and belong to no map, such as a token: N(0, std^2) at the start.

    Zero until they are drawn, see `reset`.
    """

    def __init__(self, *shape: int, std: float) -> None:
        super().__init__()
        self.std = std
        self.value = nn.Parameter(torch.zeros(shape))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw all numbers in float64, and store them in the precision of the network."""
        noise = torch.randn(self.value.shape, dtype=torch.float64, generator=generator)
        self.value.copy_(self.std * noise)

    def forward(self) -> Tensor:
        """Return the numbers."""
        return self.value


def reset(network: nn.Module, generator: torch.Generator) -> None:
    """Start what belongs to no measured layer; weights and biases of these are left as they are.

    Args:
        network: Of any architecture; changed in place.
        generator: Where `Learned` numbers come from, in the order of the network's modules; on the
            CPU. A network without them takes none.
    """
    for module in network.modules():
        if isinstance(module, Learned):
            module.draw(generator)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            module.reset_parameters()


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Draw what torch draws by itself (dropout, a module's own start) from a seed.

    Its generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def check_norm(norm: str) -> None:
    """Refuse what is no kind of normalisation.

    Raises:
        ValueError: If it is none.
    """
    kinds = get_args(Normalise)
    if norm not in kinds:
        near = suggestion(str(norm), kinds)
        raise ValueError(f"norm: got '{norm}'; must be one of {', '.join(kinds)}.{near}")


def convolution(
    num_in: int, num_out: int, kernel: int, norm: Normalise, stride: int = 1
) -> nn.Conv2d:
    """Make a convolution that keeps an image's size at stride 1, to be followed by `norm`.

    It has no bias before `batch_norm`, which would take it away again: its gradient would be
    rounding noise.

    Args:
        num_in: Channels of its input.
        num_out: Channels of its output.
        kernel: Side of its kernel, odd.
        norm: What follows it.
        stride: Pixels from one place to the next.
    """
    has_bias = norm != "batch_norm"
    return nn.Conv2d(num_in, num_out, kernel, stride, padding=kernel // 2, bias=has_bias)


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
