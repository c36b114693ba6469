"""Gains, edges of chaos and half-stable points against published constants and closed forms."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from named import activation, own
from networks import phi
from scipy import optimize

from fathom.theory.fate import fate
from fathom.theory.gains import (
    backward_gain,
    edge_of_chaos,
    forward_gain,
    half_stable,
    small_signal_scale,
)
from fathom.theory.gaussian import moments, sample
from fathom.theory.meanfield import chi, map_slope, variance_map
from fathom.theory.nonlinearity import Nonlinearity

# --- a table of gains and edges of chaos, as it was verified: gains forward and backward, chi at
# the forward gain; then (s_w^2, q*, V') at s_b^2 = .05 and at 0, where the network has one


class Row(NamedTuple):
    forward: float
    backward: float
    chi: float
    with_bias: tuple[float, float, float] | None
    without_bias: tuple[float, float, float] | None = None


TABLE = {
    "relu": Row(1.414214, 1.414214, 1, None),
    "leaky .01": Row(1.414143, 1.414143, 1, None),
    "leaky .1": Row(1.407195, 1.407195, 1, None),
    "abs": Row(1, 1, 1, None),
    "tanh": Row(1.592537, 1.467414, 1.17781, (1.76095, 0.57005, 0.51819)),
    "erf": Row(1.467167, 1.325218, 1.22570, (1.37584, 0.51718, 0.49156)),
    "sin": Row(1.520867, 1.327251, 1.31304, (1.50207, 0.55207, 0.49793)),
    "hardtanh": Row(1.392036, 1.210287, 1.32289, (1.16554, 0.46386, 0.53533)),
    "softsign": Row(2.337533, 2.095781, 1.24401, (3.14125, 0.41218, 0.49748)),
    "sigmoid": Row(
        1.846229, 4.722646, 0.15283, (103.12849, 45.73448, 0.06012), (103.00755, 45.62428, 0.06025)
    ),
    "gelu": Row(1.533530, 1.481114, 1.07203, (2.30252, 0.72204, 1.08511)),
    "silu": Row(1.676532, 1.623320, 1.06663, (2.72861, 0.82658, 1.09987)),
    "mish": Row(1.486848, 1.444755, 1.05912, (2.10480, 0.90540, 1.01921)),
    "hardswish": Row(1.736657, 1.670076, 1.08132, (2.97434, 0.78155, 1.12159)),
    "elu": Row(1.245198, 1.223429, 1.03590, (1.53372, 1.30091, 0.85979)),
    "selu": Row(1.000000, 0.966026, 1.07157, (0.90177, 0.82730, 0.73705)),
    "softplus": Row(1.041867, 1.846229, 0.31846, None),
    "spline natural": Row(
        1.844904, 4.712632, 0.15326, (55.79788, 850.86744, 0.95853), (55.78548, 845.1274, 0.9584)
    ),
    "spline clamped": Row(
        1.845305, 4.717035, 0.15304, (74.77384, 344.31642, 0.88213), (74.74221, 342.66091, 0.8819)
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_gains_are_those_of_the_table(name: str) -> None:
    row, found = TABLE[name], activation(name)
    assert forward_gain(found) == pytest.approx(row.forward, abs=1e-6)
    assert backward_gain(found) == pytest.approx(row.backward, abs=1e-6)
    assert chi(found, 1.0, forward_gain(found) ** 2)[0] == pytest.approx(row.chi, abs=6e-6)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("bias", [0.05, 0.0])
def test_edges_of_chaos_are_those_of_the_table(name: str, bias: float) -> None:
    expected = TABLE[name].with_bias if bias else TABLE[name].without_bias
    found = edge_of_chaos(activation(name), bias)
    assert len(found) == (expected is not None)
    for point in found:
        assert expected is not None
        numbers = (point.weight_scale, point.q, point.map_slope)
        assert numbers == pytest.approx(expected, rel=0, abs=6e-6 if point.q < 100 else 6e-5)


@pytest.mark.parametrize("name", TABLE)
def test_an_edge_of_chaos_is_a_fixed_point_with_chi_1(name: str) -> None:
    found = activation(name)
    for bias in (0.0, 0.05, 0.3):
        for scale, its_bias, q, slope in edge_of_chaos(found, bias):
            assert its_bias == bias
            assert variance_map(found, q, scale, bias)[0] == pytest.approx(q, rel=1e-12)
            assert chi(found, q, scale)[0] == pytest.approx(1, rel=1e-12)
            assert map_slope(found, q, scale)[0] == pytest.approx(slope, rel=1e-12)


def test_edges_of_chaos_in_closed_form() -> None:
    """Of cos, q - coth q = s_b^2; of exp, q = 1 + s_b^2 with V' = 2; of square, q = 4 s_b^2."""
    bias = 0.05
    (cos,) = edge_of_chaos(phi("cos"), bias)
    assert cos.q == pytest.approx(
        optimize.brentq(lambda q: q - 1 / math.tanh(q) - bias, 0.5, 3), rel=1e-12
    )
    (exp,) = edge_of_chaos(phi("exp"), bias)
    assert exp == pytest.approx((math.exp(-2 * (1 + bias)), bias, 1 + bias, 2), rel=1e-11)
    (square,) = edge_of_chaos(phi("square"), bias)
    assert square == pytest.approx((1 / (16 * bias), bias, 4 * bias, 3 / 2), rel=1e-11)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", 2),
        ("leaky .1", 2 / 1.01),
        ("abs", 1),
        ("tanh", 1),
        ("erf", math.pi / 4),
        ("sin", 1),
        ("hardtanh", 1),
        ("softsign", 1),
        ("gelu", 4),
        ("silu", 4),
        ("hardswish", 4),
        ("mish", 1 / 0.36),
        ("elu", 1),
        ("selu", 2 / (1.0507009873554805**2 * (1 + 1.6732632423543772**2))),
    ],
)
def test_small_signals_are_kept_by_the_mean_of_both_slopes(name: str, expected: float) -> None:
    assert small_signal_scale(activation(name)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "at_q", "scale"),
    [
        ("tanh", 1e-10, 1.0000000001999998),
        ("erf", 1e-10, 0.7853981635545282),
        ("softsign", 1e-10, 1.0000319154010242),
        ("gelu", 1e-10, 3.9999999989814077),
        ("mish", 1e-10, 2.7777777775061723),
        ("elu", 1e-10, 1.00000797880927),
        ("selu", 1e-10, 0.47677662379431446),
    ],
)
def test_critical_scale_at_a_tiny_variance(name: str, at_q: float, scale: float) -> None:
    found = moments(phi(name), at_q)
    assert 1 / found.slope_square[0] == pytest.approx(scale, rel=1e-12)


