"""How alike two inputs stay: the correlation map, from Hermite expansions.

With h_1, h_2 of variances q_1, q_2 and correlation c, E[phi(h_1) phi(h_2)] is the power series
sum_k a_k(q_1) a_k(q_2) c^k with a_k(q) = E[phi(sqrt(q) z) He_k(z)] / sqrt(k!): the dual activation.
One quadrature gives the whole curve.

Source: Daniely, Frostig & Singer 2016, arXiv:1602.05897 (the series); Poole et al. 2016,
arXiv:1606.05340, eq. 5 (the map); Schoenholz et al. 2017, arXiv:1611.01232, eq. 9 (its depth
scale). The power law beyond the last coefficient is this project's.

Shapes: Q variances, N nodes, K coefficients, L layers.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyder, polyval
from scipy import optimize, special

from fathom.theory.gaussian import Sample, sample
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity

NUM_COEFFICIENTS: Final = 200
_COMPLETE: Final = 1e-14  # share of E f^2 beyond the last coefficient that is needed
_BATCH: Final = 16  # coefficients between two looks at that share
_SMALLEST: Final = 1e-300  # a correlation that has a logarithm
_LARGEST: Final = 1e100  # a start, where there is almost no tail
_CRITICAL: Final = 1e-9  # |chi - 1| and 1 - c* below which a network is on the edge of chaos


class Expansion(NamedTuple):
    """Hermite coefficients of a function f of h ~ N(0, q), and what lies beyond them.

    Where f' breaks, a_k^2 falls as k^-5/2; where f breaks, as k^-3/2: near c = 1 no finite number
    of coefficients will do. Beyond them this power law is taken, with the mass and (unless f itself
    breaks) the slope at c = 1 that the coefficients leave over, both of which are known exactly.

    Attributes:
        coefficients: a_0 to a_{K-1}, `[K, ...]`.
        square: E f^2, `[...]`.
        tail: Sum of a_k^2 beyond, `[...]`.
        tail_start: k at which the power law begins, `[...]`.
        breaks: f itself breaks, or E f'^2 is infinite.
    """

    coefficients: Floats
    square: Floats
    tail: Floats
    tail_start: Floats
    breaks: bool

    def pick(self, *index: int | slice | None) -> "Expansion":
        """Index the axes behind K, as NumPy does."""
        square, tail, start = (x[index] for x in (self.square, self.tail, self.tail_start))
        return Expansion(self.coefficients[(slice(None), *index)], square, tail, start, self.breaks)


def hermite_coefficients(at: Sample, values: Floats, num: int = NUM_COEFFICIENTS) -> Floats:
    """Expand a function of a standard normal variable in normalised Hermite polynomials.

    The recurrence h_k = (z h_{k-1} - sqrt(k-1) h_{k-2}) / sqrt(k) is stable where the density is.

    Args:
        at: Nodes of a quadrature.
        values: The function at the nodes, `[Q, N]`.
        num: K. Coefficients are 0 from where all of the function's mean square is found.

    Returns:
        `[K, Q]`.
    """
    with np.errstate(all="ignore"):
        weighted = at.weight * values
        enough = _mean_square(at, values) * (1 - _COMPLETE)
        coefficients = np.zeros((num, len(values)))
        before, now, product = np.zeros_like(at.z), np.ones_like(at.z), np.empty_like(at.z)
        for k in range(num):
            coefficients[k] = (weighted[:, None] @ now[:, :, None])[:, 0, 0]
            if k % _BATCH == 0 and not (np.square(coefficients[:k]).sum(0) < enough).any():
                break
            np.multiply(at.z, now, out=product)
            product *= 1 / math.sqrt(k + 1)
            before *= -math.sqrt(k / (k + 1))
            before += product
            before, now = now, before
    return coefficients


def expand(phi: Nonlinearity, q: Floats | float) -> Expansion:
    """Expand an activation at variances q.

    Where q is 0 or not finite, or E phi^2 is infinite, every number is NaN.

    Args:
        phi: The activation.
        q: Variances `[Q]` or one.
    """
    at, variance = _sample(phi, q)
    value = np.where(phi.value_diverges, np.nan, at.value)
    breaks = bool(phi.jumps) or phi.slope_diverges
    with np.errstate(all="ignore"):
        slope_at_1 = None if breaks else variance * _mean_square(at, at.slope)
        return _complete(hermite_coefficients(at, value), _mean_square(at, value), slope_at_1)


def expand_slope(phi: Nonlinearity, q: Floats | float) -> Expansion:
    """Expand phi', as `expand` does phi."""
    at, _ = _sample(phi, q)
    slope = np.where(phi.slope_diverges, np.nan, at.slope)
    with np.errstate(all="ignore"):
        return _complete(hermite_coefficients(at, slope), _mean_square(at, slope), None)


