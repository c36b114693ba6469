"""Maps of variance and gradient from layer to layer, in the limit of infinite width.

q is the variance of the pre-activations of a layer, h ~ N(0, q). The next layer has
V(q) = s_w^2 E phi(h)^2 + s_b^2.

Shapes: Q variances, L hidden layers.
"""

import functools
from typing import Final, NamedTuple

import numpy as np

from fathom.theory.gaussian import Moments, moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity

_BESIDE_ZERO: Final = np.array([-1e-30, 1e-30])
_NOTHING: Final = 1e-12  # what rounding, or 1e-30 beside 0, may leave of phi(0) = 0
_SLOPE_MOMENTS: Final = ("slope_square", "slope_fourth", "slope_square_h2")


def variance_map(
    phi: Nonlinearity, q: Floats | float, weight_scale: float, bias_variance: float
) -> Floats:
    """Return V(q) = s_w^2 E phi(h)^2 + s_b^2, the next layer's variance, `[Q]`.

    Source: Poole et al. 2016, arXiv:1606.05340, eq. 3.

    Args:
        phi: The activation.
        q: Variances `[Q]` or one, each at least 0.
        weight_scale: s_w^2, fan_in times the variance of a weight.
        bias_variance: s_b^2.
    """
    with np.errstate(all="ignore"):
        return weight_scale * _at(phi, q).square + bias_variance


def map_slope(phi: Nonlinearity, q: Floats | float, weight_scale: float) -> Floats:
    """Return V'(q), by which a small deviation of q is multiplied in a layer, `[Q]`.

    It needs no second derivative, and phi may jump. Also known as chi_par.

    Source: V' = s_w^2 E[phi phi' h] / q by differentiating E phi(sqrt(q) z)^2; with jumps
    s_w^2 E[phi^2 (h^2 / q - 1)] / (2q) by differentiating the density instead.

    Args:
        phi: The activation.
        q: Variances `[Q]` or one, each at least 0.
        weight_scale: s_w^2.
    """
    with np.errstate(all="ignore"):
        return weight_scale * _at(phi, q).square_1st


def chi(phi: Nonlinearity, q: Floats | float, weight_scale: float) -> Floats:
    """Return chi_1(q) = s_w^2 E phi'(h)^2, by which the squared gradient norm grows, `[Q]`.

    Infinite where a pole of phi' has no second moment; 0 for a step, whose phi' is 0.

    Source: Schoenholz et al. 2017, arXiv:1611.01232; also known as chi_perp.

    Args:
        phi: The activation.
        q: Variances `[Q]` or one, each at least 0.
        weight_scale: s_w^2.
    """
    with np.errstate(all="ignore"):
        return weight_scale * _at(phi, q).slope_square


def _at(phi: Nonlinearity, q: Floats | float) -> Moments:
    """Compute moments where q may be 0 or infinite, and phi may have poles, each `[Q]`."""
    q_Q = np.atleast_1d(np.asarray(q, dtype=np.float64))
    usual = (q_Q > 0) & (q_Q < np.inf)
    inside = moments(phi, np.where(usual, q_Q, 1.0))
    zero = _at_zero(phi)
    rows = (
        np.where(usual, inner, np.where(q_Q == 0, edge, np.nan))
        for inner, edge in zip(inside, zero, strict=True)
    )
    return _with_poles(phi, Moments(*rows))


def _at_zero(phi: Nonlinearity) -> Moments:
    """Return the limits of all moments as q goes to 0; NaN where a kink leaves none."""
    with np.errstate(all="ignore"):
        value, slope = phi.value(_BESIDE_ZERO), phi.slope(_BESIDE_ZERO)
        value[np.abs(value) < _NOTHING] = 0.0
        slope[np.abs(slope) < _NOTHING] = 0.0
        one = {
            "mean": value.mean(),
            "square": (value**2).mean(),
            "fourth": (value**4).mean(),
            "slope_square": (slope**2).mean(),
            "slope_fourth": (slope**4).mean(),
            "value_slope_h": 0.0,
            "square_slope_square": (value**2 * slope**2).mean(),
            "slope_square_h2": 0.0,
            "square_1st": np.nan if value.any() else (slope**2).mean(),
            "square_2nd": np.nan,
            "slope_square_1st": np.nan,
            "slope_square_2nd": np.nan,
        }
    return Moments(**{name: np.array([moment]) for name, moment in one.items()})


