"""Which losses the tests go through: all registered ones, and forms by parameters."""

import torch
from torch import Tensor

from fathom.losses import LOSSES, Loss
from fathom.registry import Choice
from fathom.stacks import aligned

FORMS = [
    Choice("kl", (("label_smoothing", 0.1),)),
    Choice("hinge", (("margin", 0.0),)),
    Choice("hinge", (("margin", 5.0),)),
    Choice("focal", (("gamma", 0.0),)),
    Choice("focal", (("alpha", 0.25), ("gamma", 0.5))),
    Choice("focal", (("alpha", 0.1), ("gamma", 1.0))),
    Choice("focal", (("gamma", 5.0),)),
    Choice("bce", (("pos_weight", 9.0),)),
]
CHOICES = [*(Choice(name) for name in LOSSES.names()), *FORMS]
LOSS_CASES: list[Loss] = [LOSSES.build(choice) for choice in CHOICES]
CASE_IDS = [choice.label for choice in CHOICES]

# A shift of all logits changes nothing: those of the softmax, and the hinge of their differences.
SHIFT_FREE = {"cross_entropy", "kl", "focal", "mse_softmax", "hinge"}
SHIFT_FREE_CASES = [loss for loss in LOSS_CASES if loss.name in SHIFT_FREE]
SHIFT_FREE_IDS = [choice.label for choice in CHOICES if choice.name in SHIFT_FREE]


def build(name: str, **params: float) -> Loss:
    return LOSSES.build(Choice(name, tuple(sorted(params.items()))))


def batch(
    num_runs: int = 3, size: int = 7, num_classes: int = 5, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Draw logits `[R, B, K]` and labels `[B]`."""
    gen = torch.Generator().manual_seed(3)
    logits = 4 * torch.randn(num_runs, size, num_classes, generator=gen, dtype=torch.float64)
    target = torch.randint(num_classes, (size,), generator=gen)
    return logits.to(dtype), target


def as_stacked(logits: Tensor) -> Tensor:
    """Lay logits `[R, B, K]` out as the stacked engine does: classes before samples, runs apart."""
    return aligned(logits.transpose(1, 2)).transpose(1, 2)


LAYOUTS = {"plain": torch.clone, "stacked": as_stacked}


def by_autograd(loss: Loss, logits: Tensor, target: Tensor) -> Tensor:
    """Differentiate the mean of the value over the batch."""
    leaf = logits.clone().requires_grad_()
    total = loss.value(leaf, target).mean(dim=1).sum()  # runs are independent: the sum is safe
    (grad,) = torch.autograd.grad(total, leaf)
    return grad
