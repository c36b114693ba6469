"""Derivatives that are written down, against autograd and against differences.

An activation's slope is written twice, in NumPy and in torch, and so is a loss's gradient; both are
held against torch's autograd of the value and against central differences of the NumPy value.

Shapes: N points, B batch, K classes.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import torch

from fathom.activations import ACTIVATIONS
from fathom.activations.base import slope_by_autograd
from fathom.engine.by_hand import activation_by_hand, loss_by_hand
from fathom.losses import LOSSES
from fathom.reference.arrays import Array
from fathom.registry import Choice

# Fornberg 1988, Math. Comp. 51, table 1: f' = sum_k c_k (f(x + k e) - f(x - k e)) / e, with an
# error of e^6 f^(7) / 140. At this e that and the rounding of f are both near 1e-12.
STEP: Final = 1e-3
DIFFERENCE: Final = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))

NUM_SAMPLES, NUM_CLASSES = 32, 5
LOGIT_UNIT: Final = 0.3  # between logits, and no multiple of it is a usual margin: no kink is hit
LARGEST_VALUE: Final = 5.0  # of |phi|: further up the pole of 1/h, or of tan, no step is small


class DerivativeDeviations(NamedTuple):
    """Largest deviations of a written derivative d, as |d - d'| / max(1, |d'|); inf for NaN.

    Attributes:
        autograd: From torch's autograd.
        differences: From central differences.
    """

    autograd: float
    differences: float


def check_activation(choice: Choice) -> DerivativeDeviations:
    """Compare an activation's slopes where it is smooth, from -4 to 4.

    Raises:
        FathomError: If it is not written by hand.
    """
    record, phi = ACTIVATIONS.build(choice), activation_by_hand(choice)
    h_N = np.arange(-4, 4, 1 / 128) + 0.00123
    # At 0 the curvature of some jumps, which differences notice.
    for kink in (0.0, *record.kinks):
        h_N = h_N[np.abs(h_N - kink) > 4 * STEP]
    h_N = h_N[np.abs(phi.value(h_N)) < LARGEST_VALUE]
    h = torch.from_numpy(h_N)
    written = [phi.slope(h_N), record.slope(h).numpy()]
    return DerivativeDeviations(
        autograd=_furthest(written, slope_by_autograd(record.value)(h).numpy()),
        differences=_furthest(written, central_difference(phi.value, h_N, np.ones(()))),
    )


def check_loss(choice: Choice) -> DerivativeDeviations:
    """Compare a loss's gradients with respect to the logits of a few samples.

    Raises:
        FathomError: If it is not written by hand.
    """
    record, loss = LOSSES.build(choice), loss_by_hand(choice)
    generator = np.random.default_rng(0)
    steps_BK = generator.integers(-10, 11, (NUM_SAMPLES, NUM_CLASSES))
    logits_BK = np.multiply(LOGIT_UNIT, steps_BK)
    target_B = generator.integers(0, NUM_CLASSES, NUM_SAMPLES)
    stack, target = torch.from_numpy(logits_BK)[None], torch.from_numpy(target_B)
    leaf = stack.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(record.value(leaf, target).sum(), leaf)
    by_differences_BK = np.stack(
        [
            central_difference(lambda x_BK: loss(x_BK, target_B).value, logits_BK, direction_K)
            for direction_K in np.eye(NUM_CLASSES)
        ],
        axis=1,
    )
    # A gradient is that of the mean over the batch.
    grads = [loss(logits_BK, target_B).grad, record.grad(stack, target)[0].numpy()]
    written = [np.multiply(NUM_SAMPLES, grad_BK) for grad_BK in grads]
    return DerivativeDeviations(
        autograd=_furthest(written, by_autograd[0].numpy()),
        differences=_furthest(written, by_differences_BK),
    )


def central_difference(function: Callable[[Array], Array], x: Array, direction: Array) -> Array:
    """Return the derivative of a function at `x` along a direction, to about twelve digits.

    Source: Fornberg 1988, "Generation of finite difference formulas on arbitrarily spaced grids".

    >>> round(float(central_difference(np.exp, np.zeros(()), np.ones(()))), 11)
    1.0
    """
    total = sum(
        weight * (function(x + k * STEP * direction) - function(x - k * STEP * direction))
        for k, weight in DIFFERENCE
    )
    return np.asarray(total / STEP)


def _furthest(written: list[Array], truth: Array) -> float:
    ratios = [np.abs(d - truth) / np.maximum(1, np.abs(truth)) for d in written]
    worst = float(np.max(ratios))  # hands NaN on
    return worst if math.isfinite(worst) else math.inf
