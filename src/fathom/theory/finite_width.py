"""Gradients of a network of finite width: mean and spread to first order in 1/n.

Given layer l, the units of layer l+1 are independent N(0, qhat_{l+1}), where qhat_{l+1} is what
the average over the n_l units of layer l happens to be. Two noises per layer follow, that of qhat
and that of the factor by which the backward pass multiplies |d|^2; both come from the same units,
so they are correlated. d_l = dL/dh_l.

All changes of q are relative: D_l = qhat_l / q_l - 1. So nothing overflows where q explodes.

Orthogonal matrices keep lengths, so that |h|^2 (a share `kept` of its variance) and |W^T d|^2 are
not noisy. |h|^2 / n would have acted on everything as qhat does: with relative variance 2 / n.

Shapes: L hidden layers, K = L-1 of them pass a gradient on to the one before; index 0 is layer 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from fathom.theory.gaussian import Moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats

LARGEST_SD: Final = 0.85  # of qhat / q; beyond it an expansion around q has been seen to fail
LARGEST_NEGLECT: Final = 1.0  # sum of (relative variance of |d_k|^2 / |d_{k+1}|^2)^2 over layers
LARGEST_COSINE_SQUARE: Final = 0.1  # between W phi(h) and d; else reuse of W is no small change
_SMALLEST_RESPONSE: Final = 1e-3  # |d ln mu_2 / d ln q| that could show: 0.01 decades in 50 layers
_DECADES: Final = 1 / (2 * np.log(10))  # from ln of a square to log10 of its root


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientStatistics:
    """Gradients and pre-activations over the networks that an initialiser draws.

    Attributes:
        log10_ratio: Mean of log10(g_l / g_L), g = |d| / sqrt(n), `[L]`; 0 in layer L.
        log10_sd: Its standard deviation `[L]`.
        q_shift: Mean of qhat_l / q_l - 1, `[L]`.
        q_sd: Standard deviation of qhat_l / q_l, `[L]`; 0 in layer 1, whose input is given.
        log10_rms: Mean of log10(|h_l| / sqrt(n_l)), `[L]`.
        log10_rms_sd: Its standard deviation `[L]`. |h_l|^2 / n_l is a sample of qhat_l, and so
            noisier than it.
        doubt: Why not to trust the numbers, with the first layer concerned; empty if one may.
    """

    log10_ratio: Floats
    log10_sd: Floats
    q_shift: Floats
    q_sd: Floats
    log10_rms: Floats
    log10_rms_sd: Floats
    doubt: str

    @property
    def trustworthy(self) -> bool:
        """True where the expansion may be used; else simulate (`theory.stochastic`)."""
        return not self.doubt


class _Layers(NamedTuple):
    """What happens between layer k and k+1, for one unit in layer k, each `[K]`.

    Attributes:
        num: n_k.
        log_chi: ln of the mean factor by which |d|^2 changes from layer k+1 to k.
        response: d ln q_{k+1} / d ln q_k.
        curvature: q_k^2 / q_{k+1} times the second derivative of q_{k+1} in q_k.
        slope_response: d ln mu_2 / d ln q.
        slope_curvature: q^2 times the second derivative of ln mu_2.
        noise: Variance that one unit gives to D_{k+1}.
        slope_noise: Variance that one unit gives to ln |d_k|^2.
        covariance: Of the two.
        kept: Share of the variance of |h_k|^2 that orthogonal weights take away.
        cosine_square: Mean squared cosine of the angle between W phi(h_k) and d_{k+1}.
        reuse: What forward and backward pass using the same weights adds to the mean of ln |d_k|^2.
    """

    num: Floats
    log_chi: Floats
    response: Floats
    curvature: Floats
    slope_response: Floats
    slope_curvature: Floats
    noise: Floats
    slope_noise: Floats
    covariance: Floats
    kept: Floats
    cosine_square: Floats
    reuse: Floats


def gradient_statistics(
    network: Network, q_L: Floats, moments_L: Sequence[Moments]
) -> GradientStatistics:
    """Compute mean and spread of gradients and pre-activations, to first order in 1/n.

    Source: derived for this project. For ReLU the log-normal law of Hanin & Nica 2018,
    arXiv:1812.05994, follows: Var ln |d_1|^2 = 5 sum 1/n.

    Not covered: the spread over inputs. The numbers are those of one input; a sum over a batch,
    whose inputs are correlated, has the same mean and a slightly narrower band. d_L is taken as
    independent of h_L. Entries that are not Gaussian leave the spread as it is, and move the mean
    by less than 0.02 decades in 50 layers of 256 units; but where uniform biases make up nearly all
    of q, as torch's own do in deep layers, log10_rms_sd is up to 1.6 times too large: sqrt(2 / 0.8)
    from the kurtosis of a uniform number. Where q collapses, log10_sd of deep layers,
    which is below 0.05 there, may be too small by a factor.

    Args:
        network: The network.
        q_L: Variances of the pre-activations at infinite width, `[L]`, each > 0.
        moments_L: The moments of phi_l at q_l, one for each layer.
    """
    with np.errstate(all="ignore"):
        at = Moments(*np.array(moments_L, dtype=np.float64).reshape(network.depth, -1).T)
        kept_L = _kept_forward(network, q_L)
        layers = _layers(network, q_L, at, kept_L)
        shift_L, variance_L = _variance_statistics(layers)
        mean_L, spread_L = _log_ratio_statistics(layers, shift_L, variance_L)
        num_L = np.array(network.widths, dtype=np.float64)
        sampling_L = 2 * (1 - kept_L) / num_L
        return GradientStatistics(
            log10_ratio=_DECADES * (mean_L + np.log(num_L[-1] / num_L)),
            log10_sd=_DECADES * np.sqrt(spread_L),
            q_shift=shift_L,
            q_sd=np.sqrt(variance_L),
            log10_rms=_DECADES * (np.log(q_L) + shift_L - (variance_L + sampling_L) / 2),
            log10_rms_sd=_DECADES * np.sqrt(variance_L + sampling_L),
            doubt=_doubt(layers, mean_L, variance_L),
        )


def _kept_forward(network: Network, q_L: Floats) -> Floats:
    """Return the share of the variance of |h_l|^2 that orthogonal weights take away, `[L]`.

    The share is 1 without bias, unless a layer is narrower than its input: part of a vector's
    length is lost to the projection then.
    """
    if not network.orthogonal:
        return np.zeros(network.depth)
    num = np.array([network.num_features, *network.widths], dtype=np.float64)
    weighed: Floats = 1 - np.array(network.bias_variance) / q_L
    return weighed**2 * np.minimum(1, num[1:] / num[:-1])


def _layers(network: Network, q_L: Floats, at_L: Moments, kept_L: Floats) -> _Layers:
    at = Moments(*(moment[:-1] for moment in at_L))
    q, q_next, kept = q_L[:-1], q_L[1:], kept_L[:-1]
    scale, num = np.array(network.weight_scale)[1:], np.array(network.widths, dtype=np.float64)
    kept_backward = np.minimum(1, num[:-1] / num[1:]) * network.orthogonal
    response = scale * q * at.square_1st / q_next
    slope_response = q * at.slope_square_1st / at.slope_square
    alignment = _alignment(network, q_L, at)
    joint = at.square_slope_square / at.slope_square
    return _Layers(
        num=num[:-1],
        log_chi=np.log(scale * at.slope_square),
        response=response,
        curvature=scale * at.square_2nd * q**2 / q_next,
        slope_response=slope_response,
        slope_curvature=q**2 * at.slope_square_2nd / at.slope_square - slope_response**2,
        noise=(scale / q_next) ** 2 * (at.fourth - at.square**2) - 2 * kept * response**2,
        slope_noise=3 * at.slope_fourth / at.slope_square**2
        - 1
        - 2 * kept_backward
        - 2 * kept * slope_response**2,
        covariance=scale / q_next * (joint - at.square) - 2 * kept * response * slope_response,
        kept=kept,
        cosine_square=alignment / num[1:],
        reuse=(joint / at.square - kept_backward) * (alignment - 1),
    )


def _alignment(network: Network, q_L: Floats, at: Moments) -> Floats:
    """Return E (u . d)^2 / (E u_i^2 |d|^2), u = W phi(h_k), d = d_{k+1}, `[K]`; 1 if independent.

    W is known in the direction of phi(h_k) once h_{k+1} is: W^T d has a part along phi(h_k) that
    is u . d / |phi|, and only the rest is independent of the forward pass.
    """
    bias_share = np.array(network.bias_variance)[1:] / q_L[1:]
    scale = q_L[:-1] * at.slope_square
    carried = at.value_slope_h**2 / at.square / scale
    own = at.slope_square_h2 / scale
    aligned, alignment = np.ones_like(own), 1.0
    for k in reversed(range(len(own))):
        aligned[k] = alignment * (1 - bias_share[k]) + bias_share[k]
        alignment = carried[k] * (aligned[k] - 1) + own[k]
    return aligned


def _variance_statistics(layers: _Layers) -> tuple[Floats, Floats]:
    """Return mean and variance of D_l, each `[L]`."""
    shift, variance = [0.0], [0.0]
    # On a sphere, E f is what it is over a Gaussian less q^2 / n times its second derivative.
    for num, response, curvature, noise, kept in zip(
        layers.num, layers.response, layers.curvature, layers.noise, layers.kept, strict=True
    ):
        shift.append(response * shift[-1] + curvature * (variance[-1] / 2 - kept / num))
        variance.append(response**2 * variance[-1] + noise / num)
    return np.array(shift), np.array(variance)


def _log_ratio_statistics(
    layers: _Layers, shift_L: Floats, variance_L: Floats
) -> tuple[Floats, Floats]:
    """Return mean and variance of ln(|d_l|^2 / |d_L|^2), each `[L]`."""
    num, shift, variance = layers.num, shift_L[:-1], variance_L[:-1]
    second = layers.slope_curvature + layers.slope_response**2
    mean = (
        layers.log_chi
        + layers.slope_response * shift
        + layers.slope_curvature * variance / 2
        + (layers.reuse - layers.slope_noise / 2 - layers.kept * second) / num
    )
    # d ln(|d_l|^2 / |d_L|^2) / d ln q_l, which goes through all later layers.
    sensitivity_L = np.zeros(len(num) + 1)
    for k in reversed(range(len(num))):
        sensitivity_L[k] = layers.slope_response[k] + layers.response[k] * sensitivity_L[k + 1]
    later = sensitivity_L[1:]
    own = (later**2 * layers.noise + 2 * later * layers.covariance + layers.slope_noise) / num
    spread_L = _sum_from(own) + sensitivity_L**2 * variance_L
    return _sum_from(mean), np.maximum(spread_L, 0.0)  # 0 less a rounding error for orthogonal abs


def _sum_from(terms_K: Floats) -> Floats:
    """Sum from each layer to the last, `[L]`."""
    return np.append(np.cumsum(terms_K[::-1])[::-1], 0.0)


def _doubt(layers: _Layers, mean_L: Floats, variance_L: Floats) -> str:
    lost_L = ~np.isfinite(mean_L + variance_L)
    if lost_L.any():
        return f"no finite moments around layer {1 + int(np.flatnonzero(lost_L).max())}"
    neglected_K = (layers.slope_noise / layers.num) ** 2  # the order that is left out
    too_narrow_K = (neglected_K == neglected_K.max(initial=0.0)) & (
        neglected_K.sum() > LARGEST_NEGLECT
    )
    wide_K = np.sqrt(variance_L[:-1]) > LARGEST_SD
    wide_K &= np.abs(layers.slope_response) > _SMALLEST_RESPONSE
    doubts = (
        (
            too_narrow_K,
            "the network is too narrow for its depth, layer {} the most",
        ),
        (
            layers.cosine_square > LARGEST_COSINE_SQUARE,
            "the gradient that reaches layer {} comes back along the signal that left it",
        ),
        (
            wide_K,
            "from layer {} on, the variance of pre-activations differs by more than "
            f"{LARGEST_SD:.0%} between networks, and the slopes depend on it",
        ),
    )
    said = [text.format(1 + int(np.argmax(where))) for where, text in doubts if where.any()]
    return "; ".join(said)
