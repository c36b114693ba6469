"""Losses over logits: the value of each sample, and the gradient of the batch's mean.

Notation: x are the logits of a sample, h = softmax(x), t its target (one-hot unless said), y its
class, B the size of the batch. Every gradient starts from the Jacobian of the softmax,

    h_k = e^(x_k) / sum_j e^(x_j)    =>    dh_k/dx_j = h_k (delta_kj - h_j),

or from that of its logarithm, d(ln h_k)/dx_j = delta_kj - h_j. h does not change when a constant is
added to x, so that the gradient of a function of h sums to 0 over the classes.

Not covered: infinite logits, which give NaN; a network that produces one has diverged.

Shapes: B batch, K classes.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from fathom.reference.arrays import Array, Labels


class LossAndGrad(NamedTuple):
    """What a loss answers.

    Attributes:
        value: Loss of each sample, `[B]`.
        grad: Gradient of the mean of `value` with respect to the logits, `[B, K]`.
    """

    value: Array
    grad: Array


Loss = Callable[[Array, Labels], LossAndGrad]


def log_softmax(logits_BK: Array) -> Array:
    """Return ln h `[B, K]`.

    ln h_k = x_k - m - ln sum_j e^(x_j - m) for every m. With m = max x no exponential exceeds 1, so
    that nothing overflows, and one is 1, so that the logarithm is not that of 0.
    """
    shifted_BK: Array = logits_BK - logits_BK.max(1, keepdims=True)
    log_total_B1: Array = np.log(np.exp(shifted_BK).sum(1, keepdims=True))
    return shifted_BK - log_total_B1


def one_hot(target_B: Labels, num_classes: int) -> Array:
    """Return `[B, K]` with 1 at each sample's class and 0 elsewhere."""
    target_BK = np.zeros((len(target_B), num_classes))
    target_BK[np.arange(len(target_B)), target_B] = 1
    return target_BK


def cross_entropy(logits_BK: Array, target_B: Labels) -> LossAndGrad:
    """Return -ln h_y, the cross entropy of the softmax in nats, and its gradient (h - t) / B.

    Source: Bridle 1990, "Probabilistic interpretation of feedforward classification network
    outputs".
    """
    log_prob_BK = log_softmax(logits_BK)
    value_B = -log_prob_BK[np.arange(len(target_B)), target_B]
    # d(-ln h_y)/dx_j = -(delta_yj - h_j) = h_j - t_j
    grad_BK = (np.exp(log_prob_BK) - one_hot(target_B, logits_BK.shape[1])) / len(target_B)
    return LossAndGrad(value_B, grad_BK)


def kl(logits_BK: Array, target_B: Labels, label_smoothing: float = 0.0) -> LossAndGrad:
    """Return the divergence of h from a smoothed target, and its gradient.

    Without smoothing t is one-hot, its entropy is 0, and this is `cross_entropy`.

    Source: the smoothing: Szegedy et al. 2016, arXiv:1512.00567, sec. 7.

    Args:
        logits_BK: Logits.
        target_B: Classes.
        label_smoothing: s in t = (1 - s) one-hot + s / K, from 0 to below 1.

    Returns:
        Value `[B]` in nats, at least 0, and gradient `[B, K]`.
    """
    num_classes = logits_BK.shape[1]
    soft_BK = (1 - label_smoothing) * one_hot(target_B, num_classes) + label_smoothing / num_classes
    return kl_from(logits_BK, soft_BK)


def kl_from(logits_BK: Array, soft_BK: Array) -> LossAndGrad:
    """Return sum_k t_k ln(t_k / h_k), the divergence of h from any soft target t, and its gradient.

    Source: Kullback & Leibler 1951, "On information and sufficiency".

    Args:
        logits_BK: Logits.
        soft_BK: Targets t, each at least 0. They need not sum to 1: then the value may be negative.

    Returns:
        Value `[B]` in nats and gradient `[B, K]`.
    """
    log_prob_BK = log_softmax(logits_BK)
    log_soft_BK = np.log(np.where(soft_BK > 0, soft_BK, 1))  # 0 ln 0 = 0
    value_B = (soft_BK * (log_soft_BK - log_prob_BK)).sum(1)
    # dE/dx_j = -sum_k t_k (delta_kj - h_j) = h_j sum_k t_k - t_j
    grad_BK = np.exp(log_prob_BK) * soft_BK.sum(1, keepdims=True) - soft_BK
    return LossAndGrad(value_B, grad_BK / len(soft_BK))


def hinge(logits_BK: Array, target_B: Labels, margin: float = 1.0) -> LossAndGrad:
    """Return sum_(j != y) max(0, margin - x_y + x_j), and its gradient.

    Source: Weston & Watkins 1999, "Support vector machines for multi-class pattern recognition",
    unsquared. torch's `multi_margin_loss` is this divided by K.

    Args:
        logits_BK: Logits.
        target_B: Classes.
        margin: By how much x_y should exceed every other logit.

    Returns:
        Value `[B]` and gradient `[B, K]`.
    """
    row_B = np.arange(len(target_B))
    # The difference first: it is exact where two logits are close, however large they are.
    excess_BK = logits_BK - logits_BK[row_B, target_B][:, None] + margin
    excess_BK[row_B, target_B] = 0
    # Each active class (excess > 0) adds +1 at itself and -1 at y; at exactly 0 the subgradient 0.
    grad_BK = np.heaviside(excess_BK, 0.0)
    grad_BK[row_B, target_B] = -grad_BK.sum(1)
    return LossAndGrad(np.maximum(excess_BK, 0).sum(1), grad_BK / len(target_B))


