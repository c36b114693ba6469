"""Deep kernel shaping and tailored activations: the published constants, found again by solving.

All are those of a modified residual network with groups of 3, 4, 23 and 3 blocks.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from named import own
from networks import phi
from numpy.typing import NDArray
from scipy import optimize

from fathom.activations import ACTIVATIONS
from fathom.registry import Choice
from fathom.theory.gains import forward_gain
from fathom.theory.gaussian import moments
from fathom.theory.nonlinearity import Nonlinearity


def through_network(layer: Callable[[float], float], start: float) -> float:
    """Compose the largest subnetwork; shortcuts weigh .6^2, and the first of a group has a layer.

    Source: Martens et al. 2021, arXiv:2110.01765; Zhang et al. 2022, arXiv:2203.08120.
    """
    at, kept = start, 0.6**2
    for num_blocks in (3, 4, 23, 3):
        for block in range(num_blocks):
            shortcut = at if block else layer(at)
            at = kept * shortcut + (1 - kept) * layer(layer(layer(at)))
    return layer(at)


def solved(height: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(height, low, high, xtol=1e-15))


def local_slope() -> float:
    return solved(lambda s: through_network(lambda x: s * x, 1.0) - 1.2, 1.0, 1.1)


def local_curvature() -> float:
    return solved(lambda k: through_network(lambda x: k + x, 0.0) - 0.2, 0.0, 0.1)


def test_deep_kernel_shaping_wants_this_slope_and_curvature_of_a_layer() -> None:
    assert local_slope() == pytest.approx(1.0027709658, abs=1e-9)
    assert local_curvature() == pytest.approx(0.00303951368, abs=1e-10)


def test_tailored_leaky_relu() -> None:
    """Inputs that are orthogonal end with a correlation of .75, by the map of Cho & Saul 2009."""

    def layer(slope: float) -> Callable[[float], float]:
        weight = (1 - slope) ** 2 / (1 + slope**2) / math.pi
        return lambda c: c + weight * (math.sqrt(1 - c * c) - c * math.acos(c))

    slope = solved(lambda a: through_network(layer(a), 0.0) - 0.75, 0.0, 1.0)
    assert slope == pytest.approx(0.6291800290, abs=1e-9)
    assert forward_gain(phi("leaky_relu", slope=slope)) == pytest.approx(1.1969965498, abs=1e-9)


class Shape(NamedTuple):
    """scale (phi(stretch h + shift) + lift)."""

    stretch: float
    shift: float
    lift: float
    scale: float


# Source: the tests of the authors' package.
SOFTPLUS = Shape(0.18761008, 0.40688063, -0.92134662, 8.87867254)
TANH = Shape(0.05802052, 0.52186398, -0.47964307, 22.36066264)


def shaped(name: str, shape: Shape) -> Nonlinearity:
    base = ACTIVATIONS.build(Choice(name))
    return own(lambda h: shape.scale * (base.value(shape.stretch * h + shape.shift) + shape.lift))


def bend(shape: Shape) -> Nonlinearity:
    """phi'' of the shaped tanh: tanh'' = -2 tanh (1 - tanh^2)."""

    def second(h: torch.Tensor) -> torch.Tensor:
        inner = torch.tanh(shape.stretch * h + shape.shift)
        return shape.scale * shape.stretch**2 * -2 * inner * (1 - inner**2)

    return own(second)


def softplus_misses(shape: Shape) -> list[float]:
    """By how much V(1) = V'(1) = 1, E phi = 0 and chi = the local slope are missed."""
    at = moments(shaped("softplus", shape), 1.0)
    return [
        at.square[0] - 1,
        at.square_1st[0] - 1,
        at.mean[0],
        at.slope_square[0] - local_slope(),
    ]


def tanh_misses(shape: Shape) -> list[float]:
    """By how much V(1) = V'(1) = chi = 1 and E phi''^2 = the local curvature are missed."""
    at = moments(shaped("tanh", shape), 1.0)
    curvature = moments(bend(shape), 1.0).square[0]
    return [
        at.square[0] - 1,
        at.square_1st[0] - 1,
        at.slope_square[0] - 1,
        curvature - local_curvature(),
    ]


CASES = pytest.mark.parametrize(
    ("misses", "published"), [(softplus_misses, SOFTPLUS), (tanh_misses, TANH)], ids=["DKS", "TAT"]
)
Misses = Callable[[Shape], list[float]]


@CASES
def test_the_published_numbers_solve_their_four_equations(misses: Misses, published: Shape) -> None:
    assert misses(published) == pytest.approx([0, 0, 0, 0], abs=1e-6)


@CASES
@pytest.mark.parametrize("factors", [(1.1, 0.9, 0.9, 1.1), (0.85, 1.15, 1.2, 0.9)])
def test_solving_the_four_equations_gives_the_published_numbers(
    misses: Misses, published: Shape, factors: tuple[float, ...]
) -> None:
    """From starts where each number is 10 to 20 % off."""
    start = np.multiply(published, factors)

    def system(unknowns: NDArray[np.float64]) -> list[float]:
        return misses(Shape(*(unknowns * start).tolist()))

    found = optimize.root(system, np.ones(4), tol=1e-13)
    assert found.x * start == pytest.approx(published, rel=0, abs=1e-6)
