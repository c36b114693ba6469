"""Units that never answer, never change or only saturate: all planted ones are found, no others."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.activations import ACTIVATIONS
from fathom.architectures.base import Act
from fathom.engine.units import count_units
from fathom.errors import FathomError
from fathom.registry import Choice


def inputs(num: int = 2000, features: int = 20) -> list[Tensor]:
    rng = torch.Generator().manual_seed(1)
    return list(torch.randn(num, features, generator=rng).split(128))


def he_network(phi: Callable[[], nn.Module], width: int = 60, depth: int = 3) -> nn.Sequential:
    rng = torch.Generator().manual_seed(2)
    layers: list[nn.Module] = []
    sizes = [20] + [width] * depth
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out)
        with torch.no_grad():
            linear.weight.normal_(0, math.sqrt(2 / fan_in), generator=rng)
            linear.bias.zero_()
        layers += [linear, phi()]
    return nn.Sequential(*layers, nn.Linear(width, 3))


def fathoms(name: str) -> Callable[[], nn.Module]:
    phi = ACTIVATIONS.build(Choice(name))
    return lambda: Act(phi)


class Functional(nn.Module):
    """The same network with functions in place of modules, each of another form."""

    def __init__(self, net: nn.Sequential, name: str) -> None:
        super().__init__()
        self.linears = nn.ModuleList(layer for layer in net if isinstance(layer, nn.Linear))
        self.forms = [
            lambda h: getattr(h, name)(),
            lambda h: getattr(torch, f"{name}_")(h),
            lambda h: getattr(F, name)(input=h),
        ]

    def forward(self, x: Tensor) -> Tensor:
        for linear, form in zip(self.linears[:-1], self.forms, strict=True):
            x = form(linear(x))
        return self.linears[-1](x)  # type: ignore[no-any-return]


def reused(net: nn.Sequential, module: nn.Module) -> nn.Sequential:
    """The same network with one activation module at all places."""
    return nn.Sequential(*(layer if isinstance(layer, nn.Linear) else module for layer in net))


WAYS: dict[str, Callable[[], nn.Module]] = {
    "our module": lambda: he_network(fathoms("relu")),
    "torch's module": lambda: he_network(nn.ReLU),
    "in place": lambda: he_network(lambda: nn.ReLU(inplace=True)),
    "one module, used three times": lambda: reused(he_network(nn.ReLU), nn.ReLU(inplace=True)),
    "our one module, used three times": lambda: reused(he_network(nn.ReLU), fathoms("relu")()),
    "functions": lambda: Functional(he_network(nn.ReLU), "relu"),
}


def linears(net: nn.Module) -> list[nn.Linear]:
    return [module for module in net.modules() if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("way", WAYS)
def test_a_healthy_network_raises_no_alarm_and_planted_dead_units_are_found(way: str) -> None:
    net = WAYS[way]()
    healthy = count_units(net, inputs())
    assert [set(part.states) for part in healthy] == [{"alive"}] * 3
    assert {part.num_samples for part in healthy} == {2000}
    dead = {0: [3], 1: [0, 17, 59], 2: list(range(60))}
    with torch.no_grad():
        for layer, units in dead.items():
            linears(net)[layer].bias[units] = -1e4
    found = count_units(net, inputs())
    for layer, units in dead.items():
        states = found[layer].states
        assert [unit for unit, state in enumerate(states) if state == "dead"] == units
        assert states.count("alive") == 60 - len(units)


def test_pairs_of_inputs_and_targets_are_taken_as_a_loader_gives_them() -> None:
    net = he_network(nn.ReLU)
    (plain, *_), (paired, *_) = (
        count_units(net, batches) for batches in (inputs(), [(x, x[:, 0]) for x in inputs()])
    )
    assert torch.equal(plain.active, paired.active)


def test_batches_do_not_matter_and_the_network_is_left_as_it_was() -> None:
    net = nn.Sequential(he_network(nn.Tanh), nn.Dropout(0.5)).train()
    whole = count_units(net, [torch.cat(inputs())])
    parts = count_units(net, inputs())
    for one, other in zip(whole, parts, strict=True):
        for name in ("active", "low", "high", "act_min", "act_max"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=1e-6, atol=0)
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("phi", [fathoms("tanh"), nn.Tanh], ids=["ours", "torch's"])
def test_units_that_always_saturate_have_a_side(phi: Callable[[], nn.Module]) -> None:
    """|tanh'| < 5 % beyond |h| = 2.18."""
    net = he_network(phi, depth=1)
    with torch.no_grad():
        first = linears(net)[0]
        first.weight *= 0.1
        first.bias[0], first.bias[1] = 5.0, -5.0
    (found,) = count_units(net, inputs())
    assert found.states[:2] == ["saturated high", "saturated low"]
    assert set(found.states[2:]) == {"alive"}


