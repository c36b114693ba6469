"""Maps of one layer and propagation through many, against closed forms and drawn matrices."""

import math

import numpy as np
import pytest
import torch
from networks import phi, plain

from fathom.activations import custom
from fathom.theory.meanfield import chi, layer_moments, map_slope, propagate, variance_map
from fathom.theory.network import Network
from fathom.theory.nonlinearity import nonlinearity

Q = np.array([1e-3, 0.4, 1.0, 30.0])


# --- one layer


def test_maps_of_sin_are_the_closed_forms() -> None:
    wave = np.exp(-2 * Q)
    np.testing.assert_allclose(variance_map(phi("sin"), Q, 3.0, 0.2), 1.5 * (1 - wave) + 0.2)
    np.testing.assert_allclose(map_slope(phi("sin"), Q, 3.0), 3 * wave, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(chi(phi("sin"), Q, 3.0), 1.5 * (1 + wave), rtol=1e-12)


def test_a_step_keeps_any_signal_and_passes_no_gradient() -> None:
    assert variance_map(phi("sgn"), Q, 2.0, 0.5) == pytest.approx(2.5)
    np.testing.assert_allclose(map_slope(phi("sgn"), Q, 2.0), 0, atol=1e-12)
    assert chi(phi("sgn"), Q, 2.0) == pytest.approx(0, abs=0)


def test_the_map_slope_of_a_jump_is_that_of_the_map() -> None:
    step = nonlinearity(custom(lambda h: (h > 1.3).to(h.dtype), name="step"))
    width = 1e-4
    up, down = variance_map(step, np.array([1 + width, 1 - width]), 2.0, 0.0)
    assert map_slope(step, 1.0, 2.0)[0] == pytest.approx((up - down) / (2 * width), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "square", "slope_square"),
    [
        ("tanh", 0, 1),
        ("relu", 0, 1 / 2),
        ("leaky_relu", 0, (1 + 0.01**2) / 2),
        ("selu", 0, 1.0507009873554805**2 * (1 + 1.6732632423543772**2) / 2),
        ("gelu", 0, 1 / 4),
        ("sigmoid", 1 / 4, 1 / 16),
        ("cos", 1, 0),
        ("square", 0, 0),
    ],
)
def test_limits_at_0_come_from_both_sides(name: str, square: float, slope_square: float) -> None:
    assert variance_map(phi(name), 0.0, 1.0, 0.0)[0] == pytest.approx(square, rel=1e-14)
    assert chi(phi(name), 0.0, 1.0)[0] == pytest.approx(slope_square, rel=1e-14)


@pytest.mark.parametrize("name", ["reciprocal", "tan"])
def test_a_pole_has_no_second_moment(name: str) -> None:
    assert variance_map(phi(name), 1.0, 1.0, 0.0)[0] == math.inf
    assert chi(phi(name), 1.0, 1.0)[0] == math.inf


def test_the_logarithm_has_a_signal_but_no_gradient_of_finite_size() -> None:
    logarithm = nonlinearity(custom(lambda h: h.abs().log(), name="log"))
    expected = math.pi**2 / 8 + ((np.euler_gamma + math.log(2)) / 2) ** 2
    assert variance_map(logarithm, 1.0, 1.0, 0.0)[0] == pytest.approx(expected, rel=1e-11)
    assert chi(logarithm, 1.0, 1.0)[0] == math.inf
    # E ln|h| = (ln(2 q) - gamma - ln 4) / 2 gives V' = 2 E ln|h| / 2q at q = 1.
    mean = (math.log(2) - np.euler_gamma - math.log(4)) / 2
    assert map_slope(logarithm, 1.0, 1.0)[0] == pytest.approx(mean, rel=1e-11)


# --- many layers


def test_every_layer_uses_its_own_activation_weights_and_biases() -> None:
    network = Network(
        activations=(phi("relu"), phi("sin"), phi("square")),
        widths=(40, 20, 10),
        num_features=7,
        weight_scale=(2.0, 3.0, 0.5),
        bias_variance=(0.1, 0.2, 0.3),
        input_square=0.7,
    )
    found = propagate(network)
    q_1 = 2.0 * 0.7 + 0.1
    q_2 = 3.0 * q_1 / 2 + 0.2
    q_3 = 0.5 * (1 - math.exp(-2 * q_2)) / 2 + 0.3
    assert found.q == pytest.approx([q_1, q_2, q_3], rel=1e-12)
    chi_1, chi_2 = 3.0 / 2, 0.5 * (1 + math.exp(-2 * q_2)) / 2
    assert found.chi == pytest.approx([chi_1, chi_2], rel=1e-12)
    assert found.map_slope == pytest.approx([3.0 / 2, 0.5 * math.exp(-2 * q_2)], rel=1e-11)
    expected = [math.log10(chi_1 * chi_2 * 10 / 40) / 2, math.log10(chi_2 * 10 / 20) / 2, 0]
    assert found.gradient_log10 == pytest.approx(expected, abs=1e-12)
    assert [row.square[0] for row in found.moments[:2]] == pytest.approx(
        [q_1 / 2, (1 - math.exp(-2 * q_2)) / 2], rel=1e-12
    )
    assert len(found.moments) == 3
    assert found.lost_at is None