@pytest.mark.parametrize("name", ["sigmoid", "cos", "softplus", "exp", "square", "tan", "sgn"])
def test_what_does_not_pass_0_with_a_slope_has_no_small_signal_limit(name: str) -> None:
    assert small_signal_scale(phi(name)) is None


# --- half-stable points


@pytest.mark.parametrize(
    ("name", "q", "weight_scale", "bias_variance"),
    [
        ("gelu", 3.561552812808754, 1.9830582574375484, 0.17292239075606552),
        ("silu", 14.320173618026118, 1.988004678269491, 0.5551431707215393),
        ("mish", 1.6701691324780235, 2.0135240697195345, 0.0945217873706623),
        ("hardswish", 4.80385594888066, 1.9732895836424584, 0.5071458487885421),
    ],
)
def test_half_stable_points_are_the_published_ones(
    name: str, q: float, weight_scale: float, bias_variance: float
) -> None:
    """Source: Roberts, Yaida & Hanin 2022, arXiv:2106.10165; SWISH with C_b = .555, not .0555."""
    found = half_stable(phi(name))
    assert found is not None
    assert found.weight_scale == pytest.approx(weight_scale, abs=1e-9)
    assert found.bias_variance == pytest.approx(bias_variance, abs=1e-9)
    assert found.q == pytest.approx(q, abs=1e-8)
    assert found.map_slope == pytest.approx(1, abs=1e-12)
    assert chi(phi(name), found.q, found.weight_scale)[0] == pytest.approx(1, abs=1e-12)
    held = variance_map(phi(name), found.q, found.weight_scale, found.bias_variance)
    assert held[0] == pytest.approx(found.q, rel=1e-12)


@pytest.mark.parametrize("name", ["tanh", "erf", "relu", "softplus", "sigmoid", "elu", "tan"])
def test_most_activations_have_no_half_stable_point(name: str) -> None:
    assert half_stable(phi(name)) is None


