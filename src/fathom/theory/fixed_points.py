"""Variances that stay as they are from layer to layer, and how the map behaves there.

The algorithm: q = 0 where phi(0) = 0 and there is no bias; a scan of V(q) / q - 1 for changes of
sign, each refined by Brent's method. Newton's method is not used: it jumps to roots that no
network reaches.

At a fixed point V' > -1/2 whatever the activation is, since d ln E phi^2 / d ln q >= -1/2: there
are no cycles, and a fixed point is stable unless V' > 1.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from scipy import optimize

from fathom.theory.curve import FAR, LARGEST, SMALLEST, Curve, curve, rough_map
from fathom.theory.gaussian import sample
from fathom.theory.meanfield import layer_moments
from fathom.theory.nonlinearity import Floats, Nonlinearity

_NUM_SCANNED: Final = 2000
_STEEPER: Final = 1.5  # growth that is still growing, far out
_ROUNDING: Final = 1e-10  # of functions like sigmoid(h) - 1/2 few digits are left at small h
_NEARLY: Final = 1e-3
_SAME: Final = 1e-6  # relative distance below which two roots are one
_STEEPEST: Final = 1e6
_FARTHEST: Final = 1e100  # activations are powers out there
_TOUCHING: Final = 1e-8  # constants of half-stable points are written with about as many digits

Growth = Callable[[float], float]


class FixedPoint(NamedTuple):
    """A variance that stays as it is, from layer to layer.

    Attributes:
        q: The variance; `inf` for growth without end.
        chi: chi_1 there.
        map_slope: V' there: below 1 the point is stable.
    """

    q: float
    chi: float
    map_slope: float


def point_at(phi: Nonlinearity, q: float, weight_scale: float) -> FixedPoint:
    """Return chi and V' at a variance.

    Args:
        phi: The activation.
        q: The variance; 0 and `inf` mean limits.
        weight_scale: s_w^2.
    """
    with np.errstate(all="ignore"):
        chi, slope = weight_scale * _rates(phi, FAR if q == math.inf else q)
        if q == math.inf:
            before = weight_scale * _rates(phi, FAR / 100)
            if slope >= _STEEPER * before[1]:
                chi = slope = math.inf
    return FixedPoint(q, float(chi), float(slope))


def _rates(phi: Nonlinearity, q: float) -> Floats:
    at = layer_moments(phi, q)
    return np.concatenate([at.slope_square, at.square_1st])


def growth_at(phi: Nonlinearity, q: float, weight_scale: float, bias_variance: float) -> float:
    """Return V(q) / q - 1: positive where the variance grows, 0 at a fixed point.

    Args:
        phi: The activation.
        q: A variance > 0.
        weight_scale: s_w^2.
        bias_variance: s_b^2.
    """
    at = sample(phi, q)
    square = float(at.mean_product(at.value, at.value)[0])
    return (weight_scale * square + bias_variance) / q - 1


@functools.lru_cache(maxsize=4096)
def fixed_points(
    phi: Nonlinearity, weight_scale: float, bias_variance: float
) -> tuple[FixedPoint, ...]:
    """Find all variances up to 1e8 that stay as they are, and the one beyond, in increasing order.

    Where every variance stays, only q = 0 is given.

    Not covered: more than one root beyond 1e8, and any beyond 1e100; roots closer than 2 %, of
    which one may be given for two. At half-stable points they do lie so close; chi and V' are alike
    there.

    Args:
        phi: The activation; its E phi^2 must be finite.
        weight_scale: s_w^2.
        bias_variance: s_b^2.
    """
    found = curve(phi)
    roots = [0.0] if bias_variance == 0 and found.keeps_0 else []
    if found.is_homogeneous:
        kept = 1 - weight_scale * float(found.square[0] / found.q[0])
        roots += [bias_variance / kept] if bias_variance > 0 and kept > 0 else []
    else:
        roots += _scan(phi, found, weight_scale, bias_variance)
        roots += _beyond(phi, weight_scale, bias_variance)
    return tuple(point_at(phi, q, weight_scale) for q in roots)


def _scan(
    phi: Nonlinearity, found: Curve, weight_scale: float, bias_variance: float
) -> list[float]:
    q = np.geomspace(SMALLEST, LARGEST, _NUM_SCANNED)
    at_0 = weight_scale * found.value_at_0 + bias_variance
    if 0 < at_0 < SMALLEST:  # a root may lie as low as V(0)
        q = np.append(at_0 / 2, q)
    growth = rough_map(found, weight_scale, bias_variance)(q) / q - 1

    exact = _exact_growth(phi, weight_scale, bias_variance)
    log_q, roots = np.log(q), list[float]()
    for left, right in _windows(growth):
        for root in _refine(exact, float(log_q[left]), float(log_q[right])):
            if all(abs(root - other) > _SAME for other in roots):
                roots.append(root)
    return [math.exp(root) for root in sorted(roots)]


def _exact_growth(phi: Nonlinearity, weight_scale: float, bias_variance: float) -> Growth:
    """Return the growth over ln q, cut off where it is so large that Brent's method would fail."""

    def exact(log_q: float) -> float:
        return min(growth_at(phi, math.exp(log_q), weight_scale, bias_variance), _STEEPEST)

    return exact


def _beyond(phi: Nonlinearity, weight_scale: float, bias_variance: float) -> list[float]:
    """Find the root beyond the scan where the variance still grows at its end, but not for ever."""
    exact = _exact_growth(phi, weight_scale, bias_variance)
    left, right = math.log(LARGEST), math.log(_FARTHEST)
    if exact(left) > _ROUNDING and exact(right) < -_SAME:
        return [math.exp(_brent(exact, left, right))]
    return []


def _windows(growth: Floats) -> Iterator[tuple[int, int]]:
    """Yield the intervals where the growth changes sign, or turns round close to 0."""
    clear = np.flatnonzero(np.abs(growth) > _ROUNDING)
    signs = np.sign(growth[clear])
    crossings = np.flatnonzero(signs[:-1] != signs[1:])
    yield from zip(clear[crossings].tolist(), clear[crossings + 1].tolist(), strict=True)
    size = np.where(np.abs(growth) > _ROUNDING, np.abs(growth), np.nan)
    turns = (size[1:-1] < _NEARLY) & (size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])
    yield from ((int(i), int(i) + 2) for i in np.flatnonzero(turns))


def _refine(exact: Growth, left: float, right: float) -> list[float]:
    """Find the roots in an interval: one, none, or two that the scan could not tell apart.

    The scan is good to 1e-6: where its sign is not the exact one, look a little further.
    """
    at_left, at_right = exact(left), exact(right)
    if at_left * at_right > 0:
        left, right = left - (right - left), right + (right - left)
        at_left, at_right = exact(left), exact(right)
    if at_left * at_right < 0:
        return [_brent(exact, left, right)]
    side = math.copysign(1.0, at_left)
    turn = optimize.minimize_scalar(
        lambda log_q: side * exact(log_q), bounds=(left, right), method="bounded"
    )
    if turn.fun < 0:
        return [_brent(exact, left, turn.x), _brent(exact, turn.x, right)]
    return [float(turn.x)] if turn.fun < _TOUCHING else []


def _brent(exact: Growth, left: float, right: float) -> float:
    return float(optimize.brentq(exact, left, right, xtol=1e-15, rtol=1e-14))
