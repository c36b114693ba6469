"""Which weights and biases an activation should start from, or why there are none."""

import functools
import math
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from fathom.theory.curve import curve
from fathom.theory.fate import Fate, fate
from fathom.theory.fixed_points import point_at
from fathom.theory.gains import CriticalPoint, edge_of_chaos, half_stable, small_signal_scale
from fathom.theory.gaussian import sample
from fathom.theory.nonlinearity import Nonlinearity

Kind = Literal["every scale", "edge of chaos", "small signal limit", "half-stable", "none"]

USUAL_BIAS_VARIANCE: Final = 0.05  # Schoenholz et al. 2017, arXiv:1611.01232
_FLAT: Final = 0.05  # of the largest slope
_MANY: Final = 0.25
_FAR_NEARER: Final = 0.1
# The nearest thing is looked for where pre-activations have an rms from 0.01 to 10, and a
# deviation of q is halved within 14 layers.
_LEAST_Q, _MOST_Q, _LARGEST_MAP_SLOPE = 1e-4, 100.0, 0.95
_ARRIVED: Final = 1e-6  # relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Weights and biases that keep signal and gradient, or the nearest thing.

    Attributes:
        phi: Name of the activation.
        kind: `every scale`: two straight lines, which keep a signal of any size.
            `edge of chaos`: a stable fixed point with chi = 1, where a standardised input ends.
            `small signal limit`: chi = 1 at q = 0 alone, which q approaches slowly.
            `half-stable`: chi = V' = 1: a signal creeps, up to the point or away from it.
            `none`: nothing keeps both; the numbers are those of the nearest thing.
        weight_scale: s_w^2, fan_in times the variance of a weight; NaN if nothing comes near.
        bias_variance: s_b^2.
        q: Variance of the pre-activations that is kept; of `every scale` this is one of all.
        chi: chi_1 there.
        map_slope: V' there.
        reason: Why this one, in words.
    """

    phi: str
    kind: Kind
    weight_scale: float
    bias_variance: float
    q: float
    chi: float
    map_slope: float
    reason: str

    @property
    def gain(self) -> float:
        """s_w, which multiplies weights of variance 1 / fan_in."""
        return math.sqrt(self.weight_scale)

    @property
    def decades_per_layer(self) -> float:
        """Decades by which the norm of the gradient changes in each layer on its way back."""
        return -math.inf if self.chi == 0 else math.log10(self.chi) / 2


@functools.lru_cache(maxsize=1024)
def recommend(phi: Nonlinearity, bias_variance: float | None = None) -> Recommendation:
    """Recommend weights and biases that keep the signal forward and the gradient backward.

    In this order: what keeps every scale; a stable edge of chaos (V' < 1) with the wanted biases,
    the least saturated one if there are several; the limit of small signals without biases, if
    signals do shrink towards it; the half-stable point, which has biases of its own. Else there
    is none, and the stable fixed point with the wanted biases whose chi is nearest to 1 is given.
    A stable point counts if a standardised input, of mean square 1, ends there.

    Source: He et al. 2015, arXiv:1502.01852 (every scale); Schoenholz et al. 2017,
    arXiv:1611.01232 (edge of chaos); Roberts et al. 2022, arXiv:2106.10165 (half-stable).

    Not covered: networks with normalisation, residual connections or attention.

    Args:
        phi: The activation.
        bias_variance: Wanted s_b^2, at least 0; 0.05 when omitted.
    """
    wanted = USUAL_BIAS_VARIANCE if bias_variance is None else bias_variance
    if obstacle := _obstacle(phi):
        return _nothing(phi, wanted, obstacle)
    return (
        _every_scale(phi)
        or _edge_of_chaos(phi, wanted)
        or _small_signal(phi)
        or _half_stable(phi, wanted)
        or _nearest(phi, wanted)
    )


def _obstacle(phi: Nonlinearity) -> str:
    if phi.moves_units:
        return (
            f"{phi.name} mixes units; no mean-field limit is known here. It keeps the length of "
            "every sample and of its gradient, as identity does"
        )
    if phi.value_diverges:
        return (
            "no mean-field limit: the mean square of the signal is infinite, as beside a pole, or "
            "not a number"
        )
    if phi.slope_diverges:
        return "a pole of the slope makes the mean square of the gradient infinite"
    if phi.slope_is_zero:
        return "no gradient passes: the slope is 0 almost everywhere"
    return ""


def _nothing(phi: Nonlinearity, bias_variance: float, reason: str) -> Recommendation:
    return Recommendation(
        phi=phi.name,
        kind="none",
        weight_scale=math.nan,
        bias_variance=bias_variance,
        q=math.nan,
        chi=math.nan,
        map_slope=math.nan,
        reason=reason,
    )


def _every_scale(phi: Nonlinearity) -> Recommendation | None:
    found = curve(phi)
    if not found.is_homogeneous:
        return None
    return _from_point(
        phi,
        "every scale",
        CriticalPoint(float(found.q[0] / found.square[0]), 0.0, 1.0, 1.0),
        "two straight lines that meet at 0 keep the variance of a signal of any size; with biases "
        "it would grow from layer to layer",
    )


def _from_point(phi: Nonlinearity, kind: Kind, point: CriticalPoint, reason: str) -> Recommendation:
    return Recommendation(
        phi=phi.name,
        kind=kind,
        weight_scale=point.weight_scale,
        bias_variance=point.bias_variance,
        q=point.q,
        chi=1.0,
        map_slope=point.map_slope,
        reason=reason,
    )


def _edge_of_chaos(phi: Nonlinearity, bias_variance: float) -> Recommendation | None:
    points = (p for p in edge_of_chaos(phi, bias_variance) if p.map_slope < 1)
    point = next((p for p in points if _is_reached(phi, p.q, p.weight_scale, bias_variance)), None)
    if point is None:
        return None
    reason = (
        f"stable edge of chaos: gradients keep their norm at the fixed point q = {point.q:.4g}, "
        f"where each layer multiplies a deviation of q by {point.map_slope:.3g}"
    )
    flat = _flat_share(phi, point.q)
    if flat > _MANY:
        reason += (
            f"; but q lies far out in saturation, where {flat:.0%} of the units have a slope "
            "below 5 % of the largest"
        )
    return _from_point(phi, "edge of chaos", point, reason + _centred(phi, point.q, bias_variance))


def _flat_share(phi: Nonlinearity, q: float) -> float:
    """Return the share of units that are flat at a variance and are not at a tiny one.

    0 if phi does not level off on both sides: flat on one side alone is an off state, no fault.
    """
    limit = _FLAT * float(np.abs(phi.slope(np.linspace(-8, 8, 4001))).max())
    if (np.abs(phi.slope(np.array([-1e5, 1e5]))) > limit).any():
        return 0.0
    at = sample(phi, np.array([_LEAST_Q, q]))
    tiny, here = at.mean((np.abs(at.slope) < limit).astype(np.float64))
    return float(here - tiny)


def _centred(phi: Nonlinearity, q: float, bias_variance: float) -> str:
    """Say whether phi - phi(0) is kept far nearer to 0, where it is steep."""
    if curve(phi).value_at_0 == 0 or 0.0 in phi.jumps:
        return ""
    height = float(phi.value(np.zeros(1))[0])
    centred = replace(
        phi, name=f"{phi.name} less {height:.4g}", value=lambda h: phi.value(h) - height
    )
    better = recommend(centred, bias_variance)
    if better.kind not in {"edge of chaos", "small signal limit"} or better.q > _FAR_NEARER * q:
        return ""
    return (
        f"; centred, as phi - {height:.4g}, it has its {better.kind} at s_w^2 = "
        f"{better.weight_scale:.4g} and q = {better.q:.4g}"
    )


def _small_signal(phi: Nonlinearity) -> Recommendation | None:
    weight_scale = small_signal_scale(phi)
    if weight_scale is None or _from_standardised(phi, weight_scale, 0.0).q != 0:
        return None
    return _from_point(
        phi,
        "small signal limit",
        CriticalPoint(weight_scale, 0.0, 0.0, 1.0),
        "without biases a signal that is ever smaller is kept: q falls with a power of depth, not "
        "exponentially, and chi goes to 1 with it",
    )


def _half_stable(phi: Nonlinearity, wanted: float) -> Recommendation | None:
    point = half_stable(phi)
    if point is None:
        return None
    end = _from_standardised(phi, point.weight_scale, point.bias_variance)
    goal = "grows without end" if end.q == math.inf else f"tends to {end.q:.4g}"
    reason = (
        f"half-stable point: chi = V' = 1 at q = {point.q:.4g}, so that a deviation neither grows "
        f"nor shrinks at first order. It needs s_b^2 = {point.bias_variance:.4g}. From a "
        f"standardised input q {goal}, with chi = {end.chi:.4g}"
    )
    return _from_point(phi, "half-stable", point, reason + _unstable(phi, wanted))


def _unstable(phi: Nonlinearity, bias_variance: float) -> str:
    points = edge_of_chaos(phi, bias_variance)
    if not points:
        return f"; with s_b^2 = {bias_variance:g} there is no edge of chaos"
    point = points[0]
    slope = f"{point.map_slope:.4g}"
    slope = slope if float(slope) != 1 else f"1 + {point.map_slope - 1:.1g}"
    return (
        f"; with s_b^2 = {bias_variance:g} the edge of chaos, at s_w^2 = {point.weight_scale:.4g}, "
        f"is an unstable fixed point (V' = {slope})"
    )


def _from_standardised(phi: Nonlinearity, weight_scale: float, bias_variance: float) -> Fate:
    """Follow an input of mean square 1, whose first pre-activations have s_w^2 + s_b^2."""
    return fate(phi, weight_scale, bias_variance, weight_scale + bias_variance)


def _is_reached(phi: Nonlinearity, q: float, weight_scale: float, bias_variance: float) -> bool:
    end = _from_standardised(phi, weight_scale, bias_variance).q
    return math.isclose(end, q, rel_tol=_ARRIVED)


def _nearest(phi: Nonlinearity, bias_variance: float) -> Recommendation:
    """Take the fixed point that is stable and reached, with the wanted biases and chi near 1."""
    found = curve(phi)
    with np.errstate(all="ignore"):
        weight_scale = (found.q - bias_variance) / found.square
        chi, map_slope = weight_scale * found.slope_square, weight_scale * found.square_1st
        usable = (found.q >= _LEAST_Q) & (found.q <= _MOST_Q)
        usable &= (weight_scale > 0) & (map_slope < _LARGEST_MAP_SLOPE) & np.isfinite(chi)
        distance = np.where(usable & (chi > 0), np.abs(np.log(chi)), np.inf)
    why = (
        f"no edge of chaos that is stable, and no half-stable point{_unstable(phi, bias_variance)}"
    )
    candidates = (
        (float(found.q[i]), float(weight_scale[i]))
        for i in np.argsort(distance)[: int(np.isfinite(distance).sum())]
    )
    near = next((each for each in candidates if _is_reached(phi, *each, bias_variance)), None)
    if near is None:
        missing = "nor any stable fixed point where a standardised input ends"
        return _nothing(phi, bias_variance, f"{why}; {missing}")
    q, scale = near
    point = point_at(phi, q, scale)
    return Recommendation(
        phi=phi.name,
        kind="none",
        weight_scale=scale,
        bias_variance=bias_variance,
        q=q,
        chi=point.chi,
        map_slope=point.map_slope,
        reason=f"{why}. Of the stable fixed points where a standardised input ends, the one with "
        f"chi nearest to 1 is given, which costs "
        f"{math.log10(point.chi) / 2:+.3g} decades of the gradient's norm in each layer"
        + _centred(phi, math.inf, bias_variance),
    )