def _with_poles(phi: Nonlinearity, found: Moments) -> Moments:
    """Replace what quadrature cannot see to be infinite."""
    if phi.value_diverges:
        return Moments(*(np.full_like(moment, np.inf) for moment in found))
    if phi.slope_diverges:
        infinite = np.full_like(found.slope_square, np.inf)
        return found._replace(**dict.fromkeys(_SLOPE_MOMENTS, infinite))
    return found


@functools.lru_cache(maxsize=16384)
def layer_moments(phi: Nonlinearity, q: float) -> Moments:
    """Return the moments of one layer, each `[1]`, remembered from call to call.

    At q = 0 they are limits, and beyond numbers NaN; infinite moments are `inf`.
    """
    return _at(phi, q)


class Propagation(NamedTuple):
    """What infinitely wide layers do to signal and gradient. Layer 1 comes first.

    Attributes:
        q: Variance of the pre-activations, `[L]`; inf or 0 from where numbers end.
        chi: s_w^2 of layer l+1 times E phi_l'^2, `[L-1]`: E |dL/dh_l|^2 over E |dL/dh_{l+1}|^2,
            the squares summed over the units of a layer.
        map_slope: V' = dq_{l+1} / dq_l, `[L-1]`.
        gradient_log10: log10 of the rms over units of dL/dh in a layer over that in layer L,
            `[L]`: .5 sum of log10 chi + .5 log10(n_L / n_l). It is the log of a mean square; the
            mean of the log, which single networks show, is lower at finite width.
        moments: Moments of phi_l at q_l, one for each layer, each `[1]`.
        lost_at: First layer, from 1, whose q is 0 or not finite; None if there is none.
    """

    q: Floats
    chi: Floats
    map_slope: Floats
    gradient_log10: Floats
    moments: tuple[Moments, ...]
    lost_at: int | None


def propagate(network: Network) -> Propagation:
    """Follow the variance of the signal up a network, and the gradient down.

    q_1 comes from the actual input, and q goes from layer to layer: numbers at the fixed point
    alone mislead. Where a pole has no second moment, the next q is inf.

    Source: Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.

    Args:
        network: The network.
    """
    scale = np.array(network.weight_scale, dtype=np.float64)
    with np.errstate(all="ignore"):
        rows, q_L = _forward(network)
        chi_K = scale[1:] * np.array([row.slope_square[0] for row in rows[:-1]])
        slope_K = scale[1:] * np.array([row.square_1st[0] for row in rows[:-1]])
        above = np.cumsum(np.log10(chi_K)[::-1])[::-1]
        widths = np.array(network.widths, dtype=np.float64)
        gradient_L = (np.append(above, 0.0) + np.log10(widths[-1] / widths)) / 2
    lost = np.flatnonzero(~((q_L > 0) & (q_L < np.inf)))
    return Propagation(
        q=q_L,
        chi=chi_K,
        map_slope=slope_K,
        gradient_log10=gradient_L,
        moments=tuple(rows),
        lost_at=int(lost[0]) + 1 if lost.size else None,
    )


def _forward(network: Network) -> tuple[list[Moments], Floats]:
    q = network.weight_scale[0] * network.input_square + network.bias_variance[0]
    rows, variances = [layer_moments(network.activations[0], q)], [q]
    above = zip(
        network.activations[1:], network.weight_scale[1:], network.bias_variance[1:], strict=True
    )
    for phi, weight_scale, bias_variance in above:
        grown = weight_scale * float(rows[-1].square[0]) + bias_variance
        q = grown if np.isfinite(grown) else np.inf
        variances.append(q)
        rows.append(layer_moments(phi, q))
    return rows, np.array(variances)
