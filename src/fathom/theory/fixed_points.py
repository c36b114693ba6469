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
from fathom.theory.meanfield import layer_moments
from fathom.theory.nonlinearity import Floats, Nonlinearity

_NUM_SCANNED: Final = 2000
_ROUNDING: Final = 1e-13
_WIDENINGS: Final = 8  # where the scan, good to 1e-6, and the exact map disagree about a sign
_NEARLY: Final = 1e-4
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
    at = layer_moments(phi, min(q, FAR))
    with np.errstate(all="ignore"):
        chi, slope = weight_scale * at.slope_square[0], weight_scale * at.square_1st[0]
    return FixedPoint(q, float(chi), float(slope))


def growth_at(phi: Nonlinearity, q: float, weight_scale: float, bias_variance: float) -> float:
    """Return V(q) / q - 1: positive where the variance grows, 0 at a fixed point.

    Args:
        phi: The activation.
        q: A variance > 0.
        weight_scale: s_w^2.
        bias_variance: s_b^2.
    """
    return (weight_scale * float(layer_moments(phi, q).square[0]) + bias_variance) / q - 1


@functools.lru_cache(maxsize=4096)
def fixed_points(
    phi: Nonlinearity, weight_scale: float, bias_variance: float
) -> tuple[FixedPoint, ...]:
    """Find all variances up to 1e8 that stay as they are, in increasing order.

    Where every variance stays, only q = 0 is given.

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
    return tuple(point_at(phi, q, weight_scale) for q in roots)


def _scan(
    phi: Nonlinearity, found: Curve, weight_scale: float, bias_variance: float
) -> Iterator[float]:
    q = np.geomspace(SMALLEST, LARGEST, _NUM_SCANNED)
    at_0 = weight_scale * found.value_at_0 + bias_variance
    if 0 < at_0 < SMALLEST:  # the root may lie as low as V(0)
        q = np.append(at_0 / 2, q)
    growth = rough_map(found, weight_scale, bias_variance)(q) / q - 1

    def exact(log_q: float) -> float:
        return growth_at(phi, math.exp(log_q), weight_scale, bias_variance)

    log_q = np.log(q)
    clear = np.flatnonzero(np.abs(growth) > _ROUNDING)
    signs = np.sign(growth[clear])
    for left, right in zip(clear[:-1], clear[1:], strict=True):
        if growth[left] * growth[right] < 0:
            yield from _refine(exact, log_q, int(left), int(right))
        elif (turn := _touching(growth, left)) is not None:
            pass
    del signs


def _refine(exact: Growth, log_q: Floats, left: int, right: int) -> Iterator[float]:
    """Find the root between two points of the scan."""
    for _ in range(_WIDENINGS):
        ends = log_q[left], log_q[right]
        if exact(ends[0]) * exact(ends[1]) < 0:
            yield math.exp(optimize.brentq(exact, *ends, xtol=1e-15, rtol=1e-14))
            return
        left, right = max(left - 1, 0), min(right + 1, len(log_q) - 1)
