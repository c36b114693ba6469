"""The written slope against autograd, differences, its supremum and a search for kinks."""

import math

import pytest
import torch
from activation_cases import ACTIVATION_CASES, CASE_IDS, dense_grid
from torch import Tensor

from fathom.activations import Activation
from fathom.activations.base import slope_by_autograd

every_case = pytest.mark.parametrize("phi", ACTIVATION_CASES, ids=CASE_IDS)


@every_case
def test_slope_is_the_derivative_that_autograd_finds(phi: Activation) -> None:
    """Kinks included: there the slope is torch's own."""
    kinks = torch.tensor(phi.kinks, dtype=torch.float64)
    h = torch.cat([dense_grid(), kinks, -kinks])
    torch.testing.assert_close(
        phi.slope(h), slope_by_autograd(phi.value)(h), rtol=1e-12, atol=1e-14, equal_nan=True
    )


@every_case
def test_slope_is_the_limit_of_differences(phi: Activation) -> None:
    step = 1e-6
    h = dense_grid() + 0.00123
    tame = phi.value(h).abs() < 10
    for kink in phi.kinks:
        tame &= (h - kink).abs() > 1e-3
    h = h[tame]
    assert len(h) > 500
    difference = (phi.value(h + step) - phi.value(h - step)) / (2 * step)
    torch.testing.assert_close(phi.slope(h), difference, rtol=1e-7, atol=1e-7)


@every_case
def test_max_slope_is_the_supremum(phi: Activation) -> None:
    beside = [kink + side for kink in phi.kinks for side in (-1e-9, 1e-9)]
    extremes = [-1e3, 1e3, math.pi / 2 - 1e-3]
    h = torch.cat([
        dense_grid(12, 10_000),
        torch.tensor([*beside, *extremes], dtype=torch.float64),
    ])
    steepest = float(phi.slope(h).abs().nan_to_num(posinf=0.0).max())
    if math.isinf(phi.max_slope):
        assert steepest > 1e3
    else:
        assert phi.max_slope - 1e-6 <= steepest <= phi.max_slope * (1 + 1e-12)


def find_jumps(phi: Activation) -> Tensor:
    """Search -8...8 for points where phi or its slope jumps, by halving cells of 0.01.

    Seen through the arc tangent, so that a pole is a jump by pi and all else is bounded.
    """
    edges = torch.linspace(-8.00345, 8.00678, 1601, dtype=torch.float64)
    low, high = edges[:-1], edges[1:]

    def contrast(a: Tensor, b: Tensor) -> Tensor:
        (f, slope_f), (g, slope_g) = ((phi.value(x), phi.slope(x)) for x in (a, b))
        steepness = slope_f / (1 + f.square()) - slope_g / (1 + g.square())
        return (f.atan() - g.atan()).abs() + steepness.abs()

    for _ in range(24):
        middle = (low + high) / 2
        left = contrast(low, middle) >= contrast(middle, high)
        low, high = torch.where(left, low, middle), torch.where(left, middle, high)
    # Where all is smooth, a cell of 1e-9 changes phi and its slope by about as much.
    return ((low + high) / 2)[contrast(low, high) > 1e-4]


@every_case
def test_kinks_are_where_phi_or_its_slope_jumps(phi: Activation) -> None:
    if phi.name == "tan":  # the record leaves its poles out
        expected = [k * math.pi / 2 for k in (-5, -3, -1, 1, 3, 5)]
    else:
        expected = list(phi.kinks)
    assert find_jumps(phi).tolist() == pytest.approx(expected, abs=1e-6)
