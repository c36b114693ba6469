"""The focal loss.

Shapes: R runs, B batch, K classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fathom.losses.base import (
    LARGEST_PARAMETER,
    Loss,
    each_run,
    exponentials,
    gradient_of,
    label_index,
    softplus,
)
from fathom.registry import check_number


def focal(alpha: float = 1.0, gamma: float = 2.0) -> Loss:
    """Focal loss: cross entropy that fades where the label's probability p is already high.

    E = -alpha (1 - p)^gamma ln p. At gamma 0 and alpha 1 it is `cross_entropy`, up to rounding.

    The course form weighs class k by w_k = alpha t_k + (1 - alpha) (1 - t_k). It multiplies t_k,
    so that with one label per sample only w_y = alpha is left: alpha scales the loss as a whole and
    does not balance classes. Hence the default of 1 (the study behind `loss-duel` used 0.1; Lin et
    al. use 0.25 for two classes, where 1 - alpha weighs the other one). Not covered: one alpha for
    each class.

    With the log odds m = x_y - ln sum_{j != y} e^(x_j) the probability is p = sigmoid(m), and
        dE/dm = alpha (1 - p)^gamma (gamma p ln p - (1 - p)),
        dE/dx_y = dE/dm / B,  dE/dx_j = -q_j dE/dm / B,
    q being the softmax over the classes other than y. Nothing is divided by 1 - p, so that p = 1 is
    as good as any for gamma < 1 too. Finite for logits of any size up to 1e30.
    Not covered: infinite logits.

    Args:
        alpha: Weight of the loss, from 0 to 1.
        gamma: How fast it fades, from 0 to 1e6.

    Raises:
        ValueError: If a parameter is not in its range.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 5; averaged over the batch.
    """
    check_number("alpha", alpha, minimum=0, maximum=1)
    check_number("gamma", gamma, minimum=0, maximum=LARGEST_PARAMETER)

    def value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        log_odds_RB1 = _odds(logits_RBK, label_index(logits_RBK, target_B)).log_odds_RB1
        surprise_RB1 = each_run(softplus, -log_odds_RB1)
        # By logarithms: autograd's slope of a power below 1 is infinite where p is 1.
        fading_RB1 = each_run(torch.exp, each_run(softplus, log_odds_RB1) * -gamma)
        return (fading_RB1 * alpha * surprise_RB1).squeeze(-1)

    def joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        index_RB1 = label_index(logits_RBK, target_B)
        log_odds_RB1, others_RBK = _odds(logits_RBK, index_RB1)
        p_RB1, rest_RB1, surprise_RB1, surprise_rest_RB1 = _of_label(log_odds_RB1)
        weight_RB1 = each_run(torch.exp, surprise_rest_RB1 * -gamma) * alpha
        slope_RB1 = -weight_RB1 * (p_RB1 * surprise_RB1 * gamma + rest_RB1)
        grad_RBK = (others_RBK * -slope_RB1).scatter_(-1, index_RB1, slope_RB1)
        return (weight_RB1 * surprise_RB1).squeeze(-1), grad_RBK.div_(len(target_B))

    return Loss(
        name="focal",
        value=value,
        grad=gradient_of(joint),
        joint=joint,
        formula="-alpha (1 - p)^gamma ln p, p = softmax(x)_y",
        source="Lin et al. 2017, arXiv:1708.02002, eq. 5",
    )


class _Odds(NamedTuple):
    """The label against all others: m, and the softmax over the others with 0 at the label."""

    log_odds_RB1: Tensor
    others_RBK: Tensor


def _odds(logits_RBK: Tensor, index_RB1: Tensor) -> _Odds:
    others = exponentials(logits_RBK.scatter(-1, index_RB1, -torch.inf))
    lead_RB1 = logits_RBK.gather(-1, index_RB1) - others.largest_RB1
    log_total_RB1 = each_run(torch.log, others.total_RB1)
    return _Odds(lead_RB1 - log_total_RB1, others.exp_RBK / others.total_RB1)


def _of_label(log_odds_RB1: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return p, 1 - p, -ln p and -ln(1 - p), each to full relative precision."""
    small_RB1 = each_run(torch.exp, -log_odds_RB1.abs())
    total_RB1, log_total_RB1 = small_RB1 + 1, each_run(torch.log1p, small_RB1)
    leads_RB1 = log_odds_RB1 >= 0
    return (
        torch.where(leads_RB1, 1.0, small_RB1) / total_RB1,
        torch.where(leads_RB1, small_RB1, 1.0) / total_RB1,
        log_total_RB1 - log_odds_RB1.clamp_max(0),
        log_total_RB1 + log_odds_RB1.clamp_min(0),
    )


FACTORIES = (focal,)