def test_half_stable_point_of_a_cubic_in_closed_form() -> None:
    """h^3 - h + c: m_2 = 15 q^3 - 6 q^2 + q + c^2 and mu_2 = 27 q^2 - 6 q + 1 give q = 1/3."""
    found = half_stable(own(lambda h: h**3 - h + 0.6))
    assert found == pytest.approx((1 / 2, 2 / 9 - 0.6**2 / 2, 1 / 3, 1), rel=1e-10)
    assert half_stable(own(lambda h: h**3 - h + 1)) is None  # s_b^2 would be negative


# --- constants of others


@pytest.mark.parametrize(
    ("found", "exact", "published"),
    [
        (phi("relu"), 1.712859, 1.71396),
        (phi("gelu"), 1.700926, 1.70150),
        (phi("silu"), 1.787187, 1.78813),
        (phi("elu"), 1.270843, 1.27160),
        (phi("tanh"), 1.592537, 1.59391),
        (phi("sigmoid"), 4.801313, 4.80384),
        (phi("selu"), 1.0, 1.00085),
        (phi("softplus"), 1.919126, 1.92033),
        (phi("softsign"), 2.337533, 2.33885),
        (phi("leaky_relu"), 1.704832, 1.70590),
        (phi("relu6"), 1.712859, 1.71315),
        (own(lambda h: -torch.nn.functional.softplus(-h)), 1.919126, 1.91935),
    ],
    ids=lambda value: value.name if isinstance(value, Nonlinearity) else None,
)
def test_gammas_of_normaliser_free_networks(
    found: Nonlinearity, exact: float, published: float
) -> None:
    """1 / std of phi(z); the published ones are means over random numbers.

    Source: Brock et al. 2021, arXiv:2102.06171.
    """
    at = moments(found, 1.0)
    gamma = 1 / math.sqrt(at.square[0] - at.mean[0] ** 2)
    assert gamma == pytest.approx(exact, abs=6e-7)
    assert gamma == pytest.approx(published, rel=1e-3)


def test_selu_is_the_solution_of_its_equations() -> None:
    """E phi = 0 and E phi^2 = 1 of lambda (h or alpha (e^h - 1)) give alpha, then lambda.

    Source: Klambauer et al. 2017, arXiv:1706.02515, sec. 2.
    """
    relu, elu = moments(phi("relu"), 1.0), moments(phi("elu"), 1.0)
    alpha = relu.mean[0] / (relu.mean[0] - elu.mean[0])
    square = relu.square[0] + alpha**2 * (elu.square[0] - relu.square[0])
    assert alpha == pytest.approx(1.6732632423543772, rel=1e-12)
    assert 1 / math.sqrt(square) == pytest.approx(1.0507009873554805, rel=1e-12)


def test_selu_has_the_jacobian_of_its_paper() -> None:
    """Of (mean, variance) at (0, 1): d mean / d variance = E[phi' z] / 2, and V'(1)."""
    at = sample(phi("selu"), 1.0)
    mean_slope = at.mean(at.slope * at.z)[0] / 2
    variance_slope = map_slope(phi("selu"), 1.0, 1.0)[0]
    assert mean_slope == pytest.approx(0.08883476, abs=5e-9)
    assert variance_slope == pytest.approx(0.78264788, abs=5e-9)
    assert math.hypot(mean_slope, variance_slope) == pytest.approx(0.7877, abs=5e-5)
    assert chi(phi("selu"), 1.0, 1.0)[0] == pytest.approx(1.07157, abs=5e-6)


@pytest.mark.parametrize(
    ("name", "gain", "q", "growth"),
    [("tanh", 5 / 3, 1.178, 1.2098), ("selu", 3 / 4, 0.023034, 1.003671)],
)
def test_what_the_gains_of_torch_lead_to(name: str, gain: float, q: float, growth: float) -> None:
    assert torch.nn.init.calculate_gain(name) == pytest.approx(gain)
    found = fate(phi(name), gain**2, 0.0, 1.0)
    assert found.q == pytest.approx(q, rel=5e-4)
    assert found.chi == pytest.approx(growth, abs=5e-5)


def test_the_scaled_tanh_of_lecun_is_nearly_critical() -> None:
    """Source: LeCun et al. 1998, Efficient backprop: 1.7159 tanh(2h/3), for phi(1) = 1."""
    scaled = own(lambda h: 1.7159 * torch.tanh(2 / 3 * h))
    assert scaled.value(np.ones(1))[0] == pytest.approx(0.99999726, abs=5e-9)
    found = fate(scaled, 1.0, 0.0, 1.0)
    assert found.q == pytest.approx(0.38244, abs=5e-6)
    assert found.chi == pytest.approx(1.0192, abs=5e-5)
