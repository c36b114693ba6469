"""The record that a loss is, and the steps that losses share.

A loss sees the logits of all runs of a cohort at once and never mixes them: what a run gets
depends on its own slice alone, so that a run full of NaN leaves its siblings as they are, bit for
bit. A loss with parameters is a factory whose functions close over them.

Shapes: R runs, B batch, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fathom.registry import check_number
from fathom.stacks import apart

LARGEST_PARAMETER = 1e6  # of a margin, an exponent, a weight: far from overflow in float32

Gradient = Callable[[Tensor, Tensor], Tensor]
Joint = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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
        target: What `target_B` holds; `class` means labels 0 to K - 1 as int64, `classes` that 0
            and 1 for each class, `[B, K]`, are taken as well.
        formula: The loss of one sample as one line of text.
        source: Where the definition comes from.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    grad: Gradient
    joint: Joint | None = None
    target: Literal["class", "classes"] = "class"
    formula: str = ""
    source: str = ""

    def value_and_grad(self, logits_RBK: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return `value` and `grad`."""
        if self.joint is not None:
            return self.joint(logits_RBK, target_B)
        return self.value(logits_RBK, target_B), self.grad(logits_RBK, target_B)


def gradient_scale(loss: Loss, num_classes: int) -> float:
    """Return how large a loss makes the gradient at logits that say nothing.

    The L2 norm of dE/dlogits of one sample whose logits are all 0, where the softmax is uniform.
    Losses that are compared at one learning rate take first steps in proportion to this number.

    Not covered: how the gradient shrinks later. A hinge keeps its size until a margin is met, a
    cross entropy fades with the error.

    Args:
        loss: Any loss that treats the classes alike, as all built-in ones do.
        num_classes: K, at least 2.

    Raises:
        ValueError: If there are fewer than two classes.

    >>> from fathom.losses import LOSSES
    >>> from fathom.registry import Choice
    >>> round(gradient_scale(LOSSES.build(Choice("cross_entropy")), 10), 4)
    0.9487
    """
    check_number("num_classes", num_classes, minimum=2, whole=True)
    logits = torch.zeros(1, 1, num_classes, dtype=torch.float64)
    return float(loss.grad(logits, torch.zeros(1, dtype=torch.int64)).norm())


def gradient_of(joint: Joint) -> Gradient:
    """Take the gradient alone from a function that gives value and gradient."""

    def grad(logits_RBK: Tensor, target_B: Tensor) -> Tensor:
        return joint(logits_RBK, target_B)[1]

    return grad


# Elementwise functions and sums ------------------------------------------------------------------


def each_run(function: Callable[..., Tensor], stack: Tensor) -> Tensor:
    """Apply an elementwise torch function so that a run's bits do not depend on its siblings.

    Where autograd follows, the stack is taken as a whole: whoever differentiates a loss by autograd
    has one run, or can do without the promise about bits.

    Args:
        function: Takes a tensor, and `out`.
        stack: `[R, ...]`.
    """
    if stack.requires_grad:
        return function(stack)
    result = torch.empty_like(stack)
    for run, out in zip(apart(stack), apart(result), strict=True):
        function(run, out=out)
    return result


def softplus(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return ln(1 + e^x) = -ln sigmoid(-x) to full relative precision; its slope at 0 is 1/2.

    torch's own softplus is the identity above 20, which in float64 is wrong by 2e-9.
    """
    return torch.logaddexp(x, x.new_zeros(()), out=out)


class Exponentials(NamedTuple):
    """What a softmax is made of.

    Attributes:
        shifted_RBK: The logits less the largest of each sample.
        exp_RBK: Their exponentials; the caller may overwrite them.
        total_RB1: The sum over classes, from 1 to K.
        largest_RB1: The largest logit.
    """

    shifted_RBK: Tensor
    exp_RBK: Tensor
    total_RB1: Tensor
    largest_RB1: Tensor


def exponentials(logits_RBK: Tensor) -> Exponentials:
    """Take the exponentials of logits of any size.

    Written out, since torch's softmax over ten classes takes as long as a product of a hidden
    layer.
    """
    # The largest is a constant to autograd: what it adds and takes away again cancels.
    largest_RB1 = logits_RBK.detach().amax(-1, keepdim=True)
    shifted_RBK = logits_RBK - largest_RB1
    exp_RBK = each_run(torch.exp, shifted_RBK)
    return Exponentials(shifted_RBK, exp_RBK, exp_RBK.sum(-1, keepdim=True), largest_RB1)


# The label's entry -------------------------------------------------------------------------------


def label_index(values_RBK: Tensor, target_B: Tensor) -> Tensor:
    """Return the labels as an index `[R, B, 1]` for `gather` and `scatter`."""
    return target_B[None, :, None].expand(len(values_RBK), -1, 1)


def subtract_at_label(values_RBK: Tensor, target_B: Tensor, amount: float = 1.0) -> Tensor:
    """Subtract a number in place where the label is, without making the one-hot tensor."""
    index_RB1 = label_index(values_RBK, target_B)
    return values_RBK.scatter_add_(
        -1, index_RB1, values_RBK.new_full((), -amount).expand_as(index_RB1)
    )


def scale_at_label(values_RBK: Tensor, target_B: Tensor, factor: float) -> Tensor:
    """Return a copy that is multiplied by a number where the label is, or labels `[B, K]` are."""
    if target_B.dim() == 2:
        return torch.where(target_B > 0, values_RBK * factor, values_RBK)
    index_RB1 = label_index(values_RBK, target_B)
    return values_RBK.scatter(-1, index_RB1, values_RBK.gather(-1, index_RB1) * factor)
