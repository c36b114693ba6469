"""Learning-rate schedules: a factor for each step, by which the base rate is multiplied.

Steps count from 0 over the whole training: step s belongs to the (s // steps_per_epoch)-th epoch,
counted from 0, and the last step is epochs * steps_per_epoch - 1. The update of step s uses the
factor of step s.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fathom.registry import Registry, check_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How the learning rate changes over training.

    Attributes:
        name: Name in the registry.
        factor: `factor(step, steps_per_epoch, epochs)`, where `step` is at least 0 and below
            `epochs * steps_per_epoch`; the rate of that step over the base rate.
    """

    name: str
    factor: Callable[[int, int, int], float]


def constant() -> Schedule:
    """The base rate at every step."""
    return Schedule(name="constant", factor=lambda step, steps_per_epoch, epochs: 1.0)


def step(every: int = 10, decay: float = 0.1) -> Schedule:
    """The rate times `decay` after every `every` epochs.

    The first step of epoch `every` (counted from 0) is the first with the factor `decay`. Equal to
    torch's `StepLR`, stepped once an epoch.

    Args:
        every: Epochs between two changes, at least 1.
        decay: Factor of one change, in (0, 1].

    Raises:
        ValueError: If a parameter is out of its range.
    """
    check_number("every", every, minimum=1, whole=True)
    check_number("decay", decay, above=0, maximum=1)

    def factor(step: int, steps_per_epoch: int, epochs: int) -> float:
        return math.pow(decay, step // (every * steps_per_epoch))

    return Schedule(name="step", factor=factor)


def exponential(decay: float = 0.98) -> Schedule:
    """The rate times `decay` after every epoch.

    All steps of epoch e (counted from 0) have the factor decay^e. Equal to torch's `ExponentialLR`,
    stepped once an epoch.

    Args:
        decay: Factor of one epoch, in (0, 1].

    Raises:
        ValueError: If the decay is out of its range.
    """
    check_number("decay", decay, above=0, maximum=1)

    def factor(step: int, steps_per_epoch: int, epochs: int) -> float:
        return math.pow(decay, step // steps_per_epoch)

    return Schedule(name="exponential", factor=factor)


def cosine(warmup_epochs: float = 0.0, floor: float = 0.0) -> Schedule:
    """A linear warm-up, then half a cosine from the base rate down to `floor` of it.

    With W = round(warmup_epochs * steps_per_epoch) and T steps in all, the factor is

        (s + 1) / (W + 1)                                          for s < W
        floor + (1 - floor) (1 + cos(pi (s - W) / (T - W))) / 2    for W <= s < T

    so step 0 already moves the weights, step W is the first with the factor 1, and `floor` would be
    reached at step T, the first that is not taken. Without a warm-up it equals torch's
    `CosineAnnealingLR` with `T_max = T`, stepped once a step. A warm-up at least as long as the
    training leaves no cosine: the rate then rises to the end.

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5, without restarts; the warm-up after
    Goyal et al. 2017, arXiv:1706.02677, sec. 2.2.

    Args:
        warmup_epochs: Length of the warm-up in epochs, at least 0; fractions are allowed.
        floor: Last factor, in [0, 1].

    Raises:
        ValueError: If a parameter is out of its range.
    """
    check_number("warmup_epochs", warmup_epochs, minimum=0)
    check_number("floor", floor, minimum=0, maximum=1)

    def factor(step: int, steps_per_epoch: int, epochs: int) -> float:
        warmup = round(warmup_epochs * steps_per_epoch)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / (epochs * steps_per_epoch - warmup)
        return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * done)) / 2.0

    return Schedule(name="cosine", factor=factor)


SCHEDULES: Final = Registry(
    "schedule",
    (constant, step, exponential, cosine),
    aliases={"none": "constant", "cosine_with_warmup": "cosine"},
    group="fathom.schedules",
)
