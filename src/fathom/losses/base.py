"""Losses as records: a value for each sample and the gradient of the mean.

A loss sees the logits of all runs of a cohort at once and never mixes them: what a run gets
depends on its own slice alone, so that a run full of NaN leaves its siblings as they are, bit for
bit. A loss with parameters is a factory whose functions close over them.

Shapes: R runs, B batch, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from fathom.registry import Registry
from fathom.stacks import apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss over logits, with its derivative written out.

    Attributes:
        name: Name in the registry.
        value: `value(logits_RBK, target_B)` gives the loss of each sample, `[R, B]`; autograd can
            differentiate it, so that the written derivative has something to agree with.
        grad: `grad(logits_RBK, target_B)` gives the gradient of the mean over B with respect to the
            logits: a fresh tensor `[R, B, K]`, which the caller may overwrite.
        joint: `joint(logits_RBK, target_B)` gives both at once, equal up to rounding, where they
            share most of their work.
        target: What `target_B` holds; `class` means labels 0 to K - 1 as int64.
        formula: The loss of one sample as one line of text.
        source: Where the definition comes from.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    grad: Callable[[Tensor, Tensor], Tensor]
    joint: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    target: Literal["class"] = "class"
    formula: str = ""
    source: str = ""

    def value_and_grad(self, logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return `value` and `grad`."""
        if self.joint is not None:
            return self.joint(logits_RBK, target_B)
        return self.value(logits_RBK, target_B), self.grad(logits_RBK, target_B)


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


def _cross_entropy_value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    log_prob_RBK = torch.log_softmax(logits_RBK, dim=-1)
    return -log_prob_RBK.gather(-1, _label_index(logits_RBK, target_B)).squeeze(-1)


def _cross_entropy_grad(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return _subtract_one_hot(torch.softmax(logits_RBK, dim=-1), target_B).div_(len(target_B))


def _cross_entropy_joint(logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    # Written out: torch's softmax over ten classes takes as long as a product of a hidden layer.
    shifted_RBK = logits_RBK - logits_RBK.amax(-1, keepdim=True)
    grad_RBK = _each_run(torch.exp, shifted_RBK)
    total_RB1 = grad_RBK.sum(-1, keepdim=True)
    label_RB1 = shifted_RBK.gather(-1, _label_index(shifted_RBK, target_B))
    loss_RB = (_each_run(torch.log, total_RB1) - label_RB1).squeeze(-1)
    return loss_RB, _subtract_one_hot(grad_RBK.div_(total_RB1), target_B).div_(len(target_B))


def _each_run(function: Callable[..., Tensor], stack: Tensor) -> Tensor:
    """Apply an elementwise torch function so that a run's bits do not depend on its siblings."""
    result = torch.empty_like(stack)
    for run, out in zip(apart(stack), apart(result), strict=True):
        function(run, out=out)
    return result


def _mse_value(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return _subtract_one_hot(logits_RBK.clone(), target_B).square().sum(dim=-1) / 2


def _mse_grad(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
    return _subtract_one_hot(logits_RBK.clone(), target_B).div_(len(target_B))


def _subtract_one_hot(values_RBK: Tensor, target_B: Tensor) -> Tensor:
    """Subtract 1 in place where the label is, without making the one-hot tensor."""
    index_RB1 = _label_index(values_RBK, target_B)
    return values_RBK.scatter_add_(
        -1, index_RB1, values_RBK.new_full((), -1.0).expand_as(index_RB1)
    )


def _label_index(values_RBK: Tensor, target_B: Tensor) -> Tensor:
    return target_B[None, :, None].expand(len(values_RBK), -1, 1)


LOSSES: Final = Registry(
    "loss",
    (cross_entropy, mse),
    aliases={"ce": "cross_entropy", "softmax_cross_entropy": "cross_entropy", "l2": "mse"},
    group="fathom.losses",
)
