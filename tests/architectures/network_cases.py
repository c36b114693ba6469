"""Which networks the tests go through, and a start from seeds as an engine makes it."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES, Act, MeasuredLayer, Network, reset
from fathom.architectures.base import ImageShape
from fathom.initializers import INITIALIZERS
from fathom.registry import Choice, Value

NUM_CLASSES = 5


def choice(name: str, **params: Value) -> Choice:
    return Choice(name, tuple(sorted(params.items())))


# Each family, with a small classifier where the published one is most of the network.
FAMILIES = [
    choice("lenet"),
    choice("vgg11", classifier=(64, 64)),
    choice("resnet18"),
    choice("vit"),
]
FORMS = [
    *FAMILIES,
    choice("vgg11"),
    choice("vgg11", norm="batch_norm"),
    choice("vgg11", norm="layer_norm"),
    choice("resnet18", norm="none", stem="large"),
    choice("resnet18", norm="layer_norm"),
    choice("vit", patch=4, width=24, heads=3, layers=3, mlp_ratio=2, scale=False),
]
DROPPED = [
    choice("lenet", dropout=0.5),
    choice("vgg11", dropout=0.5),
    choice("resnet18", dropout=0.5),
    choice("vit", dropout=0.5),
]


def maker(activation: str = "silu") -> Callable[[], Act]:
    phi = ACTIVATIONS.build(Choice(activation))
    return lambda: Act(phi)


def built(
    form: Choice,
    shape: ImageShape,
    activation: str = "silu",
    device: str = "meta",
    num_classes: int = NUM_CLASSES,
) -> nn.Module:
    build = ARCHITECTURES.build(form).build
    assert build is not None
    act = maker(activation)
    with torch.device(device):
        return build(shape, num_classes, act)


def layers(network: nn.Module) -> list[MeasuredLayer]:
    return [*cast(Network, network).measured()]


@torch.no_grad()
def started(form: Choice, shape: ImageShape, activation: str = "silu", seed: int = 0) -> nn.Module:
    """Make a network in float64 whose every number comes of the seed."""
    network = built(form, shape, activation).to_empty(device="cpu").double()
    for number in (*network.parameters(), *network.buffers()):
        number.fill_(0 if number.dtype == torch.int64 else torch.nan)
    init = INITIALIZERS.build(Choice("he_normal"))
    for index, (_, linear, _) in enumerate(layers(network)):
        generator = torch.Generator().manual_seed(100 * seed + index)
        init.weight(linear.weight, generator)
        if linear.bias is not None:
            init.bias(linear.bias, linear.weight[0].numel(), generator)
    reset(network, torch.Generator().manual_seed(seed))
    return network


def batch(shape: ImageShape, size: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, *shape, dtype=torch.float64, generator=generator)
    return images, torch.arange(size) % NUM_CLASSES
