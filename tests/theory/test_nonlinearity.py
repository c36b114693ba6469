"""What is found out about an activation from its functions alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS, custom
from fathom.registry import Choice
from fathom.theory.gaussian import moments
from fathom.theory.nonlinearity import Nonlinearity, legendre, nonlinearity

SMOOTH = ["tanh", "sigmoid", "softsign", "erf", "gelu", "silu", "mish", "softplus", "elu"]
SMOOTH += ["sin", "cos", "square", "identity", "exp"]


def undeclared(name: str) -> Nonlinearity:
    """Build an activation that does not say where its kinks are."""
    return nonlinearity(replace(ACTIVATIONS.build(Choice(name)), kinks=()))


def own(function: Callable[[Tensor], Tensor]) -> Nonlinearity:
    return nonlinearity(custom(function, name="own"))


# --- kinks and jumps


@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_activation_has_no_kinks(name: str) -> None:
    assert undeclared(name).kinks == ()


@pytest.mark.parametrize(
    ("name", "kinks"),
    [
        ("relu", (0.0,)),
        ("leaky_relu", (0.0,)),
        ("selu", (0.0,)),
        ("abs", (0.0,)),
        ("relu6", (0.0, 6.0)),
        ("hardtanh", (-1.0, 1.0)),
        ("hardswish", (-3.0, 3.0)),
    ],
)
def test_kinks_are_found_undeclared(name: str, kinks: tuple[float, ...]) -> None:
    found = undeclared(name)
    assert found.kinks == pytest.approx(kinks, abs=1e-12)
    assert found.jumps == ()


def test_a_step_is_a_jump_that_passes_no_gradient() -> None:
    found = undeclared("sgn")
    assert found.kinks == found.jumps == (0.0,)
    assert found.slope_is_zero
    assert not undeclared("relu").slope_is_zero


@pytest.mark.parametrize(
    ("function", "kinks", "jumps"),
    [
        (lambda h: torch.relu(h - 0.1234567), (0.1234567,), ()),
        (lambda h: torch.relu(h + 123.4567), (-123.4567,), ()),
        (lambda h: torch.where(h > 1.3, h + 0.5, torch.tanh(h)), (1.3,), (1.3,)),
        (lambda h: (h > 1 / 3).to(h.dtype), (1 / 3,), (1 / 3,)),
        (lambda h: torch.relu(h) + torch.relu(h - 0.03), (0.0, 0.03), ()),
        (lambda h: 1e-3 * torch.relu(h) + torch.tanh(h), (0.0,), ()),
        (lambda h: torch.tanh(50 * h), (), ()),
        (lambda h: torch.exp(h * h / 4), (), ()),
    ],
    ids=["relu", "far", "where", "third", "two", "weak", "steep", "overflow"],
)
def test_kinks_of_a_users_function_are_found(
    function: Callable[[Tensor], Tensor], kinks: tuple[float, ...], jumps: tuple[float, ...]
) -> None:
    found = own(function)
    assert found.kinks == pytest.approx(kinks, abs=1e-12)
    assert found.jumps == pytest.approx(jumps, abs=1e-12)


def test_declared_kinks_are_kept() -> None:
    activation = custom(torch.tanh, name="own", kinks=(0.25,))
    assert nonlinearity(activation).kinks == (0.25,)


# --- poles


@pytest.mark.parametrize(
    ("found", "value", "slope"),
    [
        (undeclared("reciprocal"), True, True),
        (undeclared("tan"), True, True),
        (own(lambda h: h.abs().rsqrt()), True, True),
        (own(lambda h: (h - 0.7).abs().rsqrt()), True, True),
        (own(lambda h: h.abs().log()), False, True),
        (own(lambda h: h.abs().sqrt()), False, True),
        (own(lambda h: h.sqrt()), True, True),
        (undeclared("exp"), False, False),
        (undeclared("square"), False, False),
        (undeclared("relu"), False, False),
        (undeclared("sgn"), False, False),
    ],
    ids=lambda found: found.name if isinstance(found, Nonlinearity) else None,
)
def test_poles_without_second_moment_are_told(
    found: Nonlinearity, value: bool, slope: bool
) -> None:
    assert (found.value_diverges, found.slope_diverges) == (value, slope)


@pytest.mark.parametrize("place", [7.123, 0.25, -3.0, 123.4567])
@pytest.mark.parametrize("power", [1, 2, 0.75])
def test_a_pole_is_found_where_the_function_is_infinite_at_a_number(
    place: float, power: float
) -> None:
    found = own(lambda h: (h - place).abs() ** -power)
    assert found.kinks == pytest.approx((place,), rel=1e-9)
    assert found.value_diverges
    assert found.slope_diverges


def test_an_overflow_is_no_break() -> None:
    found = own(lambda h: torch.exp(h * h * h))
    assert found.kinks == ()
    assert not found.value_diverges


def test_the_poles_of_tan_are_where_they_are() -> None:
    near = [kink for kink in undeclared("tan").kinks if abs(kink) < 15]
    np.testing.assert_allclose(near, np.pi * (np.arange(-5, 5) + 0.5), atol=1e-12)


# --- panels and the way beyond the largest argument


def test_panels_follow_a_bend_that_the_usual_ones_would_miss() -> None:
    """Of tanh(200 (h - 1/3)) 16 nodes between 1/4 and 1/2 would see little."""
    found = own(lambda h: torch.tanh(200 * (h - 1 / 3)))
    width = np.diff(found.edges)
    middle = found.edges[:-1] + width / 2
    assert width[np.argmin(np.abs(middle - 1 / 3))] < 0.05


def test_panels_follow_a_bend_beside_which_a_huge_value_lies() -> None:
    found = own(lambda h: torch.exp(h) + torch.tanh(200 * (h - 1 / 3)))
    q = 0.01
    near = np.linspace(-1.2, 1.2, 400_001)
    density = np.exp(-near * near / 2 / q) / np.sqrt(2 * np.pi * q)
    slope = np.exp(near) + 200 / np.cosh(200 * (near - 1 / 3)) ** 2
    expected = float(np.sum(density * slope**2) * (near[1] - near[0]))
    assert moments(found, q).slope_square[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "h", "value", "slope"),
    [
        ("relu", 1e40, 1e40, 1.0),
        ("relu", -1e40, 0.0, 0.0),
        ("leaky_relu", -1e40, -1e38, 0.01),
        ("gelu", 1e40, 1e40, 1.0),
        ("square", 1e40, 1e80, 2e40),
        ("tanh", -1e40, -1.0, 0.0),
        ("softplus", 1e40, 1e40, 1.0),
        ("exp", 1e40, np.inf, np.inf),
    ],
)
def test_functions_go_on_as_powers(name: str, h: float, value: float, slope: float) -> None:
    """They are asked up to 1e6 only, as what a user brings may fail further out."""
    found, at = undeclared(name), np.array([h])
    assert found.value(at)[0] == pytest.approx(value, rel=1e-9)
    assert found.slope(at)[0] == pytest.approx(slope, rel=1e-9)


def test_a_wave_does_not_grow_beyond_the_largest_argument() -> None:
    assert np.abs(undeclared("sin").value(np.array([1e7, -1e40, 1e300]))).max() <= 1


def test_legendre_is_exact_for_polynomials_of_degree_31() -> None:
    nodes, weights = legendre(np.array([-1.0, 0.5, 0.5, 2.0]))
    expected = (2.0**32 - 1) / 32
    assert float((weights * nodes**31).sum()) == pytest.approx(expected, rel=1e-14)