def focal(
    logits_BK: Array, target_B: Labels, alpha: float = 1.0, gamma: float = 2.0
) -> LossAndGrad:
    """Return -alpha (1 - p)^gamma ln p with p = h_y, and its gradient.

    The general form weighs class k by alpha where t_k = 1 and by 1 - alpha elsewhere; for a one-hot
    target the second weight is always multiplied by t_k = 0. With alpha = 1 and gamma = 0 this is
    `cross_entropy`.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 5, with the softmax in place of the sigmoid.

    Args:
        logits_BK: Logits.
        target_B: Classes.
        alpha: Weight of the true class, and so of the whole loss.
        gamma: How strongly samples that are classified well are discounted, at least 0.

    Returns:
        Value `[B]` and gradient `[B, K]`.
    """
    row_B = np.arange(len(target_B))
    log_prob_BK = log_softmax(logits_BK)
    others_BK = np.exp(log_prob_BK)
    others_BK[row_B, target_B] = 0
    miss_B = others_BK.sum(1)  # u = 1 - p, to the last digit even where p rounds to 1
    # ln p = ln(1 - u), which keeps its digits for small u
    log_hit_B = np.where(
        miss_B < 0.5, np.log1p(-np.minimum(miss_B, 0.5)), log_prob_BK[row_B, target_B]
    )
    value_B = -alpha * miss_B**gamma * log_hit_B
    # dE/dp = alpha (gamma u^(gamma-1) ln p - u^gamma / p), and dp/dx_j = p (delta_yj - h_j). So
    #     dE/dx_j = c (delta_yj - h_j),   c = alpha u^gamma (gamma p (ln p) / u - 1),
    # where (ln p) / u -> -1 as u -> 0: u^(gamma-1) by itself would be infinite there if gamma < 1.
    ratio_B = np.divide(log_hit_B, miss_B, out=np.full_like(miss_B, -1.0), where=miss_B != 0)
    factor_B = alpha * miss_B**gamma * (gamma * np.exp(log_hit_B) * ratio_B - 1)
    direction_BK = -others_BK
    direction_BK[row_B, target_B] = miss_B  # delta_yj - h_j
    return LossAndGrad(value_B, factor_B[:, None] * direction_BK / len(target_B))


def mse(logits_BK: Array, target_B: Labels) -> LossAndGrad:
    """Return 1/2 sum_k (x_k - t_k)^2, and its gradient (x - t) / B.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", sec. 5.2. Halved, summed over
    classes, and averaged over the batch only.
    """
    error_BK = logits_BK - one_hot(target_B, logits_BK.shape[1])
    return LossAndGrad(np.square(error_BK).sum(1) / 2, error_BK / len(target_B))


def mse_softmax(logits_BK: Array, target_B: Labels) -> LossAndGrad:
    """Return 1/2 sum_k (h_k - t_k)^2, and its gradient, which is 0 also where h is surely wrong.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability", halved.
    """
    prob_BK = np.exp(log_softmax(logits_BK))
    error_BK = prob_BK - one_hot(target_B, logits_BK.shape[1])
    # With e = h - t: dE/dx_j = sum_k e_k h_k (delta_kj - h_j) = h_j (e_j - sum_k e_k h_k)
    grad_BK = prob_BK * (error_BK - (error_BK * prob_BK).sum(1, keepdims=True))
    return LossAndGrad(np.square(error_BK).sum(1) / 2, grad_BK / len(target_B))


def bce(logits_BK: Array, target_B: Labels, pos_weight: float = 1.0) -> LossAndGrad:
    """Return the sum over classes of one binary cross entropy each, and its gradient.

    Every class is a yes-or-no question with s(x) = 1 / (1 + e^-x):
    E = sum_k -pos_weight t_k ln s(x_k) - (1 - t_k) ln(1 - s(x_k)). The gradient does not sum to 0:
    adding a constant to all logits changes every answer.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", sec. 5.2.

    Args:
        logits_BK: Logits.
        target_B: Classes.
        pos_weight: p, weight of the one positive answer beside the K - 1 negative ones.

    Returns:
        Value `[B]` in nats and gradient `[B, K]`.
    """
    target_BK = one_hot(target_B, logits_BK.shape[1])
    small_BK = np.exp(-np.abs(logits_BK))  # at most 1, whatever the sign
    # -ln s(x) = ln(1 + e^-x) = max(-x, 0) + ln(1 + e^-|x|), and 1 - s(x) = s(-x)
    cost_yes_BK = np.maximum(-logits_BK, 0) + np.log1p(small_BK)
    cost_no_BK = np.maximum(logits_BK, 0) + np.log1p(small_BK)
    value_BK = pos_weight * target_BK * cost_yes_BK + (1 - target_BK) * cost_no_BK
    # d(-ln s)/dx = s - 1 and d(-ln(1 - s))/dx = s: together p t (s - 1) + (1 - t) s
    yes_BK = np.where(logits_BK >= 0, 1, small_BK) / (1 + small_BK)
    no_BK = np.where(logits_BK >= 0, small_BK, 1) / (1 + small_BK)  # 1 - s without cancelling
    grad_BK = (1 - target_BK) * yes_BK - pos_weight * target_BK * no_BK
    return LossAndGrad(value_BK.sum(1), grad_BK / len(target_B))


LOSSES: Final[dict[str, Callable[..., LossAndGrad]]] = {
    "cross_entropy": cross_entropy,
    "kl": kl,
    "hinge": hinge,
    "focal": focal,
    "mse": mse,
    "mse_softmax": mse_softmax,
    "bce": bce,
}
