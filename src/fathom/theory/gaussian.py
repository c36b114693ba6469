"""Expectations over a Gaussian pre-activation, by composite Gauss-Legendre quadrature.

Panels end where the density bends (integers of z) and where the activation does (its edges,
divided by the standard deviation), so that every panel holds a smooth function. Gauss-Hermite
quadrature is a trap here: with 200 nodes it is wrong in the third digit for ELU and in the first
for tanh at large variance.

Shapes: Q variances, N nodes, P panels. z ~ N(0, 1), h = sqrt(q) z.
"""

from typing import Final, NamedTuple

import numpy as np

from fathom.theory.nonlinearity import Floats, Nonlinearity, legendre

WINDOW: Final = 12.0  # standard deviations; the density beyond is below 1e-32
WIDEST: Final = 38.0  # the density is 0 in float64 beyond; needed by what grows like exp(h)
_EDGE_SHARE: Final = 1e-14
_ENDLESS_SHARE: Final = 1e-3  # in the outermost panels of the widest window; exp(h) has 1e-5


class Sample(NamedTuple):
    """An activation at the nodes of a quadrature, each `[Q, N]`.

    Attributes:
        z: Standardised pre-activations.
        weight: Sums to 1 over the nodes.
        h: Pre-activations.
        value: phi(h).
        slope: phi'(h).
    """

    z: Floats
    weight: Floats
    h: Floats
    value: Floats
    slope: Floats

    def mean(self, integrand: Floats) -> Floats:
        """Return the expectation `[Q]` of a function given at the nodes, `[Q, N]`."""
        with np.errstate(all="ignore"):
            expectation: Floats = np.einsum("qn,qn->q", self.weight, integrand)
        return expectation

    def mean_product(self, first: Floats, second: Floats) -> Floats:
        """Return the expectation `[Q]` of a product that may overflow where the weight is tiny."""
        with np.errstate(all="ignore"):
            root = np.sqrt(self.weight)
            return total(self.z, (root * first) * (root * second))


def total(z: Floats, terms: Floats) -> Floats:
    """Add the terms of a quadrature, `[Q, N]`; infinite where they do not end in the widest window.

    Not covered: moments that are finite, but whose terms end beyond it.
    """
    sums: Floats = terms.sum(1)
    if z.max() < WIDEST - 1:
        return sums
    sizes = np.abs(terms)
    outside = np.where(np.abs(z) > WIDEST - 1, sizes, 0.0).sum(1)
    return np.where(outside > _ENDLESS_SHARE * sizes.sum(1), np.copysign(np.inf, sums), sums)


def sample(phi: Nonlinearity, q: Floats | float, *, window: float | None = None) -> Sample:
    """Evaluate an activation where expectations over h ~ N(0, q) are taken.

    Args:
        phi: The activation.
        q: Variances `[Q]` or one, each > 0 and finite.
        window: Largest |z|; found from the growth of phi when omitted.
    """
    q_Q1 = np.atleast_1d(np.asarray(q, dtype=np.float64))[:, None]
    if window is not None:
        return _sample(phi, np.sqrt(q_Q1), window)
    taken = _sample(phi, np.sqrt(q_Q1), WINDOW)
    return taken if _fits(taken) else _sample(phi, np.sqrt(q_Q1), WIDEST)


def _sample(phi: Nonlinearity, scale_Q1: Floats, window: float) -> Sample:
    whole = np.arange(-window, window + 1)
    near = phi.edges[np.abs(phi.edges) < window * scale_Q1.max()]
    bends = np.clip(near / scale_Q1, -window, window)
    edges = np.sort(np.concatenate([np.tile(whole, (len(bends), 1)), bends], axis=1))
    z, weight = legendre(edges)
    weight *= np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    h = scale_Q1 * z
    with np.errstate(all="ignore"):
        value, slope = phi.value(h), phi.slope(h)
    # A panel without width may lie on a pole, and what weighs nothing may be infinite.
    if not (np.isfinite(value).all() and np.isfinite(slope).all()):
        value, slope = (np.where(weight == 0, 0.0, each) for each in (value, slope))
    return Sample(z, weight, h, value, slope)


