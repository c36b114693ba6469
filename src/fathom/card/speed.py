"""What an activation costs beside relu."""

import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.activations.base import Activation
from fathom.registry import Choice

NUM_ELEMENTS = 128 * 128 * 8
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class RelativeSpeed(NamedTuple):
    """Times over those of relu, on this machine; 2.0 is twice as slow.

    Attributes:
        forward: Of overwriting h with phi(h), as the training loop does.
        backward: Of multiplying a gradient by phi'(h).
    """

    forward: float
    backward: float


def relative_speed(
    activation: Activation, *, num_elements: int = NUM_ELEMENTS, repeats: int = 40
) -> RelativeSpeed:
    """Measure an activation and relu in turns, in float32, and return medians of the ratios.

    Args:
        activation: What to measure, in the form that the training loop uses.
        num_elements: Size of the tensor.
        repeats: How often, after two turns that do not count.

    Not covered: the memory that `kept` takes, and devices other than the processor.
    """
    h = _normal_numbers(num_elements)
    relu = ACTIVATIONS.build(Choice("relu"))
    turns = [(_times(activation, h), _times(relu, h)) for _ in range(repeats + 2)][2:]
    forward, backward = (
        statistics.median(own[i] / base[i] for own, base in turns) for i in range(2)
    )
    return RelativeSpeed(forward, backward)


def _normal_numbers(count: int) -> Tensor:
    """Return quantiles of the normal distribution in an order without a pattern.

    Source: Weyl 1916; multiples of the golden ratio are spread evenly over the unit interval.
    """
    share = (torch.arange(1, count + 1, dtype=torch.float64) * _GOLDEN_RATIO) % 1
    return (math.sqrt(2) * torch.erfinv(2 * share - 1)).float()


def _times(activation: Activation, given: Tensor) -> tuple[float, float]:
    h, kept, grad = given.clone(), torch.empty_like(given), torch.ones_like(given)
    with torch.no_grad():
        forward = _elapsed_s(lambda: activation.forward_into(h, kept))
        backward = _elapsed_s(lambda: activation.backward_into(grad, kept, h))
    return forward, backward


def _elapsed_s(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
