"""How unevenly a network stretches directions: the spread of its Jacobian's singular values."""

import numpy as np

from fathom.theory.gaussian import moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity


def jacobian_spread(network: Network, q_L: Floats) -> Floats:
    """Predict the relative variance of the squared singular values of dphi_l/dx, layer by layer.

    With J_l = D_l W_l J_{l-1}, D_l = diag phi'(h_l), and m_k the mean of the k-th powers of the n_l
    eigenvalues of J_l J_l^T, the spread is m_2/m_1^2 - 1. A layer adds E phi'^4/(E phi'^2)^2 - 1
    for its slopes and, where widths are equal, 1 for Gaussian weights and 0 for orthogonal ones:
    the spread grows linearly with depth. 0 is dynamical isometry.

    Source: Pennington, Schoenholz & Ganguli 2017, arXiv:1711.04735 (equal widths); the factors of
    unequal widths are the free product's with a rectangular matrix.

    Not covered: corrections of order 1/n, and slopes that grow so steeply near a pole that E phi'^4
    is infinite while E phi'^2 is not.

    Args:
        network: The network.
        q_L: Variance of the pre-activations of each layer, `[L]`.

    Returns:
        `[L]`; NaN from the layer on whose q is 0, infinite or NaN, or through whose slope nothing
        passes or no finite mean square.
    """
    spread = 0.0
    spread_L = np.full(network.depth, np.nan)
    fans_in = (network.num_features, *network.widths[:-1])
    slopes_L = _slope_spreads(network.activations, np.asarray(q_L, dtype=np.float64))
    for layer, (fan_in, fan_out) in enumerate(zip(fans_in, network.widths, strict=True)):
        ratio = fan_out / fan_in
        spread *= ratio
        if not network.orthogonal:
            spread += ratio
        elif ratio > 1:
            spread += ratio - 1  # the share of directions that no input reaches
        spread += slopes_L[layer]
        spread_L[layer] = spread
    return spread_L


def _slope_spreads(phis: tuple[Nonlinearity, ...], q_L: Floats) -> Floats:
    """Return E phi'^4/(E phi'^2)^2 - 1 of each layer, layers of equal activation at once."""
    spreads = np.full(len(phis), np.nan)
    usable = np.isfinite(q_L) & (q_L > 0)
    for phi in set(phis):
        of_phi = usable & np.array([other is phi for other in phis])
        if of_phi.any() and not (phi.slope_is_zero or phi.slope_diverges):
            at = moments(phi, q_L[of_phi])
            with np.errstate(all="ignore"):
                spread = at.slope_fourth / at.slope_square**2 - 1
            spreads[of_phi] = np.maximum(spread, 0.0)  # 0 less a rounding error for equal slopes
    return spreads
