"""What becomes of a signal in a network without end: where its variance goes, and how fast."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from fathom.theory.curve import FAR, LARGEST, SMALLEST, curve, rough_step
from fathom.theory.fixed_points import FixedPoint, fixed_points, growth_at, point_at
from fathom.theory.nonlinearity import Nonlinearity

Label = Literal[
    "fixed point",
    "collapses exponentially",
    "explodes exponentially",
    "algebraic drift",
    "continuum",
    "no mean-field limit",
]

_MOST_LAYERS: Final = 3000
_MARGINAL: Final = 2e-4  # a rate nearer to 1 shows nothing exponential within so many layers
_SETTLED: Final = 1e-12
_STILL: Final = 1e-10
_UNSEEN: Final = 1e-9  # decades
_LARGEST_NUMBER: Final = 1e300
_NEAR: Final = 0.01  # of ln q; the map that is iterated is good to 1e-6, a root to less


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Where the variance of the signal goes, and what gradients do there.

    Attributes:
        phi: Name of the activation.
        weight_scale: s_w^2.
        bias_variance: s_b^2.
        start: The variance that it starts from.
        label: What it does.
        q: Where it ends, q*: 0 and `inf` are limits; NaN without mean-field limit.
        chi: chi_1 there; in a drift, that of the last layer looked at.
        map_slope: V' likewise.
        others: The fixed points that it does not go to, in increasing order.
        last: The variance after at most 3000 layers.
        gradient_obstacle: Why gradients are not described by chi; empty when they are.
    """

    phi: str
    weight_scale: float
    bias_variance: float
    start: float
    label: Label
    q: float
    chi: float
    map_slope: float
    others: tuple[FixedPoint, ...] = ()
    last: float
    gradient_obstacle: str = ""

    @property
    def depth_q(self) -> float:
        """Layers within which a deviation of q changes by a factor e: 1 / |ln V'|.

        Source: Schoenholz et al. 2017, arXiv:1611.01232, eq. 7.
        """
        return _depth(self.map_slope)

    @property
    def depth_gradient(self) -> float:
        """Layers within which the squared gradient norm changes by a factor e: 1 / |ln chi|.

        Source: Schoenholz et al. 2017, arXiv:1611.01232.
        """
        return _depth(self.chi)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Variances that part one fate from another: the unstable fixed points above 0."""
        return tuple(other.q for other in self.others if other.q > 0 and other.map_slope > 1)

    @property
    def sentence(self) -> str:
        """Say it in plain words with the numbers."""
        return " ".join(part for part in (_signal(self), _parting(self), _gradient(self)) if part)


def _depth(rate: float) -> float:
    size = abs(rate)
    if math.isnan(size):
        return math.nan
    if size in {0.0, math.inf}:
        return 0.0
    return math.inf if size == 1 else 1 / abs(math.log(size))


def fate(phi: Nonlinearity, weight_scale: float, bias_variance: float, start: float) -> Fate:
    """Tell what becomes of the variance of a signal in ever more layers of one kind.

    Source: Poole et al. 2016, arXiv:1606.05340, for the map whose fixed points these are.

    Args:
        phi: The activation.
        weight_scale: s_w^2, fan_in times the variance of a weight.
        bias_variance: s_b^2.
        start: Variance of the first layer's pre-activations, at least 0.
    """
    if phi.value_diverges:
        return _without_limit(phi, weight_scale, bias_variance, start)
    points = fixed_points(phi, weight_scale, bias_variance)
    q, last = _destination(phi, weight_scale, bias_variance, start, points)
    end = point_at(phi, q, weight_scale)
    label = _label(end, phi, weight_scale, q == 0 or any(point.q == q for point in points))
    drifts_away = label == "algebraic drift" and q in {0.0, math.inf}
    shown = point_at(phi, last, weight_scale) if drifts_away else end
    return Fate(
        phi=phi.name,
        weight_scale=weight_scale,
        bias_variance=bias_variance,
        start=start,
        label=label,
        q=q,
        chi=shown.chi,
        map_slope=shown.map_slope,
        others=tuple(point for point in points if point.q != q),
        last=last,
        gradient_obstacle=_gradient_obstacle(phi),
    )


def _gradient_obstacle(phi: Nonlinearity) -> str:
    if phi.slope_is_zero:
        return "no gradient passes back: the slope is 0 almost everywhere"
    if phi.slope_diverges:
        return "the slope has a pole so steep that the mean square of the gradient is infinite"
    return ""


def _label(end: FixedPoint, phi: Nonlinearity, weight_scale: float, drawn: bool) -> Label:
    """Name what happens; `drawn` tells that the end is a fixed point or a limit."""
    if end.q == math.inf:
        growth = growth_at(phi, FAR, weight_scale, 0.0)
        return "explodes exponentially" if not growth < _MARGINAL else "algebraic drift"
    if not drawn:
        return "continuum"
    if abs(end.map_slope - 1) < _MARGINAL:
        return "algebraic drift"
    return "fixed point" if end.q > 0 else "collapses exponentially"


def _without_limit(
    phi: Nonlinearity, weight_scale: float, bias_variance: float, start: float
) -> Fate:
    return Fate(
        phi=phi.name,
        weight_scale=weight_scale,
        bias_variance=bias_variance,
        start=start,
        label="no mean-field limit",
        q=math.nan,
        chi=math.nan,
        map_slope=math.nan,
        last=math.nan,
    )


def _destination(
    phi: Nonlinearity,
    weight_scale: float,
    bias_variance: float,
    start: float,
    points: tuple[FixedPoint, ...],
) -> tuple[float, float]:
    """Return where the variance goes, and where it is after 3000 layers or less."""
    last, settled = _iterate(phi, weight_scale, bias_variance, start)
    if last == math.inf:  # on its way there, a fixed point far out may hold it
        last = max((point.q for point in points if point.q > LARGEST), default=math.inf)
    if last in {0.0, math.inf}:
        return last, last
    near = [point.q for point in points if point.q > 0 and _distance(point.q, last) < _NEAR]
    if settled and near:
        return min(near, key=lambda q: _distance(q, last)), last
    growth = growth_at(phi, last, weight_scale, bias_variance)
    if settled and abs(growth) < _STILL:
        return last, last
    if growth > 0:
        return min((point.q for point in points if point.q > last), default=math.inf), last
    return max((point.q for point in points if point.q < last), default=last), last


def _distance(q: float, other: float) -> float:
    return abs(math.log(q / other))


def _iterate(
    phi: Nonlinearity, weight_scale: float, bias_variance: float, start: float
) -> tuple[float, bool]:
    """Go through layers; return the last variance, and True if it does not change any more."""
    found = curve(phi)
    step = rough_step(found, weight_scale, bias_variance)
    lowest = weight_scale * found.value_at_0 + bias_variance
    loses_all = found.keeps_0 and bias_variance == 0
    q = min(start, _LARGEST_NUMBER) if start > 0 else lowest
    for _ in range(_MOST_LAYERS):
        if q == 0 or (loses_all and q < SMALLEST * min(start, 1.0)):
            return 0.0, True
        before, q = q, step(q)
        if abs(q - before) <= _SETTLED * before:
            return q, True
        if q > before > FAR:
            return math.inf, True
    return q, False


def _signal(fate: Fate) -> str:
    what = "the variance of the pre-activations"
    if fate.label == "no mean-field limit":
        return (
            f"{fate.phi} has no mean-field limit: the mean square of phi is infinite or not a "
            "number. Beside a pole, sums over units are Cauchy-like."
        )
    if fate.label == "continuum":
        return f"Every start is kept: {what} stays at {fate.q:.4g}."
    if fate.label == "fixed point":
        where = f"settles at {fate.q:.4g} (rms {math.sqrt(fate.q):.4g})"
        return f"In depth {what} {where}; {_pace(fate)}."
    if fate.label == "algebraic drift":
        goal = "without end" if fate.q == math.inf else f"towards {fate.q:.4g}"
        return f"In depth {what} drifts {goal}, ever more slowly: {fate.last:.3g} at layer 3000."
    if fate.label == "collapses exponentially":
        return f"In depth {what} falls to 0, by a factor {fate.map_slope:.4g} in each layer."
    pace = f"by a factor {fate.map_slope:.4g} in each layer"
    return f"In depth {what} grows without end, {pace if fate.map_slope < math.inf else 'fast'}."


def _pace(fate: Fate) -> str:
    if fate.depth_q < 1:
        return "no deviation outlives a layer"
    verb = "grows" if fate.map_slope > 1 else "shrinks"
    return f"a deviation {verb} by a factor e in {fate.depth_q:.2g} layers"


def _parting(fate: Fate) -> str:
    if not fate.thresholds:
        return ""
    nearest = min(fate.thresholds, key=lambda q: abs(math.log(q / max(fate.start, SMALLEST))))
    side, other = ("below", "above") if fate.start < nearest else ("above", "below")
    return (
        f"That is so from a start of {fate.start:.4g}, {side} the unstable fixed point "
        f"{nearest:.4g}; from {other} it ends elsewhere."
    )


def _gradient(fate: Fate) -> str:
    if fate.gradient_obstacle:
        return f"But {fate.gradient_obstacle}."
    if not fate.chi < math.inf:
        return ""
    if fate.chi == 0:
        return "No gradient passes back."
    decades = math.log10(fate.chi) / 2
    change = f"changes by {decades:+.3g} decades" if abs(decades) > _UNSEEN else "stays as it is"
    return f"Going back through a layer, the gradient norm {change} (chi {fate.chi:.4g})."
