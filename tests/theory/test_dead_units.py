"""The share of dead units, against closed forms and drawn pre-activations."""

import math

import numpy as np
import pytest
import torch
from networks import phi

from fathom.activations.base import Activation, slope_by_autograd
from fathom.theory.dead_units import dead_probability, zero_slope_intervals
from fathom.theory.nonlinearity import Nonlinearity, nonlinearity


def shrink() -> Nonlinearity:
    """0 between -0.5 and 1.5: flat in the middle, with a jump at each end."""

    def value(h: torch.Tensor) -> torch.Tensor:
        return torch.where((h > -0.5) & (h < 1.5), 0.0, h)

    return nonlinearity(Activation(name="shrink", value=value, slope=slope_by_autograd(value)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", ((-math.inf, 0.0),)),
        ("relu6", ((-math.inf, 0.0), (6.0, math.inf))),
        ("hardtanh", ((-math.inf, -1.0), (1.0, math.inf))),
        ("hardswish", ((-math.inf, -3.0),)),
        ("leaky_relu", ()),
        ("abs", ()),
        ("elu", ()),
        ("selu", ()),
        ("tanh", ()),
        ("sigmoid", ()),
        ("gelu", ()),
        ("sin", ()),
        ("exp", ()),
    ],
)
def test_flat_stretches_are_found(name: str, expected: tuple[tuple[float, float], ...]) -> None:
    assert zero_slope_intervals(phi(name)) == expected


def test_flat_stretches_of_a_function_that_says_nothing_of_itself_are_found() -> None:
    ((low, high),) = zero_slope_intervals(shrink())
    assert (low, high) == pytest.approx((-0.5, 1.5), abs=1e-9)


@pytest.mark.parametrize("num_inputs", [1, 2, 5, 64])
def test_independent_inputs_kill_relu_with_one_half_each(num_inputs: int) -> None:
    found = dead_probability(phi("relu"), [0.1, 1.7, 1e9], 0.0, num_inputs)
    np.testing.assert_allclose(found, 2.0**-num_inputs, rtol=1e-12)


@pytest.mark.parametrize("num_inputs", [1, 2, 1024])
def test_equal_inputs_count_once(num_inputs: int) -> None:
    found = dead_probability(phi("relu"), 1.7, 1.0, num_inputs)
    assert found == pytest.approx(0.5, rel=1e-12)
    beyond = math.erfc(1 / math.sqrt(2 * 1.7))  # P(|h| > 1)
    found = dead_probability(phi("hardtanh"), 1.7, 1.0, num_inputs)
    assert found == pytest.approx(beyond, rel=1e-12)


def test_two_inputs_are_in_one_quadrant_with_the_probability_of_sheppard() -> None:
    c = np.array([0.0, 0.2, 0.9, 0.999, 1 - 1e-7, 1.0])
    expected = 0.25 + np.arcsin(c) / (2 * math.pi)
    np.testing.assert_allclose(dead_probability(phi("relu"), 3.0, c, 2), expected, rtol=1e-12)
    three = 0.125 + 3 * np.arcsin(c) / (4 * math.pi)
    np.testing.assert_allclose(dead_probability(phi("relu"), 3.0, c, 3), three, rtol=1e-12)


def test_half_correlated_inputs_kill_relu_like_the_largest_of_n_plus_one() -> None:
    """At c = 1/2, h_a = (t + u_a) / sqrt(2) < 0 for all a: -t is the largest of N + 1 normals."""
    for num_inputs in (1, 10, 1000):
        found = dead_probability(phi("relu"), 1.0, 0.5, num_inputs)
        assert found == pytest.approx(1 / (num_inputs + 1), rel=1e-11)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "hardswish", "shrink"])
@pytest.mark.parametrize("c", [0.1, 0.6, 0.97])
def test_drawn_units_die_as_often(name: str, c: float) -> None:
    num_units, num_inputs, q = 200_000, 4, 9.0
    chosen = shrink() if name == "shrink" else phi(name)
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((num_units, 1))
    own = rng.standard_normal((num_units, num_inputs))
    h = math.sqrt(q) * (math.sqrt(c) * shared + math.sqrt(1 - c) * own)
    share = (chosen.slope(h) == 0).all(1).mean()
    error = math.sqrt(share * (1 - share) / num_units)
    found = dead_probability(chosen, q, c, num_inputs)
    assert found == pytest.approx(share, abs=4 * error)


def test_many_inputs_agree_with_a_fine_sum() -> None:
    t, step = np.linspace(-12, 12, 200_001, retstep=True)
    c, num_inputs = 0.995, 4096
    below = np.array([math.erfc(math.sqrt(c / (1 - c) / 2) * x) / 2 for x in t])
    density = np.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    expected = (density * below**num_inputs).sum() * step
    found = dead_probability(phi("relu"), 2.0, c, num_inputs)
    assert found == pytest.approx(expected, rel=1e-9)


def test_smooth_units_never_die_and_flat_ones_always_do() -> None:
    for name in ("tanh", "gelu", "sigmoid", "leaky_relu"):
        assert dead_probability(phi(name), 100.0, 0.9, 8) == 0
    assert dead_probability(phi("sgn"), 1.0, 0.3, 8) == pytest.approx(1)


def test_what_is_not_known_is_nan_and_negative_correlations_are_none() -> None:
    q = [0.0, math.inf, math.nan, 1.0, 1.0]
    c = [0.5, 0.5, 0.5, math.nan, -0.2]
    found = dead_probability(phi("relu"), q, c, 3)
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, True, False])
    assert found[-1] == pytest.approx(1 / 8)


def test_where_nothing_is_known_nothing_is_computed() -> None:
    assert np.isnan(dead_probability(phi("relu"), [math.inf, math.nan], 0.5, 3)).all()
