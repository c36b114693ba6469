"""Gains and critical points: the weights at which an activation keeps signal or gradient.

For networks without layers of other kinds: h = W phi(h) + b with s_w^2 = fan_in * variance of a
weight, and s_b^2 the variance of a bias.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from scipy import optimize

from fathom.theory.curve import Curve, curve
from fathom.theory.meanfield import layer_moments
from fathom.theory.nonlinearity import Floats, Nonlinearity

_ROUNDING: Final = 1e-8  # of functions like sigmoid(h) - 1/2 few digits are left at small h


class CriticalPoint(NamedTuple):
    """Weights, biases and the variance that they hold at chi_1 = 1.

    Attributes:
        weight_scale: s_w^2.
        bias_variance: s_b^2.
        q: The fixed point.
        map_slope: V' there: above 1 no network stays there.
    """

    weight_scale: float
    bias_variance: float
    q: float
    map_slope: float


def forward_gain(phi: Nonlinearity) -> float:
    """Return 1 / sqrt(E phi(z)^2): the s_w that keeps the variance of the signal at 1.

    0 where a pole makes the mean square infinite.

    Source: LeCun et al. 1998, Efficient backprop, sec. 4.6, for this choice of the variance.
    """
    return _inverse_root(float(layer_moments(phi, 1.0).square[0]))


def backward_gain(phi: Nonlinearity) -> float:
    """Return 1 / sqrt(E phi'(z)^2): the s_w that keeps the gradient of a signal of variance 1.

    0 where a pole makes the mean square infinite, and `inf` where no gradient passes.

    Source: He et al. 2015, arXiv:1502.01852, sec. 2.2.
    """
    return _inverse_root(float(layer_moments(phi, 1.0).slope_square[0]))


def _inverse_root(square: float) -> float:
    return 1 / math.sqrt(square) if square > 0 else math.inf


def small_signal_scale(phi: Nonlinearity) -> float | None:
    """Return the s_w^2 that keeps an ever smaller signal without bias; None if there is none.

    It is 2 / (phi'(0+)^2 + phi'(0-)^2), and needs phi(0) = 0.

    Source: chi_1 and V' at q = 0, Poole et al. 2016, arXiv:1606.05340.
    """
    if phi.value_diverges:
        return None
    found = curve(phi)
    if not (found.keeps_0 and 0 < found.slope_at_0 < math.inf):
        return None
    return 1 / found.slope_at_0


def edge_of_chaos(phi: Nonlinearity, bias_variance: float) -> tuple[CriticalPoint, ...]:
    """Find all weights at which chi_1 = 1 at a fixed point, by increasing q.

    The point solves q - E phi^2 / E phi'^2 = s_b^2, and s_w^2 = 1 / E phi'^2 there. A point with
    V' > 1 is an unstable fixed point. Activations made of two straight lines that meet at 0 have
    no such point with biases; without biases every q is one, see `small_signal_scale`.

    Source: Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.

    Not covered: q above 1e8.

    Args:
        phi: The activation.
        bias_variance: s_b^2, at least 0.
    """

    def excess(at: _Row) -> Floats:
        return (at.q - at.square / at.slope_square - bias_variance) / at.q

    return tuple(
        CriticalPoint(1 / slope_square, bias_variance, q, square_1st / slope_square)
        for q, _, square_1st, slope_square in _roots(phi, excess)
    )


def half_stable(phi: Nonlinearity) -> CriticalPoint | None:
    """Find the weights and biases where chi_1 = V' = 1; None if there are none.

    A signal from one side creeps up to it, one from the other creeps away. Gated activations have
    no stable edge of chaos with small biases, and this point instead. The lowest is taken if there
    are several.

    Source: Roberts, Yaida & Hanin 2022, arXiv:2106.10165, ch. 5.

    Args:
        phi: The activation.
    """

    def excess(at: _Row) -> Floats:
        return at.square_1st / at.slope_square - 1

    for q, square, square_1st, slope_square in _roots(phi, excess):
        bias_variance = q - square / slope_square
        if bias_variance >= 0:
            return CriticalPoint(1 / slope_square, bias_variance, q, square_1st / slope_square)
    return None


class _Row(NamedTuple):
    q: Floats
    square: Floats
    square_1st: Floats
    slope_square: Floats


def _roots(
    phi: Nonlinearity, excess: Callable[[_Row], Floats]
) -> Iterator[tuple[float, float, float, float]]:
    """Yield q and its moments, in the order of `_Row`, where an excess changes its sign."""
    if phi.value_diverges or phi.slope_diverges or phi.slope_is_zero:
        return
    found = curve(phi)
    if found.is_homogeneous:
        return

    def at(log_q: float) -> _Row:
        q = math.exp(log_q)
        row = layer_moments(phi, q)
        return _Row(np.array([q]), row.square, row.square_1st, row.slope_square)

    def exact(log_q: float) -> float:
        return float(excess(at(log_q))[0])

    for left, right in _sign_changes(found, excess):
        root = optimize.brentq(exact, math.log(left), math.log(right), xtol=1e-15, rtol=1e-14)
        q, square, square_1st, slope_square = (float(part[0]) for part in at(float(root)))
        yield q, square, square_1st, slope_square


def _sign_changes(found: Curve, excess: Callable[[_Row], Floats]) -> Iterator[tuple[float, float]]:
    with np.errstate(all="ignore"):
        height = excess(_Row(found.q, found.square, found.square_1st, found.slope_square))
    clear = np.flatnonzero(np.isfinite(height) & (np.abs(height) > _ROUNDING))
    for left, right in itertools.pairwise(clear):
        if (height[left] < 0) != (height[right] < 0):  # their product may be beyond all numbers
            yield float(found.q[left]), float(found.q[right])
