"""Which axis are units: planted dead ones are found, however a network lays its numbers out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.activations import ACTIVATIONS
from fathom.architectures.base import Act
from fathom.engine.units import count_units
from fathom.errors import FathomError
from fathom.registry import Choice

DEAD = [1, 4]
FAR = -1e4  # a bias that nothing lifts


def killed(module: nn.Module) -> nn.Module:
    """Plant two dead units in what a map or a normalisation returns."""
    with torch.no_grad():
        module.bias.fill_(1.0)  # type: ignore[operator, union-attr]
        module.bias[DEAD] = FAR  # type: ignore[index]
    return module


class Net(nn.Module):
    """A forward pass as a function of the network's parts."""

    def __init__(self, forward: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.way = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


class FunctionalConv(nn.Module):
    """A convolution that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, bias = nn.Parameter(torch.randn(6, 3, 3, 3)), torch.randn(6)
        bias[DEAD] = FAR
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.conv2d(x, self.weight, self.bias))


class Left(nn.Module):
    """A matrix that mixes channels from the left: W x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, bias = nn.Parameter(torch.randn(6, 3)), torch.zeros(6, 1)
        bias[DEAD] = FAR
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.weight @ x.flatten(2) + self.bias)


def two_branches(net: Net, x: Tensor) -> Tensor:
    """A linear map is called between a convolution and its activation."""
    image = net.conv(x)
    gate = net.linear(x.mean((2, 3)))
    return torch.relu(image) * torch.sigmoid(gate)[:, :, None, None]


def windows(net: Net, x: Tensor) -> Tensor:
    """Tokens in windows of 2 x 2 and back, as in Swin."""
    h = net.conv(x).permute(0, 2, 3, 1)
    h = h.view(len(x), 3, 2, 3, 2, 6).transpose(2, 3).reshape(-1, 4, 6)
    return F.gelu(h)