def test_the_gradient_ratio_is_that_of_the_rms_over_units() -> None:
    """Weights with variance s_w^2 / fan_in; layers of 30, 90 and 10 units, without activation."""
    widths, scale, num_draws = (30, 90, 10), 1.7, 4000
    network = Network(
        activations=(phi("identity"),) * 3,
        widths=widths,
        num_features=5,
        weight_scale=(scale,) * 3,
        bias_variance=(0.0,) * 3,
    )
    generator = torch.Generator().manual_seed(7)
    squares = np.empty((num_draws, 3))
    for draw in range(num_draws):
        grad = torch.randn(widths[2], generator=generator, dtype=torch.float64)
        squares[draw, 2] = last = float(grad.square().mean())
        for layer in (1, 0):
            shape = (widths[layer + 1], widths[layer])
            weight = torch.randn(shape, generator=generator, dtype=torch.float64)
            grad = grad @ weight * math.sqrt(scale / widths[layer])
            squares[draw, layer] = float(grad.square().mean())
        squares[draw] /= last
    expected = 10 ** (2 * propagate(network).gradient_log10)
    error = 4 * squares.std(0) / math.sqrt(num_draws)
    assert (error[:2] < 0.05 * expected[:2]).all()
    assert (np.abs(squares.mean(0) - expected) <= error + 1e-12).all()


def test_a_straight_line_multiplies_the_gradient_in_every_layer() -> None:
    found = propagate(plain(phi("relu"), 0.02, width=16))
    assert found.gradient_log10 == pytest.approx(np.arange(49, -1, -1) * -1.0, abs=1e-10)
    assert found.q == pytest.approx(0.02 * 0.01 ** np.arange(50), rel=1e-10)


# --- where numbers end


def test_a_signal_that_overflows_is_infinite_from_there_on() -> None:
    found = propagate(plain(phi("relu"), 2e10, width=8))  # q_l = 2 * 1e10^l ends at 1.8e308
    assert found.lost_at == 31
    assert found.q[:30] == pytest.approx(2 * 1e10 ** np.arange(1, 31), rel=1e-6)
    assert np.isinf(found.q[30:]).all()
    assert found.chi[:30] == pytest.approx(1e10)
    assert np.isnan(found.gradient_log10[0])


def test_a_signal_that_underflows_is_0_from_there_on() -> None:
    found = propagate(plain(phi("tanh"), 1e-10, width=8))
    assert found.lost_at is not None
    assert 31 <= found.lost_at <= 33
    assert (found.q[found.lost_at - 1 :] == 0).all()
    assert found.gradient_log10[0] == pytest.approx(-5.0 * 49, rel=1e-9)


def test_weights_of_0_pass_nothing() -> None:
    found = propagate(plain(phi("sigmoid"), 0.0, width=8, depth=4))
    assert found.lost_at == 1
    assert (found.q == 0).all()
    assert (found.chi == 0).all()
    assert found.gradient_log10 == pytest.approx([-math.inf] * 3 + [0])


def test_weights_of_0_with_biases_hold_the_biases() -> None:
    found = propagate(plain(phi("tanh"), 0.0, width=8, depth=4, bias_variance=0.3))
    assert found.q == pytest.approx(0.3)
    assert found.lost_at is None


@pytest.mark.parametrize("name", ["exp", "square"])
def test_growth_faster_than_exponential_ends_in_infinity(name: str) -> None:
    found = propagate(plain(phi(name), 1.0, width=8))
    assert found.lost_at is not None
    assert 2 <= found.lost_at <= 12
    assert np.isinf(found.q[found.lost_at - 1 :]).all()


def test_a_pole_loses_the_signal_behind_it() -> None:
    found = propagate(plain(phi("tan"), 1.0, width=8, depth=5))
    assert found.lost_at == 2
    assert found.q == pytest.approx([1.0] + [math.inf] * 4)


def test_a_step_has_no_gradient_below_the_top() -> None:
    found = propagate(plain(phi("sgn"), 1.0, width=8, depth=5))
    assert found.q == pytest.approx(1.0)
    assert found.gradient_log10 == pytest.approx([-math.inf] * 4 + [0])


def test_moments_of_a_layer_are_computed_once() -> None:
    assert layer_moments(phi("gelu"), 0.3) is not layer_moments(phi("gelu"), 0.31)
    gelu = phi("gelu")
    assert layer_moments(gelu, 0.3) is layer_moments(gelu, 0.3)
