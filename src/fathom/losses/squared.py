"""Squared distances to the one-hot target.

Shapes: R runs, B batch, K classes.
"""

import torch
from torch import Tensor

from fathom.losses.base import Loss, exponentials, gradient_of, subtract_at_label


def mse() -> Loss:
    """Half the squared distance between the logits and the one-hot target.

    The scale, since conventions differ: summed over classes, halved, and averaged over the batch
    only, that is 1 / (2 B) sum (x - t)^2. It is K / 2 times torch's `MSELoss`.

    Source: Bishop 2006, "Pattern Recognition and Machine Learning", sec. 5.2: the derivative is
    (x - t) / B.
    """
    return Loss(
        name="mse",
        value=_mse_value,
        grad=_mse_grad,
        formula="1/2 sum_k (x_k - t_k)^2, t one-hot",
        source='Bishop 2006, "Pattern Recognition and Machine Learning", sec. 5.2',
    )


def mse_softmax() -> Loss:
    """Half the squared distance between the softmax and the one-hot target.

    With h = softmax(x) and e = h - t the derivative is h (e - sum_k h_k e_k) / B. It vanishes where
    the network is sure, wrong answers included: such a sample teaches nothing.

    The scale is that of `mse`: K / 2 times torch's `MSELoss` of the softmax, half the Brier score.
    Finite for logits of any size up to 1e30. Not covered: a logit of +inf.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability"; the softmax'
    Jacobian: Bishop 2006, "Pattern Recognition and Machine Learning", eq. 4.106.
    """
    return Loss(
        name="mse_softmax",
        value=_mse_softmax_value,
        grad=gradient_of(_mse_softmax_joint),
        joint=_mse_softmax_joint,
        formula="1/2 sum_k (softmax(x)_k - t_k)^2, t one-hot",
        source='Brier 1950, "Verification of forecasts expressed in terms of probability"; Bishop '
        '2006, "Pattern Recognition and Machine Learning", eq. 4.106',
    )


def _mse_value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return subtract_at_label(logits_RBK.clone(), target_B).square().sum(dim=-1) / 2


def _mse_grad(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return subtract_at_label(logits_RBK.clone(), target_B).div_(len(target_B))


def _mse_softmax_value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return _mse_value(torch.softmax(logits_RBK, dim=-1), target_B)


def _mse_softmax_joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    parts = exponentials(logits_RBK)
    prob_RBK = parts.exp_RBK.div_(parts.total_RB1)
    error_RBK = subtract_at_label(prob_RBK.clone(), target_B)
    loss_RB = error_RBK.square().sum(-1) / 2
    error_RBK -= (prob_RBK * error_RBK).sum(-1, keepdim=True)
    return loss_RB, error_RBK.mul_(prob_RBK).div_(len(target_B))


FACTORIES = (mse, mse_softmax)
