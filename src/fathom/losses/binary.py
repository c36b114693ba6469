"""Losses that treat each class as a question of its own, yes or no.

Shapes: R runs, B batch, K classes.
"""

import torch
from torch import Tensor

from fathom.losses.base import (
    LARGEST_PARAMETER,
    Loss,
    each_run,
    gradient_of,
    scale_at_label,
    softplus,
)
from fathom.registry import check_number


def bce(pos_weight: float = 1.0) -> Loss:
    """Binary cross entropy of each class's sigmoid with its label, in nats.

    With the logit turned round at the label, z_y = -x_y and else z_k = x_k, a class costs
    ln(1 + e^(z_k)), times the weight at the label. The derivative is sigmoid(x_k) / B, and at the
    label -w sigmoid(-x_y) / B. It does not sum to 0 over classes: a shift of all logits counts.

    The scale: summed over classes, averaged over the batch only. It is K times torch's
    `binary_cross_entropy_with_logits` with the same `pos_weight`. Finite for logits of any size up
    to 1e30. A sample may have several labels, each turned round. Not covered: one weight for each
    class.

    Args:
        pos_weight: w, weight of the label's own class, above 0, at most 1e6; K - 1 makes up for
            the K - 1 classes that are to be answered with no.

    Raises:
        ValueError: If the weight is not in this range.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", sec. 5.2.
    """
    check_number("pos_weight", pos_weight, above=0, maximum=LARGEST_PARAMETER)

    def turned(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        return scale_at_label(logits_RBK, target_B, -1.0)

    def value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        cost_RBK = each_run(softplus, turned(logits_RBK, target_B))
        return scale_at_label(cost_RBK, target_B, pos_weight).sum(-1)

    def joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        z_RBK = turned(logits_RBK, target_B)
        small_RBK = each_run(torch.exp, -z_RBK.abs())
        cost_RBK = each_run(torch.log1p, small_RBK) + z_RBK.clamp_min(0)
        slope_RBK = torch.where(z_RBK >= 0, 1.0, small_RBK) / (small_RBK + 1)
        grad_RBK = scale_at_label(slope_RBK, target_B, -pos_weight)
        loss_RB = scale_at_label(cost_RBK, target_B, pos_weight).sum(-1)
        return loss_RB, grad_RBK.div_(len(target_B))

    return Loss(
        name="bce",
        value=value,
        grad=gradient_of(joint),
        joint=joint,
        target="classes",
        formula="w ln(1 + e^(-x_y)) + sum_{k != y} ln(1 + e^(x_k))",
        source='Bishop 2006, "Pattern Recognition and Machine Learning", sec. 5.2',
    )


FACTORIES = (bce,)
