"""Activations by hand against the registry, against differences, and at the edges."""

import inspect
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fathom.activations import ACTIVATIONS as REGISTRY
from fathom.activations import Activation as Record
from fathom.reference.activations import ACTIVATIONS, Activation, activation
from fathom.reference.arrays import Array
from fathom.registry import Choice

BUILT_IN = REGISTRY.names()
FORMS = [
    Choice("leaky_relu", (("slope", 0.0),)),
    Choice("leaky_relu", (("slope", -0.5),)),
    Choice("leaky_relu", (("slope", 1.0),)),
    Choice("elu", (("alpha", 0.5),)),
    Choice("elu", (("alpha", 2),)),
    Choice("hardtanh", (("limit", 2.5),)),
    Choice("gelu", (("form", "tanh"),)),
    Choice("spline_sigmoid", (("outer_slope", None),)),
    Choice("spline_sigmoid", (("ends", "natural"), ("knots", (-2, -1, 0, 1, 2)))),
    Choice("spline_sigmoid", (("knots", (-1.0, 0.3, 2.0, 5.5)), ("outer_slope", None))),
    Choice("spline_sigmoid", (("knots", (-3.0, 3.0)), ("outer_slope", 0))),
]
CHOICES = [*(Choice(name) for name in BUILT_IN), *FORMS]
PAIRS = [(activation(c.name, **dict(c.params)), REGISTRY.build(c)) for c in CHOICES]
every_pair = pytest.mark.parametrize(("phi", "record"), PAIRS, ids=[c.label for c in CHOICES])

GRID = np.arange(-2000, 2001) / 250  # holds the integers: most kinks and knots
EDGES = [s * x for x in (0.0, 1e-30, 20.0, 89.0, 700.0, 1e4, 1e30, np.inf) for s in (1, -1)]


def points(record: Record) -> Array:
    return np.concatenate([GRID, EDGES, record.kinks, [math.nan]])


def assert_equal(ours: Callable[..., Array], theirs: Callable[..., torch.Tensor], h: Array) -> None:
    expected = theirs(torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(ours(h), expected, rtol=1e-12, atol=1e-14)


@every_pair
def test_value_and_slope_are_those_of_the_registry(phi: Activation, record: Record) -> None:
    """Kinks, infinities and NaN included."""
    h = points(record)
    assert_equal(phi.value, record.value, h)
    assert_equal(phi.slope, record.slope, h)


@every_pair
def test_slope_is_the_limit_of_differences(phi: Activation, record: Record) -> None:
    step = 1e-6
    h = GRID + 0.00123
    for kink in (*record.kinks, *((-np.pi / 2, np.pi / 2) if record.name == "tan" else ())):
        h = h[np.abs(h - kink) > 0.1]
    h = h[np.abs(phi.value(h)) < 10]
    difference = (phi.value(h + step) - phi.value(h - step)) / (2 * step)
    assert len(h) > 500
    np.testing.assert_allclose(phi.slope(h), difference, rtol=1e-7, atol=1e-8)


ANALYTIC = ("square", "reciprocal", "exp", "tanh", "sin", "cos", "tan")


@pytest.mark.parametrize("name", ANALYTIC)
def test_slope_is_the_complex_step(name: str) -> None:
    """Im f(h + i e) / e is f'(h) up to e^2, without a difference that cancels."""
    phi = ACTIVATIONS[name]
    h = GRID + 0.00123
    imaginary = phi.value(h + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(phi.slope(h), imaginary, rtol=1e-12, atol=1e-14)


@every_pair
def test_nan_stays_and_nothing_else_becomes_nan(phi: Activation, record: Record) -> None:
    finite = points(record)[np.isfinite(points(record))]
    for function in (phi.value, phi.slope):
        assert not np.isnan(function(finite)).any()
        assert np.isnan(function(np.array([1.0, math.nan]))).tolist() == [False, True]


@every_pair
def test_shape_is_kept_and_input_left_alone(phi: Activation, record: Record) -> None:
    h = np.linspace(-4, 4, 24).reshape(2, 3, 4)
    before = h.copy()
    for function in (phi.value, phi.slope):
        result = function(h)
        assert (result.shape, result.dtype) == (h.shape, np.float64)
        assert not np.shares_memory(result, h)
    np.testing.assert_array_equal(h, before)


def test_every_built_in_activation_is_there() -> None:
    assert sorted(ACTIVATIONS) == sorted(BUILT_IN)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if REGISTRY.parameters(name)])
def test_parameters_and_defaults_are_those_of_the_registry(name: str) -> None:
    expected = {key: parameter.default for key, parameter in REGISTRY.parameters(name).items()}
    for function in (ACTIVATIONS[name].value, ACTIVATIONS[name].slope):
        _, *parameters = inspect.signature(function).parameters.values()
        assert {parameter.name: parameter.default for parameter in parameters} == expected


def test_unknown_name_is_told() -> None:
    with pytest.raises(ValueError, match="got 'rellu'; must be one of identity, square, "):
        activation("rellu")


# The splines in closed form --------------------------------------------------------------------


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_clamped_spline_of_three_knots_in_closed_form() -> None:
    """Continuity of S'' at 0: 4 w d_0 = 3 (y_1 - y_-1) - 2 w d_1, with d_1 that of sigmoid."""
    phi = activation("spline_sigmoid")
    end_slope = sigmoid(2) * sigmoid(-2)
    middle = (3 * (sigmoid(2) - sigmoid(-2)) - 2 * 2 * end_slope) / (4 * 2)
    slopes = phi.slope(np.array([-3.0, -2.0, 0.0, 2.0, 3.0]))
    np.testing.assert_allclose(slopes, [1, end_slope, middle, end_slope, 1], rtol=1e-14)
    assert middle == pytest.approx(0.23310102, abs=5e-9)
    heights = phi.value(np.array([-3.0, -2.0, 0.0, 2.0, 3.0]))
    expected = [sigmoid(-2) - 1, sigmoid(-2), 0.5, sigmoid(2), sigmoid(2) + 1]
    np.testing.assert_allclose(heights, expected, rtol=1e-14)


def test_natural_spline_of_five_knots_in_closed_form() -> None:
    """By symmetry M_0 = 0, so that 4 M_1 = 6 (y_2 - 2 y_1 + y_0)."""
    phi = activation("spline_sigmoid", knots=(-2, -1, 0, 1, 2), ends="natural", outer_slope=None)
    bend = 6 * (sigmoid(2) - 2 * sigmoid(1) + 0.5) / 4
    at_0 = sigmoid(1) - 0.5 - bend / 6
    at_2 = sigmoid(2) - sigmoid(1) + bend / 6
    slopes = phi.slope(np.array([0.0, 2.0, 9.0]))
    np.testing.assert_allclose(slopes, [at_0, at_2, at_2], rtol=1e-14)
    assert (bend, at_0, at_2) == pytest.approx((-0.12198012, 0.25138860, 0.12940848), abs=5e-9)


def test_natural_spline_of_three_knots_is_a_straight_line() -> None:
    phi = activation("spline_sigmoid", ends="natural", outer_slope=None)
    slope = (sigmoid(2) - sigmoid(-2)) / 4
    np.testing.assert_allclose(phi.slope(GRID), slope, rtol=1e-14)
    np.testing.assert_allclose(phi.value(GRID), 0.5 + slope * GRID, rtol=0, atol=1e-14)