def _fits(taken: Sample) -> bool:
    """Tell whether the fourth power of phi, the largest that is asked for, ends in the window."""
    with np.errstate(all="ignore"):
        terms = (taken.weight**0.25 * taken.value) ** 4
        outside = np.where(np.abs(taken.z) > WINDOW - 1, terms, 0.0).sum(1)
        all_terms = terms.sum(1)
        return bool((np.isfinite(all_terms) & (outside <= _EDGE_SHARE * all_terms)).all())


class Moments(NamedTuple):
    """Expectations over h ~ N(0, q), each `[Q]`.

    Derivatives with respect to q come from the weight, not from phi: d/dq E f(h) =
    E[f (z^2 - 1)] / (2q), which holds at kinks and jumps.

    Attributes:
        mean: E phi.
        square: m_2 = E phi^2.
        fourth: m_4 = E phi^4.
        slope_square: mu_2 = E phi'^2.
        slope_fourth: mu_4 = E phi'^4.
        value_slope_h: E[phi phi' h].
        square_slope_square: E[phi^2 phi'^2].
        slope_square_h2: E[phi'^2 h^2].
        square_1st: d m_2 / dq; E[phi phi' h] / q where phi does not jump.
        square_2nd: d^2 m_2 / dq^2.
        slope_square_1st: d mu_2 / dq.
        slope_square_2nd: d^2 mu_2 / dq^2.
    """

    mean: Floats
    square: Floats
    fourth: Floats
    slope_square: Floats
    slope_fourth: Floats
    value_slope_h: Floats
    square_slope_square: Floats
    slope_square_h2: Floats
    square_1st: Floats
    square_2nd: Floats
    slope_square_1st: Floats
    slope_square_2nd: Floats


def moments(phi: Nonlinearity, q: Floats | float) -> Moments:
    """Compute the moments of an activation that mean-field theory and its corrections need.

    Infinite moments of a pole are not seen by quadrature: ask `phi.value_diverges` first. Those of
    what grows like exp(h^2) are.

    Not covered: what grows like exp(h) at q > 250, whose weight lies where float64 has none; it
    counts as infinite.

    Args:
        phi: The activation.
        q: Variances `[Q]` or one, each > 0.
    """
    at = sample(phi, q)
    q_Q = np.atleast_1d(np.asarray(q, dtype=np.float64))
    h2, z2 = at.h * at.h, at.z * at.z
    first, second = z2 - 1, z2 * z2 - 6 * z2 + 3
    with np.errstate(all="ignore"):
        # The weight goes first: phi^2 of what grows like exp(h) is beyond all numbers far out.
        root = np.sqrt(at.weight)
        value, slope = root * at.value, root * at.slope
        value2, slope2 = value * value, slope * slope
        part = np.sqrt(root)
        part_value2, part_slope2 = (part * at.value) ** 2, (part * at.slope) ** 2
        value_slope_h = total(at.z, value * slope * at.h)
        return Moments(
            mean=at.mean(at.value),
            square=total(at.z, value2),
            fourth=total(at.z, part_value2 * part_value2),
            slope_square=total(at.z, slope2),
            slope_fourth=total(at.z, part_slope2 * part_slope2),
            value_slope_h=value_slope_h,
            square_slope_square=total(at.z, part_value2 * part_slope2),
            slope_square_h2=total(at.z, slope2 * h2),
            square_1st=total(at.z, value2 * first) / 2 / q_Q if phi.jumps else value_slope_h / q_Q,
            square_2nd=total(at.z, value2 * second) / 4 / q_Q / q_Q,
            slope_square_1st=total(at.z, slope2 * first) / 2 / q_Q,
            slope_square_2nd=total(at.z, slope2 * second) / 4 / q_Q / q_Q,
        )
