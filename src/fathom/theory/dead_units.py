"""How many units start out dead: slope 0 on every input of a probe batch, so no gradient at all."""

import itertools
import math
from typing import Final

import numpy as np
from scipy import special

from fathom.theory.gaussian import WINDOW
from fathom.theory.nonlinearity import Floats, Nonlinearity, legendre

Interval = tuple[float, float]

# Where slopes are looked at within a stretch between two breaks, as shares of a finite one and as
# distances from the end of an endless one. Far out, every saturating slope is 0 in float64.
_SHARES: Final = np.linspace(0.01, 0.99, 99)
_DISTANCES: Final = np.geomspace(1e-3, 16, 99)
_WIDTHS: Final = np.arange(-9.0, 10.0)  # of the step at an interval's end: 9 is 1e-19 from flat
_SMALLEST: Final = 1e-30  # a correlation, or 1 minus one, by which can be divided


def dead_probability(
    phi: Nonlinearity, q: Floats | float, c: Floats | float, num_inputs: int
) -> Floats:
    """Predict the share of a layer's units that are strictly dead on N inputs.

    The pre-activations of one unit on inputs of equal norm and equal pairwise correlation c are
    sqrt(q) (sqrt(c) t + sqrt(1-c) u_a), with t of the unit and u_a of the input standard normal:
    given t they are independent, so that P = E_t[P(phi'(h) = 0 | t)^N]. Collapse (c = 1) gives 1/2
    for relu, independence (c = 0) 2^-N.

    Source: the conditional independence of equicorrelated normals, Dunnett & Sobel 1955,
    Biometrika 42, 258.

    Not covered: inputs whose correlations or norms differ (a few inputs that lie apart keep units
    alive), and c < 0, which is taken as 0.

    Args:
        phi: The activation.
        q: Variance of the pre-activations, `[Q]` or one.
        c: Their correlation, `[Q]` or one.
        num_inputs: N, at least 1.

    Returns:
        `[Q]`; NaN where q is 0 or q or c is not finite.
    """
    q_Q, c_Q = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, np.float64)) for x in (q, c)))
    dead = zero_slope_intervals(phi)
    known = np.isfinite(q_Q) & (q_Q > 0) & np.isfinite(c_Q)
    probability = np.full(q_Q.shape, np.nan)
    if not known.any():
        return probability
    common = np.clip(c_Q[known], _SMALLEST, 1)[:, None]
    own = np.maximum(1 - common, _SMALLEST)
    ends = np.array(dead).reshape(-1, 2) / np.sqrt(q_Q[known])[:, None, None]  # [Q, intervals, 2]
    t, weight = _nodes(ends.reshape(len(common), -1), common, own)
    distance = ends[:, :, None, :] - (np.sqrt(common) * t)[:, None, :, None]
    below = special.ndtr(distance / np.sqrt(own)[:, None, :, None])
    on_all = (below[..., 1] - below[..., 0]).sum(1) ** num_inputs
    probability[known] = (weight * on_all).sum(1)
    return probability


def zero_slope_intervals(phi: Nonlinearity) -> tuple[Interval, ...]:
    """Find where phi' is exactly 0: the stretches between two breaks that are flat throughout.

    Not covered: a tail that reaches 0 by rounding only, as tanh's does, which is not counted.
    """
    ends = (-math.inf, *phi.kinks, math.inf)
    return tuple(
        (low, high)
        for low, high in itertools.pairwise(ends)
        if (phi.slope(_inside(low, high)) == 0).all()
    )


def _inside(low: float, high: float) -> Floats:
    if math.isinf(low):
        return (0.0 if math.isinf(high) else high) - _DISTANCES
    if math.isinf(high):
        return low + _DISTANCES
    return low + (high - low) * _SHARES


def _nodes(ends: Floats, common: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Place panels for t where its density bends and where an interval's probability does."""
    finite = np.where(np.isfinite(ends), ends, 0.0)
    steps = (finite[:, :, None] + _WIDTHS * np.sqrt(own)[:, None]) / np.sqrt(common)[:, None]
    whole = np.tile(np.arange(-WINDOW, WINDOW + 1), (len(ends), 1))
    inner = np.clip(steps.reshape(len(ends), -1), -WINDOW, WINDOW)
    t, weight = legendre(np.sort(np.concatenate([whole, inner], axis=1)))
    return t, weight * np.exp(-t * t / 2) / np.sqrt(2 * np.pi)
