"""E phi^2 and E phi'^2 as curves over the variance q: computed once for an activation, then reused.

What depends on weights and biases is arithmetic on these curves, and costs next to nothing.

Shapes: N points of the curve.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import interpolate

from fathom.theory.gaussian import sample
from fathom.theory.meanfield import layer_moments
from fathom.theory.nonlinearity import Floats, Nonlinearity

SMALLEST: Final = 1e-10
LARGEST: Final = 1e8
FAR: Final = 1e10  # where the growth at infinity is read off
_NUM_POINTS: Final = 241
_FIRST: Final = math.log(SMALLEST)
_WIDTH: Final = (math.log(LARGEST) - _FIRST) / (_NUM_POINTS - 1)
_NUM_PARTS: Final = 12  # small variances need fewer panels than large ones
_HOMOGENEOUS: Final = 1e-9
_BEYOND_NUMBERS: Final = 690.0  # logarithm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Moments of an activation at log-spaced variances.

    Attributes:
        q: Variances, `[N]`, from 1e-10 to 1e8.
        square: m_2 = E phi^2, `[N]`.
        square_1st: d m_2 / dq, `[N]`.
        slope_square: mu_2 = E phi'^2, `[N]`.
        pieces: ln(m_2 / q) as cubics of ln q, good to 1e-6, `[N+1, 4]` with the highest power
            first: one for every interval, and straight lines before the first and after the last.
        is_homogeneous: phi(a h) = a phi(h) for all a > 0: two straight lines that meet at 0.
        value_at_0: Limit of phi(h)^2 at 0, mean of both sides.
        slope_at_0: Limit of phi'(h)^2 at 0, mean of both sides.
    """

    q: Floats
    square: Floats
    square_1st: Floats
    slope_square: Floats
    pieces: Floats
    is_homogeneous: bool
    value_at_0: float
    slope_at_0: float

    @property
    def keeps_0(self) -> bool:
        """True where phi(0) = 0, so that q = 0 stays 0 without bias."""
        return self.value_at_0 == 0


@functools.lru_cache(maxsize=256)
def curve(phi: Nonlinearity) -> Curve:
    """Compute the curves of an activation.

    Args:
        phi: The activation; its E phi^2 must be finite.
    """
    q = np.geomspace(SMALLEST, LARGEST, _NUM_POINTS)
    with np.errstate(all="ignore"):
        rows = [_rows(phi, part) for part in np.array_split(q, _NUM_PARTS)]
        square, log_slope, square_1st, slope_square = np.concatenate(rows, axis=1)
        ratios = square / q
        spread = float(np.abs(ratios / ratios[0] - 1).max())
        pieces = _cubics(q, ratios, log_slope - 1)
    zero = layer_moments(phi, 0.0)
    return Curve(
        q=q,
        square=square,
        square_1st=square_1st,
        slope_square=np.full_like(q, np.inf) if phi.slope_diverges else slope_square,
        pieces=pieces,
        is_homogeneous=spread < _HOMOGENEOUS,
        value_at_0=float(zero.square[0]),
        slope_at_0=float(zero.slope_square[0]),
    )


def _rows(phi: Nonlinearity, q: Floats) -> Floats:
    """Return m_2, d ln m_2 / d ln q, d m_2 / dq and mu_2, `[4, Q]`."""
    at = sample(phi, q)
    square = at.mean_product(at.value, at.value)
    # From the density, which is exact to rounding even where phi waves, relative to m_2.
    log_slope = at.mean_product(at.value, at.value * (at.z * at.z - 1)) / 2 / square
    slope_form = at.mean_product(at.value, at.slope * at.h) / q
    square_1st = square / q * log_slope if phi.jumps else slope_form
    return np.stack([square, log_slope, square_1st, at.mean_product(at.slope, at.slope)])


def _cubics(q: Floats, ratios: Floats, log_slopes: Floats) -> Floats:
    heights = np.log(ratios)
    usable = np.isfinite(heights) & np.isfinite(log_slopes)
    end = _BEYOND_NUMBERS
    heights = np.clip(np.nan_to_num(heights, nan=end, posinf=end, neginf=-end), -end, end)
    slopes = np.where(usable, log_slopes, 0.0)
    inner = interpolate.CubicHermiteSpline(np.log(q), heights, slopes).c.T
    outer = [[0.0, 0.0, slopes[i], heights[i]] for i in (0, -1)]
    pieces: Floats = np.vstack([outer[:1], inner, outer[1:]])
    return pieces


def rough_map(
    found: Curve, weight_scale: float, bias_variance: float
) -> Callable[[Floats], Floats]:
    """Return V as a function of variances `[Q]` > 0, good to 1e-6.

    Args:
        found: Curves of the activation.
        weight_scale: s_w^2.
        bias_variance: s_b^2.
    """

    def evaluate(q: Floats) -> Floats:
        log_q = np.log(q)
        interval = np.clip(np.floor((log_q - _FIRST) / _WIDTH), -1, _NUM_POINTS - 1).astype(int)
        a, b, c, d = found.pieces[interval + 1].T
        t = log_q - _FIRST - np.maximum(interval, 0) * _WIDTH
        height = np.minimum(d + t * (c + t * (b + t * a)) + log_q, _BEYOND_NUMBERS)
        grown: Floats = weight_scale * np.exp(height) + bias_variance
        return grown

    return evaluate


def rough_step(found: Curve, weight_scale: float, bias_variance: float) -> Callable[[float], float]:
    """Return the same for one variance at a time, in a microsecond, to go through many layers."""
    pieces: list[list[float]] = found.pieces.tolist()

    def evaluate(q: float) -> float:
        log_q = math.log(q)
        place = log_q - _FIRST
        interval = min(max(math.floor(place / _WIDTH), -1), _NUM_POINTS - 1)
        a, b, c, d = pieces[interval + 1]
        t = place - max(interval, 0) * _WIDTH
        height = min(d + t * (c + t * (b + t * a)) + log_q, _BEYOND_NUMBERS)
        return weight_scale * math.exp(height) + bias_variance

    return evaluate
