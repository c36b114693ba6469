"""Learning-rate schedules: by which factor the base rate is multiplied at a step.

Steps count from 0 over the whole training. Each function takes the step, the steps of an epoch and
the number of epochs.
"""

import math
from collections.abc import Callable
from typing import Final

Schedule = Callable[[int, int, int], float]


def constant(step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return 1: the base rate at every step."""
    return 1.0


def stepwise(
    step: int, steps_per_epoch: int, epochs: int, every: int = 10, decay: float = 0.1
) -> float:
    """Return decay^n after n times `every` epochs."""
    epoch = step // steps_per_epoch
    return float(decay ** (epoch // every))


def exponential(step: int, steps_per_epoch: int, epochs: int, decay: float = 0.98) -> float:
    """Return decay^e in epoch e, counted from 0."""
    epoch = step // steps_per_epoch
    return float(decay**epoch)


def cosine(
    step: int, steps_per_epoch: int, epochs: int, warmup_epochs: float = 0.0, floor: float = 0.0
) -> float:
    """Return a factor that rises to 1 along a line, then falls along half a cosine.

    The first W = round(warmup_epochs * steps_per_epoch) steps have 1, 2, ... W parts of W + 1.
    From step W, which has 1, a cosine goes to `floor`, which it would reach at the first step
    that is not taken.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts; the warm-up after
    Goyal et al. 2017, arXiv:1706.02677, sec. 2.2.

    Args:
        step: From 0 to epochs * steps_per_epoch - 1.
        steps_per_epoch: Steps of an epoch.
        epochs: Epochs of the training.
        warmup_epochs: Length of the rise; fractions are allowed.
        floor: Where the cosine ends, in [0, 1].

    Returns:
        The factor.
    """
    rise = round(warmup_epochs * steps_per_epoch)
    if step < rise:
        return (step + 1) / (rise + 1)
    angle = math.pi * (step - rise) / (steps_per_epoch * epochs - rise)
    return 1 - (1 - floor) * math.sin(angle / 2) ** 2  # (1 + cos a) / 2 = 1 - sin^2(a / 2)


SCHEDULES: Final[dict[str, Callable[..., float]]] = {
    "constant": constant,
    "step": stepwise,
    "exponential": exponential,
    "cosine": cosine,
}
