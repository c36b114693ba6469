"""The spline through sigmoid: another solver, derived constants, its three readings."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.special import expit

from fathom.activations import ACTIVATIONS, Activation
from fathom.activations.spline import spline_sigmoid
from fathom.errors import ComponentError
from fathom.registry import Choice

SIGMOID_SLOPE_2 = float(expit(2) * expit(-2))


def at(phi: Activation, h: float) -> tuple[float, float]:
    point = torch.tensor(h, dtype=torch.float64)
    return float(phi.value(point)), float(phi.slope(point))


def inside(phi: Activation) -> tuple[torch.Tensor, float]:
    """Return a grid on [-2, 2] and the largest difference from sigmoid there."""
    h = torch.linspace(-2, 2, 100_001, dtype=torch.float64)
    return h, float((phi.value(h) - torch.sigmoid(h)).abs().max())


@pytest.mark.parametrize(
    "knots", [(-2, 0, 2), (-2, -1, 0, 1, 2), (-1, 0.3, 2, 5.5), (-40, 40), tuple(range(-9, 11))]
)
@pytest.mark.parametrize("ends", ["clamped", "natural"])
def test_inside_it_is_the_spline_that_scipy_finds(knots: tuple[float, ...], ends: str) -> None:
    phi = ACTIVATIONS.build(Choice("spline_sigmoid", (("knots", knots), ("ends", ends))))
    edge_slopes = [(1, expit(k) * expit(-k)) for k in (knots[0], knots[-1])]
    boundary = "natural" if ends == "natural" else tuple(edge_slopes)
    spline = CubicSpline(knots, expit(np.array(knots)), bc_type=boundary)  # type: ignore[arg-type]
    h = np.linspace(knots[0], knots[-1], 2001)
    for function, expected in ((phi.value, spline(h)), (phi.slope, spline(h, 1))):
        found = function(torch.from_numpy(h)).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_default_is_the_published_one() -> None:
    phi = spline_sigmoid()
    slope_0 = (3 * float(expit(2) - expit(-2)) - 4 * SIGMOID_SLOPE_2) / 8
    assert slope_0 == pytest.approx(0.23310102, abs=5e-9)
    assert at(phi, 0.0) == pytest.approx((0.5, slope_0), abs=1e-15)
    assert at(phi, 2.0) == pytest.approx((float(expit(2)), 0.10499359), abs=5e-9)
    assert inside(phi)[1] == pytest.approx(0.00899, abs=5e-6)
    for t in (2.0001, 3.0, 50.0):
        assert at(phi, t) == pytest.approx((t + float(expit(2)) - 2, 1.0), abs=1e-14)
        assert at(phi, -t) == pytest.approx((-t + float(expit(-2)) + 2, 1.0), abs=1e-14)
    assert phi.kinks == (-2.0, 2.0)


def test_natural_spline_of_five_knots() -> None:
    phi = spline_sigmoid(knots=(-2, -1, 0, 1, 2), ends="natural", outer_slope=None)
    bend_1 = 6 * float(expit(2) - 2 * expit(1) + 0.5) / 4
    assert bend_1 == pytest.approx(-0.12198012, abs=5e-9)
    assert at(phi, 2.0)[1] == pytest.approx(0.12940848, abs=5e-9)
    assert at(phi, 0.0)[1] == pytest.approx(0.25138860, abs=5e-9)
    assert inside(phi)[1] == pytest.approx(0.0042898, abs=5e-8)
    assert at(phi, 7.0)[1] == pytest.approx(0.12940848, abs=5e-9)
    assert phi.kinks == ()


def test_natural_spline_of_three_knots_is_a_straight_line() -> None:
    phi = spline_sigmoid(ends="natural", outer_slope=None)
    h, _ = inside(phi)
    assert torch.allclose(phi.slope(h), torch.full_like(h, float(expit(2) - 0.5) / 2), atol=1e-15)
    assert at(phi, 0.7)[1] == pytest.approx(0.19039854, abs=5e-9)


@pytest.mark.parametrize(("ends", "bend"), [("clamped", -0.0837), ("natural", 0.0)])
def test_curvature_at_the_outer_knots(ends: str, bend: float) -> None:
    """Only the natural spline goes over into its tangent with a continuous second derivative."""
    knots = (-2.0, -1.0, 0.0, 1.0, 2.0)
    choice = Choice("spline_sigmoid", (("ends", ends), ("knots", knots), ("outer_slope", None)))
    phi = ACTIVATIONS.build(choice)
    step = 1e-6
    left = (at(phi, 2.0)[1] - at(phi, 2.0 - step)[1]) / step
    right = (at(phi, 2.0 + step)[1] - at(phi, 2.0)[1]) / step
    assert left == pytest.approx(bend, abs=6e-5)
    assert right == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("outer_slope", [1.0, 0.0, -0.5, None])
def test_symmetric_knots_give_a_symmetric_function(outer_slope: float | None) -> None:
    phi = spline_sigmoid(outer_slope=outer_slope)
    h = torch.linspace(0, 9, 901, dtype=torch.float64)
    torch.testing.assert_close(phi.value(h) + phi.value(-h), torch.ones_like(h))
    torch.testing.assert_close(phi.slope(h), phi.slope(-h))


def test_tangents_of_uneven_knots_differ() -> None:
    phi = spline_sigmoid(knots=(-1, 0, 3), outer_slope=None)
    assert at(phi, -9.0)[1] == pytest.approx(float(expit(-1) * expit(1)))
    assert at(phi, 9.0)[1] == pytest.approx(float(expit(-3) * expit(3)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"knots": (-2, 2, 0)}, r"knots: 0 after 2; must rise by 0\.001 or more"),
        ({"knots": (1, 1)}, "knots: 1 after 1"),
        ({"knots": (0,)}, "must be a list of 2 to 100 numbers"),
        ({"knots": 3}, "knots: got 3; must be a list"),
        ({"knots": ("a", "b")}, "knots: got a; must be a finite number"),
        ({"knots": (0, math.inf)}, "knots: got inf"),
        ({"knots": tuple(range(101))}, "must be a list of 2 to 100 numbers"),
        ({"ends": "free"}, "ends: got 'free'; must be 'clamped' or 'natural'"),
        ({"ends": ("natural",)}, r"ends: got \('natural',\)"),
        ({"outer_slope": math.nan}, "outer_slope: got nan"),
    ],
)
def test_bad_parameters_are_told(params: dict[str, object], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        ACTIVATIONS.build(Choice("spline_sigmoid", tuple(params.items())))  # type: ignore[arg-type]