def _sample(phi: Nonlinearity, q: Floats | float) -> tuple[Sample, Floats]:
    given = np.atleast_1d(np.asarray(q, dtype=np.float64))
    usable = np.isfinite(given) & (given > 0)
    variance = np.where(usable, given, 1.0)
    at = sample(phi, variance)
    return at._replace(weight=np.where(usable[:, None], at.weight, np.nan)), variance


def _mean_square(at: Sample, values: Floats) -> Floats:
    # The weight goes first: what grows like exp(h) has a square beyond all numbers far out.
    square: Floats = np.square(np.sqrt(at.weight) * values).sum(1)
    return square


def _complete(coefficients: Floats, square: Floats, slope_at_1: Floats | None) -> Expansion:
    squares = coefficients * coefficients
    num = len(coefficients)
    tail = np.maximum(square - squares.sum(0), 0)
    if slope_at_1 is None:
        return Expansion(coefficients, square, tail, np.full_like(tail, num - 0.5), True)
    missing = slope_at_1 - np.arange(num) @ squares
    # A power law k^-5/2 from k_0 on has 3 k_0 times its mass as slope.
    start = np.clip(missing / np.maximum(3 * tail, _SMALLEST), 0, _LARGEST)
    return Expansion(coefficients, square, tail, start, False)


def kernel(first: Expansion, second: Expansion, c: Floats | float) -> Floats:
    """Return E[f(h_1) f(h_2)] of two variables with correlation c.

    Not covered: the part beyond K for c < 0, where it changes sign with k; it is left out. It is
    a share of about 1e-4 of E f^2 for f with a kink, and of 3e-2 for f with a jump.

    Args:
        first: Expansion at the variances of h_1.
        second: Expansion of the same f at the variances of h_2; the shapes broadcast.
        c: Correlations, from -1 to 1.
    """
    with np.errstate(all="ignore"):
        series = polyval(c, first.coefficients * second.coefficients, tensor=False)
        mass, exponent = _tail(first, second, c)
        _, three_halves, five_halves = _exponential_integrals(exponent)
        beyond = three_halves / 2 if first.breaks else five_halves * 1.5
        return np.asarray(series + mass * beyond)


def kernel_slope(first: Expansion, second: Expansion, c: Floats | float) -> Floats:
    """Return the derivative of `kernel` with respect to c, which is sqrt(q_1 q_2) E[f' f']."""
    with np.errstate(all="ignore"):
        series = polyval(c, polyder(first.coefficients * second.coefficients), tensor=False)
        mass, exponent = _tail(first, second, c)
        one_half, three_halves, _ = _exponential_integrals(exponent)
        beyond = one_half / 2 if first.breaks else three_halves * 1.5
        per_c = np.sqrt(first.tail_start * second.tail_start) / np.maximum(c, _SMALLEST)
        return np.asarray(series + np.where(mass > 0, mass * per_c * beyond, 0.0))


def _tail(first: Expansion, second: Expansion, c: Floats | float) -> tuple[Floats, Floats]:
    """Return the mass beyond K, and k_0 ln(1/c)."""
    mass = np.where(np.asarray(c) > 0, np.sqrt(first.tail * second.tail), 0.0)
    start = np.sqrt(first.tail_start * second.tail_start)
    return mass, 0.0 - start * np.log(np.clip(c, _SMALLEST, 1))  # 0.0, not -0.0, at c = 1


