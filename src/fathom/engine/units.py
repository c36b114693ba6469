"""The life of single units: which ones never answer, never change or only saturate, on all data.

A unit is judged by the slope phi'(h) at its argument, through which it learns, and not by its
value: a unit of tanh that always says 1 learns as little as a ReLU that always says 0. Data are
streamed through the network once, a batch at a time, and nothing is kept of them but counts: the
result is exact.

Activations are found wherever they are evaluated: as a module of Fathom, as a module of torch (used
once or many times), as a function and in place. What is evaluated of a parameter alone, such as a
positive scale, has no samples and is passed over.

Shapes: B batch, U units, S samples of a unit (a channel has B x positions of them).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fathom.activations.base import slope_by_autograd
from fathom.architectures.base import Act, Network
from fathom.engine.probes import SATURATED_SLOPE, SOFT_DEAD_SHARE
from fathom.engine.unit_axis import Function, UnitAxes
from fathom.errors import FathomError
from fathom.records import UnitState

CONSTANT_RANGE: Final = 1e-6  # of the largest |phi(h)|: less than that is rounding

# Functions of torch that are activations; each one's in-place form and method go by the same name.
_NAMES: Final = (
    "celu",
    "elu",
    "gelu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
)
_UNBOUNDED: Final = ("prelu", "rrelu")  # lines on both sides: they never saturate


def _functions(names: Iterable[str]) -> dict[Function, str]:
    homes = (functional, torch, torch.Tensor)
    return {
        getattr(home, form): name
        for name in names
        for form in (name, f"{name}_")
        for home in homes
        if hasattr(home, form)
    }


_ACTIVATIONS: Final = _functions(_NAMES)
_GATES: Final = _functions(["glu"])


@dataclass(slots=True, kw_only=True, eq=False)
class UnitCounts:
    """What was seen of the units at one place of a network, each `[U]`.

    Attributes:
        name: Where: the linear map that the activation reads, as `state_dict` names it, in a
            network that tells; otherwise the activation with a number.
        num_samples: S: inputs, times the positions at which a unit is evaluated.
        finite: Samples with finite h and phi(h); the others count in the extremes alone.
        active: Samples with a slope other than 0.
        low: Samples with h < 0 and |slope| below 5 % of the largest; NaN where saturation is not
            defined, as for ReLU.
        high: Likewise with h >= 0.
        act_min: Smallest phi(h); NaN if one is.
        act_max: Largest phi(h), likewise.
    """

    name: str
    num_samples: int
    finite: Tensor
    active: Tensor
    low: Tensor
    high: Tensor
    act_min: Tensor
    act_max: Tensor

    @property
    def states(self) -> list[UnitState]:
        """Judge each unit, by the first that holds.

        `no number`: h or phi(h) is NaN or infinite on some sample, as in a run that diverged, and
        nothing can be said of the unit. `saturated low` or `high`: the slope is below 5 % of the
        activation's largest on every sample, always on that side; so also where it is 0, as far out
        it is by rounding. `dead`: the slope is 0 on every sample. `constant`: phi(h) is the same on
        all samples, to a millionth. `asleep`: the slope is not 0 on less than 1 % of the samples.
        """
        spread = self.act_max - self.act_min
        size = torch.maximum(self.act_max.abs(), self.act_min.abs())
        rules: list[tuple[UnitState, Tensor]] = [
            ("no number", self.finite < self.num_samples),
            ("saturated low", self.low == self.num_samples),
            ("saturated high", self.high == self.num_samples),
            ("dead", self.active == 0),
            ("constant", spread <= CONSTANT_RANGE * size),
            ("asleep", self.active < SOFT_DEAD_SHARE * self.num_samples),
        ]
        found: list[UnitState] = ["alive"] * len(self.active)
        for state, holds in reversed(rules):
            for unit in holds.nonzero().flatten().tolist():
                found[unit] = state
        return found


def count_units(net: nn.Module, batches: Iterable[Tensor | Sequence[Tensor]]) -> list[UnitCounts]:
    """Pass data through a network in evaluation mode and count what its units do.

    Units lie on the last axis of what a linear map returns, and on the channels' of a convolution;
    `unit_axis` follows them from there.

    Not covered: activations that are written out in other functions, such as `x * (x > 0)`, or that
    are part of one, as in `nn.LSTM`, are not seen; of `x * torch.sigmoid(x)` the sigmoid is.

    Args:
        net: Any module; its mode is given back as it was.
        batches: All inputs `[B, ...]`, in batches of any size; of pairs, such as a DataLoader
            gives, the first.

    Returns:
        One entry for each evaluation of an activation in a forward pass, in its order.

    Raises:
        FathomError: If what is given is no module or no batches, there is no activation, a batch
            took another way through the network than the first one, it cannot be told which axis
            are units, or the network has gated linear units.
    """
    if not isinstance(net, nn.Module):
        raise FathomError(f"net: got {type(net).__name__}; must be a module of torch")
    modes = {module: module.training for module in net.modules()}
    counted: list[UnitCounts] | None = None
    try:
        net.eval()
        with torch.no_grad():
            for x in _inputs(batches):
                seen = _seen(net, x)
                counted = seen if counted is None else _sum(counted, seen)
    finally:
        for module, training in modes.items():
            module.training = training
    if counted is None:
        raise FathomError("there is no batch to count units on; give at least one")
    if not counted:
        raise FathomError("no activation was seen in it; use modules or functions of torch")
    return counted


def _inputs(batches: Iterable[Tensor | Sequence[Tensor]]) -> Iterator[Tensor]:
    if isinstance(batches, Tensor):
        raise FathomError("batches: got one tensor; give a list of batches, such as [x]")
    for batch in batches:
        x = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        if not isinstance(x, Tensor) or x.dim() == 0:
            raise FathomError(
                f"batches: got {type(x).__name__} in it; must be tensors [B, ...], or pairs of "
                "which the first is one"
            )
        yield x


def _sum(total: list[UnitCounts], more: list[UnitCounts]) -> list[UnitCounts]:
    ways = [[(part.name, len(part.active)) for part in parts] for parts in (total, more)]
    if ways[0] != ways[1]:
        raise FathomError("activations of two batches differ: it takes several ways; give it one")
    for into, part in zip(total, more, strict=True):
        into.num_samples += part.num_samples
        into.finite += part.finite
        into.active += part.active
        into.low += part.low
        into.high += part.high
        into.act_min = torch.minimum(into.act_min, part.act_min)
        into.act_max = torch.maximum(into.act_max, part.act_max)
    return total


def _seen(net: nn.Module, x: Tensor) -> list[UnitCounts]:
    watcher = _Watcher(batch_size=len(x), axes=UnitAxes(net), layers=_read_layers(net))
    with _hooked(net, watcher), watcher:
        net(x)
    return watcher.counts


def _read_layers(net: nn.Module) -> dict[nn.Module, str]:
    """Name each `Act` of a network that tells its layers by the first one that it reads."""
    if not isinstance(net, Network):
        return {}
    return {layer.act: layer.name for layer in reversed(net.measured()) if layer.act is not None}


@dataclass(eq=False)
class _Watcher(TorchFunctionMode):
    """Notes every activation that is evaluated while the mode lasts."""

    batch_size: int
    axes: UnitAxes
    layers: dict[nn.Module, str]  # the map that an `Act` reads
    counts: list[UnitCounts] = field(default_factory=list)
    inside: bool = False  # an `Act`, whose own functions are no further activations
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self,
        func: Function,
        types: Any,  # noqa: ANN401 - as torch calls it
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call a function, and note its argument first if it is an activation.

        Raises:
            FathomError: If the activation cannot be counted.
        """
        options = kwargs or {}
        if self.inside:
            return func(*args, **options)
        if func in _GATES:
            raise FathomError(
                "it has gated linear units (glu), which are no function of single units; write "
                "a * torch.sigmoid(b), of which the sigmoid is counted"
            )
        if func in _ACTIVATIONS:
            self._look(_ACTIVATIONS[func], func, args, options)
        result = func(*args, **options)
        self.axes.follow(func, args, options, result)
        return result

    def _look(
        self, name: str, func: Function, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        options = {key: value for key, value in options.items() if key != "inplace"}
        h, *rest = args or (options.pop("input"),)

        def value(u: Tensor) -> Tensor:
            out: Tensor = func(u.clone(), *rest, **options)  # as it may be one in place
            return out

        steepest = float("inf") if name in _UNBOUNDED else _steepest(value)
        self.note(name, h, value, slope_by_autograd(value), steepest)

    def note(
        self,
        name: str,
        h: Tensor,
        value: Callable[[Tensor], Tensor],
        slope: Callable[[Tensor], Tensor],
        steepest: float,
    ) -> None:
        """Count one evaluation of an activation at its argument, which stays as it is.

        Raises:
            FathomError: If it is not known which axis are units.
        """
        if not self.axes.is_sampled(h, self.batch_size):
            return
        self.calls[name] = number = self.calls.get(name, 0) + 1
        is_single = number == 1 and name in self.layers.values()
        place = name if is_single else f"{name} {number}"
        axis = self.axes.of(h) if h.dim() > 1 else 0
        if axis is None:
            raise FathomError(
                f"which axis of {[*h.shape]} are units is not known at '{place}': no linear map, "
                "convolution or normalisation before it tells; give it [samples, units]"
            )
        if h.dim() == 1:  # a number for each sample
            h, axis = h[:, None], 1

        def units_first(numbers: Tensor) -> Tensor:
            return numbers.movedim(axis, 0).flatten(1)

        # As it was given, since a slope may belong to a channel (prelu).
        h_US, act_US, slope_US = (units_first(each) for each in (h, value(h), slope(h)))
        self.counts.append(_count(place, h_US, act_US, slope_US, steepest))


def _count(
    place: str, h_US: Tensor, act_US: Tensor, slope_US: Tensor, steepest: float
) -> UnitCounts:
    act_min, act_max = act_US.amin(1), act_US.amax(1)
    finite_US = torch.ones_like(h_US, dtype=torch.bool)
    if not torch.stack([h_US.amin(1), h_US.amax(1), act_min, act_max]).isfinite().all():
        finite_US = h_US.isfinite() & act_US.isfinite()
    low, high = _saturated(h_US, slope_US, finite_US, steepest)
    return UnitCounts(
        name=place,
        num_samples=h_US.shape[1],
        finite=finite_US.sum(1).double(),
        active=(finite_US & (slope_US != 0)).sum(1).double(),
        low=low,
        high=high,
        act_min=act_min.double(),
        act_max=act_max.double(),
    )


def _saturated(
    h_US: Tensor, slope_US: Tensor, finite_US: Tensor, steepest: float
) -> tuple[Tensor, Tensor]:
    """Count for each unit the samples in which it saturates on either side."""
    if steepest == float("inf"):
        undefined = torch.full_like(h_US[:, 0], float("nan"), dtype=torch.float64)
        return undefined, undefined.clone()
    flat_US = finite_US & (slope_US.abs() < SATURATED_SLOPE * steepest)
    return (flat_US & (h_US < 0)).sum(1).double(), (flat_US & (h_US >= 0)).sum(1).double()


def _steepest(value: Callable[[Tensor], Tensor]) -> float:
    """Measure the slope against which saturation is judged, as `Activation.saturation_slope`."""
    slope = slope_by_autograd(value)
    far = slope(torch.tensor([-1e6, 1e6], dtype=torch.float64))
    if not bool((far.abs() < 1e-9).all()):
        return float("inf")
    return float(slope(torch.linspace(-10, 10, 2001, dtype=torch.float64)).abs().max())


@contextmanager
def _hooked(net: nn.Module, watcher: _Watcher) -> Iterator[None]:
    """Tell the watcher about `Act` modules, whose evaluation is no function of torch."""

    def enter(act: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(act, Act)
        phi = act.phi
        watcher.inside = True
        name = watcher.layers.get(act, phi.name)
        watcher.note(name, args[0], phi.value, phi.slope, phi.saturation_slope)

    def leave(_: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> None:
        watcher.inside = False
        watcher.axes.pass_on(args[0], result)

    hooks = []
    for module in net.modules():
        if isinstance(module, Act):
            hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