def test_a_unit_without_weights_is_constant_and_a_rare_one_asleep() -> None:
    net = he_network(fathoms("relu"), depth=1)
    first = linears(net)[0]
    x = torch.cat(inputs())
    with torch.no_grad():
        first.weight[4], first.bias[4] = 0.0, 1.0
        h = first(x)[:, 7]
        first.bias[7] -= h.topk(4).values.mean()  # 1 to 3 of 2000 samples stay above 0
    (found,) = count_units(net, inputs())
    assert found.states[4] == "constant"
    assert found.states[7] == "asleep"
    assert 1 <= found.active[7] < 5


def test_a_channel_is_a_unit() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4), nn.ELU())
    with torch.no_grad():
        net[0].bias[2] = -1e4  # type: ignore[index, union-attr]
    images = [torch.rand(10, 3, 8, 8)] * 2
    conv, last = count_units(net, images)
    assert conv.num_samples == 2 * 10 * 36
    assert [state == "dead" for state in conv.states] == [unit == 2 for unit in range(6)]
    assert (last.num_samples, len(last.states)) == (20, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_a_unit_without_numbers_is_neither_dead_nor_alive(way: str, bad: float) -> None:
    """One sample is enough; comparisons with NaN are False, which would read as a slope of 0."""
    net = WAYS[way]()
    with torch.no_grad():
        linears(net)[0].bias[3] = -1e4
        linears(net)[2].bias[[5, 8]] = bad
    x = torch.cat(inputs())
    first, second, third = count_units(net, x.split(128))
    assert first.states.count("no number") == second.states.count("no number") == 0
    assert [u for u, state in enumerate(third.states) if state == "no number"] == [5, 8]
    assert third.finite[[5, 8]].tolist() == [0, 0]
    x[700, 0] = math.nan
    first, *_ = count_units(net, x.split(128))
    assert set(first.states) == {"no number"}
    assert set(first.finite.tolist()) == {len(x) - 1}
    assert first.act_max.isnan().all()


@pytest.mark.parametrize("phi", [fathoms("tanh"), nn.Tanh], ids=["ours", "torch's"])
def test_infinite_arguments_are_no_saturation(phi: Callable[[], nn.Module]) -> None:
    """phi(inf) = 1 is a number, and inf is none."""
    net = he_network(phi, depth=1)
    with torch.no_grad():
        linears(net)[0].bias[0] = math.inf
    (found,) = count_units(net, inputs())
    assert found.states[0] == "no number"
    assert (found.low[0], found.high[0]) == (0, 0)


def test_tokens_are_samples_of_their_units() -> None:
    net = nn.Sequential(nn.Linear(5, 7), nn.GELU())
    (found,) = count_units(net, [torch.randn(4, 3, 5)])
    assert found.num_samples == 12
    assert len(found.states) == 7


def slow_count(net: nn.Sequential, x: Tensor) -> list[int]:
    """Count dead ReLUs the long way: every unit and every input, one after the other."""
    dead = []
    for layer in net:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            dead.append(
                sum(not any(row[unit] > 0 for row in x.tolist()) for unit in range(x.shape[1]))
            )
    return dead


def test_dead_units_are_those_of_a_slow_count() -> None:
    net = he_network(nn.ReLU, width=30, depth=5)
    with torch.no_grad():
        for linear in linears(net)[:-1]:
            linear.bias.uniform_(-2.5, 0.2, generator=torch.Generator().manual_seed(4))
    x = torch.cat(inputs(200))
    expected = slow_count(net, x)
    assert sum(expected) > 10
    assert [part.states.count("dead") for part in count_units(net, [x])] == expected


class Lines(nn.Module):
    """Convolutions with a slope for each channel below 0, whose layout is kept or not."""

    def __init__(self, slopes: Tensor, *, tokens: bool = False) -> None:
        super().__init__()
        self.conv, self.phi = nn.Conv2d(3, 6, 3), nn.PReLU(len(slopes))
        self.tokens = tokens
        with torch.no_grad():
            self.phi.weight.copy_(slopes)
            self.conv.bias[:] = -1e4  # type: ignore[index]  # so that all is below 0

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.phi(h.flatten(2).mT[:, :6] if self.tokens else h)  # type: ignore[no-any-return]


def test_a_learned_slope_belongs_to_its_channel() -> None:
    slopes = torch.tensor([0.0, 0.1, 0.2, 0.0, -0.1, 0.3])
    x = torch.rand(4, 3, 8, 8)
    (found,) = count_units(Lines(slopes), [x])
    assert [state == "dead" for state in found.states] == (slopes == 0).tolist()
    assert (found.act_max <= 0).tolist() == (slopes >= 0).tolist()
    assert found.low.isnan().all()
    # torch takes the slope by the first axis behind the batch, here that of tokens.
    (found,) = count_units(Lines(slopes, tokens=True), [x])
    assert (len(found.active), found.num_samples) == (6, 4 * 6)
    assert found.active.tolist() == [4 * 4] * 6
    (found,) = count_units(Lines(torch.tensor([0.25])), [x])
    assert (found.active == found.num_samples).all()


def test_random_slopes_are_seen_as_evaluation_takes_them() -> None:
    net = he_network(lambda: nn.RReLU(0.1, 0.3))
    found = count_units(net, inputs())
    assert [set(part.states) for part in found] == [{"alive"}] * 3
    assert found[0].active.tolist() == [2000] * 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("phi", "far"), [(fathoms("tanh"), 60.0), (nn.Tanh, 12.0)], ids=["ours", "torch's"]
)
def test_far_out_a_unit_is_saturated_in_every_precision(
    phi: Callable[[], nn.Module], far: float, dtype: torch.dtype
) -> None:
    """1 - tanh(12)^2 is 1.5e-10 and 1 / cosh(60)^2 is 3e-52: 0 to the rounding of float32 alone."""
    net = he_network(phi, depth=1)
    with torch.no_grad():
        first = linears(net)[0]
        first.weight *= 0.1
        first.bias[0], first.bias[1] = far, -far
    (found,) = count_units(net.to(dtype), [x.to(dtype) for x in inputs()])
    assert found.states[:3] == ["saturated high", "saturated low", "alive"]
    assert (found.active[:2] == 0).all() == (dtype == torch.float32)


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(FathomError, match="no activation was seen in it; use modules or functions"):
        count_units(nn.Linear(20, 2), inputs())
    with pytest.raises(FathomError, match=r"got one tensor; give a list of batches"):
        count_units(nn.ReLU(), torch.zeros(4, 3))
    for batch in (1, torch.tensor(1.0), (), {"x": 1}):
        with pytest.raises(FathomError, match=r"batches: got \w+ in it; must be tensors"):
            count_units(nn.ReLU(), [batch])  # type: ignore[list-item]
    with pytest.raises(FathomError, match="net: got str; must be a module"):
        count_units("net", [torch.zeros(4, 3)])  # type: ignore[arg-type]
    with pytest.raises(FathomError, match="there is no batch to count units on"):
        count_units(he_network(nn.ReLU), [])
    with pytest.raises(FathomError, match=r"gated linear units .* write a \* torch\.sigmoid\(b\)"):
        count_units(he_network(nn.GLU, depth=1), inputs())

    class Changing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x) if len(x) == 128 else torch.tanh(x)

    with pytest.raises(FathomError, match="several ways"):
        count_units(Changing(), inputs())