def _exponential_integrals(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return E_1/2(x), E_3/2(x) and E_5/2(x), E_p(x) = int_1^inf t^-p exp(-x t) dt.

    Source: NIST Digital Library of Mathematical Functions, 8.19.12 (recurrence) and 8.19.1 with
    8.4.6 (the first).
    """
    decay, rest = np.exp(-x), special.erfc(np.sqrt(x))
    three_halves = 2 * (decay - np.sqrt(np.pi * x) * rest)
    return np.sqrt(np.pi / x) * rest, three_halves, (decay - x * three_halves) * (2 / 3)


def correlation_map(
    expansion: Expansion, c: Floats | float, weight_scale: float, bias_variance: float
) -> Floats:
    """Return the correlation of two inputs one layer on.

    c' = (s_w^2 E[phi(h_1) phi(h_2)] + s_b^2) / (s_w^2 E phi^2 + s_b^2), 1 at c = 1.

    Args:
        expansion: Of phi, at the variance of both pre-activations.
        c: Correlation of the pre-activations, from -1 to 1.
        weight_scale: s_w^2 of the next layer.
        bias_variance: s_b^2 of the next layer.
    """
    with np.errstate(all="ignore"):
        covariance = weight_scale * kernel(expansion, expansion, c) + bias_variance
        variance = weight_scale * expansion.square + bias_variance
        return np.clip(covariance / variance, -1, 1)


def propagate_correlation(network: Network, q_L: Floats) -> Floats:
    """Predict the correlation of two inputs' pre-activations in every layer.

    Not covered: inputs that differ in norm, and how the correlation differs from pair to pair (the
    map is applied to the mean of both); fluctuations of q, which near an unstable fixed point shift
    the mean by 0.1 (gelu with s_w^2 = 2, width 512, 50 layers).

    Args:
        network: The network, with the cosine of its inputs.
        q_L: Variance of the pre-activations of each layer, `[L]`.

    Returns:
        c_1 to c_L; NaN where it is not known, and from the layer on whose q is 0, infinite or NaN.
    """
    q_first = float(q_L[0])
    square = network.weight_scale[0] * network.input_square
    covariance = square * network.input_cosine + network.bias_variance[0]
    c_L = [np.asarray(covariance / q_first if 0 < q_first < math.inf else math.nan)]
    layers = _expand_layers(network.activations[:-1], q_L[:-1])
    for expansion, scale, bias in zip(
        layers, network.weight_scale[1:], network.bias_variance[1:], strict=True
    ):
        c_L.append(correlation_map(expansion, c_L[-1], scale, bias))
    return np.array(c_L, dtype=np.float64)


def _expand_layers(phis: tuple[Nonlinearity, ...], q_L: Floats) -> list[Expansion]:
    """Expand each layer's activation, layers of equal activation at once."""
    expansions: dict[int, Expansion] = {}
    for phi in {id(phi): phi for phi in phis}.values():
        layers = [layer for layer, other in enumerate(phis) if other is phi]
        together = expand(phi, q_L[layers])
        expansions |= {layer: together.pick(row) for row, layer in enumerate(layers)}
    return [expansions[layer] for layer in range(len(phis))]


class FixedCorrelation(NamedTuple):
    """Where the correlation of two inputs goes with depth, and how fast.

    Attributes:
        correlation: c*, the fixed point of the map that attracts every c from 0 up to 1.
        slope: Slope of the map there, chi_{c*}.
        depth_scale: xi_c = -1 / ln(slope), in layers; infinite on the edge of chaos.
    """

    correlation: float
    slope: float
    depth_scale: float


def fixed_correlation(
    phi: Nonlinearity, q: float, weight_scale: float, bias_variance: float
) -> FixedCorrelation:
    """Find where the correlation map of a layer that repeats for ever leads.

    No coefficient of the map is negative, so that it is convex and increasing on [0, 1]: c* = 1
    where its slope there is at most 1, else the only other fixed point. Without bias and for an
    odd activation that one is 0.

    Args:
        phi: The activation.
        q: Variance of the pre-activations, a fixed point q* of the variance map.
        weight_scale: s_w^2.
        bias_variance: s_b^2.

    Returns:
        Three NaN where the map is not defined.
    """
    both = expand(phi, q).pick(0)

    def gain(c: float) -> float:
        return float(correlation_map(both, c, weight_scale, bias_variance)) - c

    def slope(c: float) -> float:
        variance = weight_scale * both.square + bias_variance
        return float(weight_scale * kernel_slope(both, both, c) / variance)

    if math.isnan(gain(1.0)):
        return FixedCorrelation(math.nan, math.nan, math.nan)
    almost_one = 1 - _CRITICAL
    c = 1.0
    if slope(1.0) > 1 + _CRITICAL and gain(almost_one) < 0:
        c = optimize.brentq(gain, 0.0, almost_one, xtol=1e-14) if gain(0.0) > 0 else 0.0
    return FixedCorrelation(c, slope(c), _depth_scale(slope(c)))


def _depth_scale(slope: float) -> float:
    if abs(slope - 1) <= _CRITICAL:
        return math.inf
    return -1 / math.log(slope) if slope > 0 else 0.0
