"""Losses that ask the label's logit to lead by a margin.

Shapes: R runs, B batch, K classes.
"""

import torch
from torch import Tensor

from fathom.losses.base import LARGEST_PARAMETER, Loss, gradient_of, label_index
from fathom.registry import check_number


def hinge(margin: float = 1.0) -> Loss:
    """Multiclass hinge: what each other logit lacks to lie a margin below the label's, summed.

    The derivative with respect to x_j is 1 / B where the margin is violated, and -1 / B times their
    number at the label. Where a margin is met exactly it is 0. It does not know how wrong a sample
    is: K - 1 violated margins make the gradient at the logits sqrt(K (K - 1)) long, 10 times that
    of cross entropy for ten classes (`gradient_scale`).

    The scale: summed over classes, averaged over the batch only. It is K times torch's
    `multi_margin_loss`. Not covered: the variant of Crammer and Singer, which takes the largest
    violation alone; squared violations.

    Args:
        margin: From 0 to 1e6; the study behind `loss-duel` used 5.

    Raises:
        ValueError: If the margin is not in this range.

    Source: Weston and Watkins 1999, "Support vector machines for multi-class pattern recognition",
    ESANN.
    """
    check_number("margin", margin, minimum=0, maximum=LARGEST_PARAMETER)

    def violations(logits_RBK: Tensor, index_RB1: Tensor) -> Tensor:
        # The difference first: it is exact where logits are close, however large they are.
        slack_RBK = logits_RBK - logits_RBK.gather(-1, index_RB1) + margin
        return slack_RBK.scatter(-1, index_RB1, 0.0)

    def value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        # relu, since autograd's slope of clamp_min at 0 is 1.
        return torch.relu(violations(logits_RBK, label_index(logits_RBK, target_B))).sum(-1)

    def joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        index_RB1 = label_index(logits_RBK, target_B)
        slack_RBK = violations(logits_RBK, index_RB1)
        active_RBK = (slack_RBK > 0).to(slack_RBK.dtype)
        # A comparison answers False for NaN, and a diverged run would look as if it were done.
        grad_RBK = torch.where(slack_RBK.isnan(), slack_RBK, active_RBK)
        grad_RBK.scatter_(-1, index_RB1, -grad_RBK.sum(-1, keepdim=True))
        return slack_RBK.relu_().sum(-1), grad_RBK.div_(len(target_B))

    return Loss(
        name="hinge",
        value=value,
        grad=gradient_of(joint),
        joint=joint,
        formula="sum_{j != y} max(0, margin - x_y + x_j)",
        source='Weston and Watkins 1999, "Support vector machines for multi-class pattern '
        'recognition", ESANN',
    )


FACTORIES = (hinge,)