class Written(nn.Module):
    """Samples that are written into copies of a parameter."""

    def __init__(self, *, added: bool) -> None:
        super().__init__()
        self.conv, self.added = killed(nn.Conv2d(3, 6, 3)), added
        self.start = nn.Parameter(torch.zeros(6, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        h = self.start.expand(len(x), -1, -1, -1).clone()
        if self.added:
            h += self.conv(x)
        else:
            h[:, :6] = self.conv(x)
        return torch.relu(h)


# Network -> what plants its dead units is in it; samples of a unit for each of 16 images of 8 x 8.
LAYOUTS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "a function that convolves": (FunctionalConv, 36),
    "a transposed convolution behind a linear map": (
        lambda: Net(
            lambda net, x: F.relu(net.up(torch.sin(net.linear(x.flatten(1))).view(-1, 8, 2, 2))),
            linear=nn.Linear(192, 32),
            up=killed(nn.ConvTranspose2d(8, 6, 3)),
        ),
        16,
    ),
    "a normalised image of a linear map": (
        lambda: Net(
            lambda net, x: torch.relu(net.norm(net.linear(x.flatten(1)).view(-1, 8, 4, 4))),
            linear=nn.Linear(192, 128),
            norm=killed(nn.BatchNorm2d(8)),
        ),
        16,
    ),
    "patches as normalised tokens": (
        lambda: Net(
            lambda net, x: F.gelu(net.norm(net.conv(x).flatten(2).transpose(1, 2))),
            conv=nn.Conv2d(3, 8, 2, 2),
            norm=killed(nn.LayerNorm(8)),
        ),
        16,
    ),
    "patches as tokens": (
        lambda: Net(
            lambda net, x: F.gelu(net.conv(x).flatten(2).mT), conv=killed(nn.Conv2d(3, 8, 2, 2))
        ),
        16,
    ),
    "as many tokens as channels": (
        lambda: Net(
            lambda net, x: F.gelu(net.conv(x).flatten(2).permute(0, 2, 1)),
            conv=killed(nn.Conv2d(3, 16, 2, 2)),
        ),
        16,
    ),
    "tokens first": (
        lambda: Net(
            lambda net, x: torch.relu(net.linear(x.flatten(2).permute(2, 0, 1))),
            linear=killed(nn.Linear(3, 6)),
        ),
        64,
    ),
    "channels last and first again": (
        lambda: Net(
            lambda net, x: torch.relu(
                torch.movedim(net.linear(torch.movedim(x, 1, -1)), source=-1, destination=1)
            ),
            linear=killed(nn.Linear(3, 6)),
        ),
        64,
    ),
    "pooled": (
        lambda: Net(
            lambda net, x: torch.relu(F.max_pool2d(net.conv(x), 2)), conv=killed(nn.Conv2d(3, 6, 3))
        ),
        9,
    ),
    "two branches": (
        lambda: Net(two_branches, conv=killed(nn.Conv2d(3, 6, 3)), linear=nn.Linear(3, 6)),
        36,
    ),
    "two activations, the first our own": (
        lambda: Net(
            lambda net, x: torch.relu(net.act(net.conv(x))),
            conv=killed(nn.Conv2d(3, 6, 3)),
            act=Act(ACTIVATIONS.build(Choice("tanh"))),
        ),
        36,
    ),
    "added to a copy of a parameter": (lambda: Written(added=True), 36),
    "written into a copy of a parameter": (lambda: Written(added=False), 36),
    "windows": (lambda: Net(windows, conv=killed(nn.Conv2d(3, 6, 3))), 36),
    "a product from the left": (Left, 64),
}


def images() -> Tensor:
    return torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_planted_channels_are_found_in_every_layout(layout: str) -> None:
    torch.manual_seed(0)
    build, positions = LAYOUTS[layout]
    net = build()
    counted = count_units(net, images().split(7))
    (found,) = [part for part in counted if "dead" in part.states]
    assert [unit for unit, state in enumerate(found.states) if state == "dead"] == DEAD
    assert found.num_samples == 16 * positions


def test_a_gate_of_another_branch_has_its_own_units() -> None:
    net = Net(two_branches, conv=nn.Conv2d(3, 6, 3), linear=nn.Linear(3, 6))
    counted = count_units(net, [images()])
    assert [(part.name, part.num_samples) for part in counted] == [
        ("relu 1", 16 * 36),
        ("sigmoid 1", 16),
    ]


class Cut(nn.Module):
    """Heads of attention: the axis of units is cut into pieces."""

    def __init__(self, *, joined: bool) -> None:
        super().__init__()
        self.linear, self.joined = nn.Linear(3, 8), joined

    def forward(self, x: Tensor) -> Tensor:
        heads = self.linear(x.flatten(2).mT).view(len(x), 64, 2, 4)
        return torch.relu(self.linear(heads[..., :3]) if self.joined else heads)


def test_units_that_cannot_be_told_are_refused() -> None:
    with pytest.raises(FathomError, match=r"which axis of \[16, 64, 2, 4\] are units is not known"):
        count_units(Cut(joined=False), [images()])
    with pytest.raises(FathomError, match=r"which axis of \[16, 3, 8, 8\] are units .* 'tanh 1'"):
        count_units(nn.Tanh(), [images()])
    (found,) = count_units(Cut(joined=True), [images()])  # the next map tells it anew
    assert (len(found.states), found.num_samples) == (8, 16 * 64 * 2)


class Scaled(nn.Module):
    """A positive scale, which is an activation of a parameter."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        scale = F.softplus(2 * self.scale) + torch.sigmoid(self.scale)
        return self.second(torch.relu(self.first(x))) * scale.mean()


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (16,), (16, 3), (16, 3, 2)], ids=str)
def test_activations_of_a_parameter_are_no_units(shape: tuple[int, ...]) -> None:
    (found,) = count_units(Scaled(*shape), [torch.randn(16, 20), torch.randn(5, 20)])
    assert (found.name, found.num_samples, len(found.states)) == ("relu 1", 21, 8)


def test_a_mean_over_the_batch_is_no_unit_and_a_number_for_each_sample_is_one() -> None:
    net = Net(
        lambda net, x: torch.sigmoid(net.linear(x)[:, 0]) * torch.tanh(net.linear(x).mean()),
        linear=nn.Linear(20, 3),
    )
    (found,) = count_units(net, [torch.randn(16, 20), torch.randn(5, 20)])
    assert (found.name, found.num_samples, len(found.states)) == ("sigmoid 1", 21, 1)
