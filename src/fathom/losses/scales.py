"""How far losses step at their rates: what a comparison of losses has to be told apart from."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from fathom.losses.base import Loss, gradient_scale
from fathom.losses.entropy import cross_entropy

EQUAL: Final = 0.01  # first steps that differ by less are of one length

FIRST_STEP_NOTE = (
    "Scale: length of dE/dlogits of one sample at logits that are all 0. Rate x scale: what the "
    "first step of gradient descent is proportional to, before schedule and clipping."
)


class LossStep(NamedTuple):
    """A loss at one rate.

    Attributes:
        loss: What it is called in the study.
        num_classes: Of the data.
        scale: Of `gradient_scale`.
        ratio: The scale over that of cross entropy, by which steps at one rate differ.
        optimizer: Name of the update rule.
        lr: Base learning rate.
    """

    loss: str
    num_classes: int
    scale: float
    ratio: float
    optimizer: str
    lr: float

    @property
    def is_scaled(self) -> bool:
        """Whether a gradient twice as long gives a step twice as long; Adam divides that out."""
        return self.optimizer == "sgd"

    @property
    def first_step(self) -> float:
        """Rate x scale; NaN where the scale makes no difference to steps."""
        return self.lr * self.scale if self.is_scaled else math.nan

    @property
    def words(self) -> str:
        """What the scale does to steps."""
        if not self.is_scaled:
            return f"steps of {self.optimizer} do not depend on it"
        if abs(self.ratio - 1) < EQUAL:
            return "steps as long as those of cross entropy at one rate"
        return f"steps {self.ratio:.4g} times those of cross entropy at one rate"


def loss_step(name: str, loss: Loss, num_classes: int, optimizer: str, lr: float) -> LossStep:
    """Tell how far a loss steps.

    Args:
        name: What it is called.
        loss: The loss.
        num_classes: K, at least 2.
        optimizer: Name of the update rule.
        lr: Base learning rate.
    """
    scale = gradient_scale(loss, num_classes)
    ratio = scale / gradient_scale(cross_entropy(), num_classes)
    return LossStep(name, num_classes, scale, ratio, optimizer, lr)


def compare_steps(steps: Sequence[LossStep]) -> str:
    """Say whether losses are compared at first steps of equal length.

    They are if every loss has a step as long as each step of every other, to 1 %. Steps of
    optimizers that divide by the gradient's size are compared by their rates.

    Args:
        steps: Of every loss and rate of a study.

    Returns:
        A sentence; empty where there is nothing to compare.
    """
    lengths: dict[str, list[tuple[str, float]]] = {}
    for step in steps:
        length = step.first_step if step.is_scaled else step.lr
        lengths.setdefault(step.loss, []).append((step.optimizer, length))
    if len(lengths) < 2:
        return ""
    if all(_covers(these, those) for these in lengths.values() for those in lengths.values()):
        return "Every loss takes first steps of the same lengths as the others."
    return (
        "First steps differ in length between losses: one may lead because its steps are longer, "
        "and not because it is better."
    )


def _covers(these: Iterable[tuple[str, float]], those: Iterable[tuple[str, float]]) -> bool:
    """Tell whether each step of the one set has its like in the other."""
    return all(
        any(
            optimizer == other and abs(length - its) <= EQUAL * max(length, its)
            for other, its in those
        )
        for optimizer, length in these
    )
