"""Losses that compare the softmax with a target distribution by its logarithm.

Shapes: R runs, B batch, K classes.
"""

import math

import torch
from torch import Tensor

from fathom.losses.base import (
    Loss,
    each_run,
    exponentials,
    gradient_of,
    label_index,
    subtract_at_label,
)
from fathom.registry import check_number


def cross_entropy() -> Loss:
    """Cross entropy of the softmax, in nats.

    Finite for logits of any size up to 1e30. Not covered: a logit of +inf, which gives NaN, as a
    run that produces one has diverged.

    Source: Bridle 1990, "Probabilistic interpretation of feedforward classification network
    outputs": the derivative is (softmax(x) - t) / B.
    """
    return Loss(
        name="cross_entropy",
        value=_cross_entropy_value,
        grad=_cross_entropy_grad,
        joint=_cross_entropy_joint,
        formula="-ln softmax(x)_y",
        source='Bridle 1990, "Probabilistic interpretation of feedforward classification network '
        'outputs"',
    )


def kl(label_smoothing: float = 0.0) -> Loss:
    """Kullback-Leibler divergence of the softmax from a target distribution, in nats.

    The target is 1 - s at the label plus s / K at every class, s being the smoothing. The
    derivative is that of the cross entropy with this target, (softmax(x) - t) / B; the value is
    less by the target's entropy, and never negative but for rounding. Without smoothing the target
    is one-hot, its entropy 0, and values and gradients are those of `cross_entropy`, equal in every
    bit: whatever two such runs differ by is noise.

    The scale: summed over classes, averaged over the batch. It is torch's `kl_div` of log
    probabilities with reduction `batchmean`; its default reduction `mean` is K times smaller.
    torch's `cross_entropy` with `label_smoothing` is larger by the entropy.

    Finite for logits of any size up to 1e30. Not covered: a logit of +inf; targets from data.

    Args:
        label_smoothing: s, the share of the target that is spread evenly, from 0 to below 1.

    Raises:
        ValueError: If the smoothing is not in [0, 1).

    Source: Kullback and Leibler 1951, "On information and sufficiency"; Szegedy et al. 2015,
    arXiv:1512.00567, sec. 7 for the smoothing.
    """
    check_number("label_smoothing", label_smoothing, minimum=0, below=1)
    at_label = 1.0 - label_smoothing

    def value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        surprise_RBK = -torch.log_softmax(logits_RBK, dim=-1)
        label_RB = surprise_RBK.gather(-1, label_index(logits_RBK, target_B)).squeeze(-1)
        num_classes = logits_RBK.shape[-1]
        spread_RB = surprise_RBK.sum(-1) * (label_smoothing / num_classes)
        return label_RB * at_label + spread_RB - _entropy(label_smoothing, num_classes)

    def joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        shifted_RBK, grad_RBK, total_RB1, _ = exponentials(logits_RBK)
        log_total_RB1 = each_run(torch.log, total_RB1)
        label_RB1 = shifted_RBK.gather(-1, label_index(shifted_RBK, target_B))
        num_classes = logits_RBK.shape[-1]
        share = label_smoothing / num_classes
        spread_RB1 = (log_total_RB1 * num_classes - shifted_RBK.sum(-1, keepdim=True)) * share
        loss_RB1 = (log_total_RB1 - label_RB1) * at_label + spread_RB1
        loss_RB = loss_RB1.squeeze(-1) - _entropy(label_smoothing, num_classes)
        subtract_at_label(grad_RBK.div_(total_RB1), target_B, at_label)
        return loss_RB, grad_RBK.sub_(share).div_(len(target_B))

    return Loss(
        name="kl",
        value=value,
        grad=gradient_of(joint),
        joint=joint,
        formula="sum_k t_k (ln t_k - ln softmax(x)_k), t = (1 - s) one-hot + s / K",
        source='Kullback and Leibler 1951, "On information and sufficiency"; smoothing: Szegedy '
        "et al. 2015, arXiv:1512.00567, sec. 7",
    )


def _entropy(smoothing: float, num_classes: int) -> float:
    """Return -sum t ln t of a smoothed one-hot target in nats, with 0 ln 0 = 0."""
    if smoothing == 0:
        return 0.0
    share = smoothing / num_classes
    label = 1.0 - smoothing + share
    return -label * math.log(label) - (num_classes - 1) * share * math.log(share)


def _cross_entropy_value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    log_prob_RBK = torch.log_softmax(logits_RBK, dim=-1)
    return -log_prob_RBK.gather(-1, label_index(logits_RBK, target_B)).squeeze(-1)


def _cross_entropy_grad(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return subtract_at_label(torch.softmax(logits_RBK, dim=-1), target_B).div_(len(target_B))


def _cross_entropy_joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    shifted_RBK, grad_RBK, total_RB1, _ = exponentials(logits_RBK)
    label_RB1 = shifted_RBK.gather(-1, label_index(shifted_RBK, target_B))
    loss_RB = (each_run(torch.log, total_RB1) - label_RB1).squeeze(-1)
    return loss_RB, subtract_at_label(grad_RBK.div_(total_RB1), target_B).div_(len(target_B))


FACTORIES = (cross_entropy, kl)
