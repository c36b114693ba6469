"""Hermite expansions, correlation maps and where they lead, against closed forms and networks."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import layer_moments, phi, plain
from numpy.polynomial.hermite_e import hermegauss

from fathom.activations import ACTIVATIONS
from fathom.activations.base import Activation, slope_by_autograd
from fathom.registry import Choice
from fathom.theory.correlation import (
    Expansion,
    correlation_map,
    expand,
    expand_slope,
    fixed_correlation,
    hermite_coefficients,
    kernel,
    kernel_slope,
    propagate_correlation,
)
from fathom.theory.gaussian import moments, sample
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity, nonlinearity
from fathom.theory.predict import predict
from fathom.theory.stochastic import simulate_gradient_ratio

CORRELATIONS = np.array([0.0, 0.3, 0.9, 0.99, 0.9999, 1.0])
PAIRS = [(1.0, 1.0), (0.5, 2.0), (1e-4, 1e-4)]
Kernel = Callable[[float, float, Floats], Floats]


def network(*phis: Nonlinearity, scale: float, bias: float = 0.0, **rest: float) -> Network:
    depth = len(phis)
    return Network(
        activations=phis,
        widths=(8,) * depth,
        num_features=8,
        weight_scale=(scale,) * depth,
        bias_variance=(bias,) * depth,
        **rest,  # type: ignore[arg-type]  # of the fields left, all are numbers
    )


def variances(net: Network) -> Floats:
    return layer_moments(net)[0]


# --- expansions


def test_relu_has_the_coefficients_of_the_double_factorial() -> None:
    at = sample(phi("relu"), 2.0)
    even = [math.prod(range(k - 3, 0, -2)) / math.sqrt(math.factorial(k)) for k in (2, 4, 6, 8)]
    expected = np.array([1, 0.5 * math.sqrt(2 * math.pi), *np.ravel([(a, 0) for a in even])])
    found = hermite_coefficients(at, at.value, 10)[:, 0]
    expected = expected[:10] * math.sqrt(2.0 / (2 * math.pi)) * [1, 1, 1, 1, -1, 1, 1, 1, -1, 1]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_exp_has_the_coefficients_of_its_generating_function() -> None:
    q_Q = np.array([0.3, 1.7])
    at = sample(phi("exp"), q_Q)
    orders = np.arange(12)[:, None]
    factorials = np.array([[math.factorial(k)] for k in range(12)], dtype=float)
    expected = np.exp(q_Q / 2) * q_Q ** (orders / 2) / np.sqrt(factorials)
    np.testing.assert_allclose(hermite_coefficients(at, at.value, 12), expected, atol=1e-14)


def test_high_orders_stay_finite_in_the_widest_window() -> None:
    at = sample(phi("relu"), 1.0, window=38.0)
    found = hermite_coefficients(at, at.value, 300)
    assert np.isfinite(found).all()
    assert np.square(found).sum() < 0.5  # Bessel's inequality; E relu^2 = 1/2


def _arc_cosine(a: float, b: float, c: Floats) -> Floats:
    """Cho & Saul 2009, order 1."""
    return math.sqrt(a * b) * (np.sqrt(1 - c * c) + c * (math.pi - np.arccos(c))) / (2 * math.pi)


def _arc_sine(a: float, b: float, c: Floats) -> Floats:
    """Williams 1997."""
    cosine = 2 * c * math.sqrt(a * b) / math.sqrt((1 + 2 * a) * (1 + 2 * b))
    return 2 / math.pi * np.arcsin(cosine)


# The second number is the relative error that a kink or a jump allows with 200 coefficients.
VALUE_KERNELS: dict[str, tuple[Kernel, float]] = {
    "relu": (_arc_cosine, 2e-8),
    "abs": (lambda a, b, c: 2 * (_arc_cosine(a, b, c) + _arc_cosine(a, b, -c)), 2e-8),
    "sgn": (lambda a, b, c: 2 / math.pi * np.arcsin(c), 3e-5),
    "erf": (_arc_sine, 1e-11),
    "sin": (lambda a, b, c: np.exp(-(a + b) / 2) * np.sinh(math.sqrt(a * b) * c), 1e-13),
    "cos": (lambda a, b, c: np.exp(-(a + b) / 2) * np.cosh(math.sqrt(a * b) * c), 1e-13),
    "exp": (lambda a, b, c: np.exp((a + b) / 2 + math.sqrt(a * b) * c), 1e-13),
    "square": (lambda a, b, c: a * b * (1 + 2 * c * c), 1e-13),
}
SLOPE_KERNELS: dict[str, tuple[Kernel, float]] = {
    "relu": (lambda a, b, c: (math.pi - np.arccos(c)) / (2 * math.pi), 1e-5),
    "sin": (VALUE_KERNELS["cos"][0], 1e-13),
    "cos": (VALUE_KERNELS["sin"][0], 1e-13),
    "exp": (VALUE_KERNELS["exp"][0], 1e-13),
    "square": (lambda a, b, c: 4 * math.sqrt(a * b) * c, 1e-13),
}


@pytest.mark.parametrize("variance", PAIRS)
@pytest.mark.parametrize("name", VALUE_KERNELS)
def test_value_kernels_are_the_closed_forms(name: str, variance: tuple[float, float]) -> None:
    closed_form, tolerance = VALUE_KERNELS[name]
    first, second = (expand(phi(name), q).pick(0) for q in variance)
    expected = closed_form(*variance, CORRELATIONS)
    found = kernel(first, second, CORRELATIONS)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-16)


@pytest.mark.parametrize("variance", PAIRS)
@pytest.mark.parametrize("name", SLOPE_KERNELS)
def test_slope_kernels_are_the_closed_forms(name: str, variance: tuple[float, float]) -> None:
    closed_form, tolerance = SLOPE_KERNELS[name]
    expected = closed_form(*variance, CORRELATIONS)
    first, second = (expand_slope(phi(name), q).pick(0) for q in variance)
    found = kernel(first, second, CORRELATIONS)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-16)
    # By differentiating the other series: d/dc E[phi phi] = sqrt(q_1 q_2) E[phi' phi'].
    first, second = (expand(phi(name), q).pick(0) for q in variance)
    found = kernel_slope(first, second, CORRELATIONS) / math.sqrt(math.prod(variance))
    np.testing.assert_allclose(found, expected, rtol=10 * tolerance, atol=1e-15)


@pytest.mark.parametrize("name", ["relu", "erf", "sin", "exp"])
def test_kernels_hold_for_negative_correlations(name: str) -> None:
    both = expand(phi(name), 1.3).pick(0)
    c = np.array([-0.95, -0.5, -0.1])
    expected = VALUE_KERNELS[name][0](1.3, 1.3, c)
    np.testing.assert_allclose(kernel(both, both, c), expected, atol=1e-8)


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "mish", "sigmoid", "softplus"])
def test_kernels_are_the_double_integral(name: str) -> None:
    q, other, c = 0.7, 1.6, 0.8
    z, weight = hermegauss(120)
    u = np.sqrt(other) * (c * z[:, None] + math.sqrt(1 - c * c) * z)
    weights = np.outer(weight, weight) / (2 * math.pi)
    chosen = phi(name)
    for function, taken in ((chosen.value, expand), (chosen.slope, expand_slope)):
        expected = (weights * function(np.sqrt(q) * z)[:, None] * function(u)).sum()
        found = kernel(taken(chosen, q), taken(chosen, other), c).item()
        assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    "name", ["relu", "selu", "hardtanh", "hardswish", "elu", "tanh", "gelu", "sigmoid"]
)
def test_chi_1_is_the_sum_of_k_a_k_squared(name: str) -> None:
    q_Q = np.array([0.05, 1.0, 20.0])
    both = expand(phi(name), q_Q)
    found = kernel_slope(both, both, 1.0) / q_Q
    np.testing.assert_allclose(found, moments(phi(name), q_Q).slope_square, rtol=1e-11)


def test_a_kink_that_nobody_declared_is_seen() -> None:
    def bent(h: torch.Tensor) -> torch.Tensor:
        return torch.where(h > 0.7, 3 * h - 1.4, h)

    given = Activation(name="bent", value=bent, slope=slope_by_autograd(bent))
    both = expand(nonlinearity(given), 2.0).pick(0)
    # h + 2 relu(h - 0.7): slope 1 below, 3 above; two inputs almost alike share their side.
    above = 0.5 * math.erfc(0.7 / math.sqrt(2 * 2.0))
    assert kernel_slope(both, both, 1.0) / 2.0 == pytest.approx(1 + 8 * above, rel=1e-12)


# --- maps


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "hardtanh", "sgn"])
@pytest.mark.parametrize("bias", [0.0, 0.4])
def test_equal_inputs_stay_equal(name: str, bias: float) -> None:
    q_Q = np.array([1e-30, 1.0, 1e4, 1e60])
    mapped = correlation_map(expand(phi(name), q_Q), 1.0, 1.5, bias)
    np.testing.assert_allclose(mapped, 1.0, rtol=1e-13)


def test_no_scale_of_inputs_matters_to_a_homogeneous_activation() -> None:
    q_Q = np.array([1e-200, 1e-9, 1.0, 1e9, 1e120])
    mapped = correlation_map(expand(phi("relu"), q_Q), 0.6, 2.0, 0.0)
    np.testing.assert_allclose(mapped, 2 * _arc_cosine(1, 1, np.array(0.6)), rtol=1e-12)


def test_correlation_on_the_edge_of_chaos_falls_as_one_over_depth() -> None:
    """1 - c_l -> 2 / (f''(1) l); Hayou et al. 2019, arXiv:1902.06853; f''(1) worked out apart."""
    scale, bias, layers = 1.76095, 0.05, 3000
    q = layer_moments(plain(phi("tanh"), scale, width=8, bias_variance=bias))[0][-1]
    both = expand(phi("tanh"), q).pick(0)
    orders = np.arange(len(both.coefficients))
    curvature = scale / q * (orders * (orders - 1) * both.coefficients**2).sum()
    assert curvature == pytest.approx(0.32409, abs=5e-6)
    assert decay(both, scale, bias, layers) * layers * curvature / 2 == pytest.approx(1, abs=0.005)


def test_correlation_of_relu_falls_as_one_over_depth_squared() -> None:
    """1 - c_l -> 9 pi^2 / (2 l^2); the ratio is .991 at l = 4000."""
    layers = 4000
    found = decay(expand(phi("relu"), 1.0).pick(0), 2.0, 0.0, layers)
    assert found * 2 * layers**2 / (9 * math.pi**2) == pytest.approx(0.991, abs=0.005)
    exact = np.array(0.3)
    for _ in range(layers):
        exact = 2 * _arc_cosine(1, 1, exact)
    assert found == pytest.approx(1 - exact, rel=0.005)


def decay(expansion: Expansion, scale: float, bias: float, layers: int) -> float:
    c: Floats | float = 0.3
    for _ in range(layers):
        c = correlation_map(expansion, c, scale, bias)
    return 1 - float(c)


# Columns: activation, s_w^2, q*, xi_c and, where it is neither 0 nor 1, c*; worked out apart.
FIXED = [
    ("tanh", 2, 0.617965, 21.7, None),
    ("tanh", 25 / 9, 1.17848, 12.1, None),
    ("tanh", 1.28, 0.153147, 124.9, None),
    ("tanh", 2.56, 1.01745, 13.7, None),
    ("tanh", 128, 118.657, 2.61, None),
    ("erf", 2, 0.880751, 12.3, None),
    ("erf", 1, 0.141924, 120.5, None),
    ("sin", 2, 0.796812, 9.65, None),
    ("selu", 1, 1.0, 33.6, None),
    ("selu", 1.28, 3.24609, 15.0, None),
    ("elu", 1.28, 0.162755, 95.4, 0.477),
    ("sigmoid", 128, 57.4448, 10.9, 0.977),
    ("sigmoid", 256, 118.754, 3.46, 0.919),
    ("sigmoid", 2, 0.55529, 0.436, 1.0),
    ("sigmoid", 1, 0.264687, 0.346, 1.0),
]


@pytest.mark.parametrize(("name", "scale", "q", "depth_scale", "correlation"), FIXED)
def test_depth_scales_are_those_of_the_table(
    name: str, scale: float, q: float, depth_scale: float, correlation: float | None
) -> None:
    found = fixed_correlation(phi(name), q, scale, 0.0)
    digits = len(str(depth_scale).split(".")[1])
    assert found.depth_scale == pytest.approx(depth_scale, abs=0.51 * 10**-digits)
    if correlation is not None:
        assert found.correlation == pytest.approx(correlation, abs=5.1e-4)
    both = expand(phi(name), q).pick(0)
    mapped = correlation_map(both, found.correlation, scale, 0.0)
    assert mapped == pytest.approx(found.correlation, abs=1e-9)


@pytest.mark.parametrize("name", ["tanh", "erf", "sin"])
def test_an_odd_activation_without_bias_forgets_in_the_chaotic_phase(name: str) -> None:
    q, scale = {"tanh": (0.617965, 2), "erf": (0.880751, 2), "sin": (0.796812, 2)}[name]
    assert fixed_correlation(phi(name), q, scale, 0.0).correlation == 0
    assert 0 < fixed_correlation(phi(name), q, scale, 0.01).correlation < 1


def test_relu_is_on_the_edge_of_chaos() -> None:
    assert fixed_correlation(phi("relu"), 1.0, 2.0, 0.0) == (1, pytest.approx(1), math.inf)


def test_a_jump_drives_inputs_apart() -> None:
    """The map of sgn is 2/pi asin(c): infinitely steep at 1, 2/pi at 0."""
    found = fixed_correlation(phi("sgn"), 1.0, 1.0, 0.0)
    assert found.correlation == 0
    assert found.slope == pytest.approx(2 / math.pi)


# --- through networks


def test_relu_layers_follow_the_arc_cosine_map() -> None:
    net = network(*[phi("relu")] * 5, scale=2.0, input_cosine=-0.4, input_square=0.112)
    expected = [np.array(-0.4)]
    for _ in range(4):
        expected.append(2 * _arc_cosine(1, 1, expected[-1]))
    np.testing.assert_allclose(propagate_correlation(net, variances(net)), expected, rtol=1e-7)


def test_each_layer_has_its_own_activation_and_scales() -> None:
    net = Network(
        activations=(phi("sin"), phi("relu"), phi("sin"), phi("tanh")),
        widths=(8, 16, 4, 8),
        num_features=3,
        weight_scale=(1.5, 0.7, 2.0, 1.1),
        bias_variance=(0.1, 0.0, 0.3, 0.2),
        input_square=0.5,
        input_cosine=0.2,
    )
    q_L = variances(net)
    covariance = [1.5 * 0.5 * 0.2 + 0.1]
    kernels = [VALUE_KERNELS[name][0] for name in ("sin", "relu", "sin")]
    for row, (closed_form, scale, bias) in enumerate(
        zip(kernels, (0.7, 2.0, 1.1), (0.0, 0.3, 0.2), strict=True)
    ):
        c = np.array(covariance[-1] / q_L[row])
        covariance.append(scale * float(closed_form(q_L[row], q_L[row], c)) + bias)
    np.testing.assert_allclose(propagate_correlation(net, q_L), covariance / q_L, rtol=1e-8)


def test_what_is_not_known_is_nan() -> None:
    relu, exp, pole = phi("relu"), phi("exp"), phi("tan")
    net = network(relu, relu, relu, relu, scale=2.0, input_cosine=0.5)
    for hole in (0.0, math.inf, math.nan):
        found = propagate_correlation(net, np.array([2.0, 2.0, hole, 2.0]))
        np.testing.assert_array_equal(np.isnan(found), [False, False, False, True])
        assert np.isnan(propagate_correlation(net, np.array([hole, 2.0, 2.0, 2.0]))).all()
    unknown = network(relu, relu, scale=2.0, input_cosine=math.nan)
    assert np.isnan(propagate_correlation(unknown, np.array([2.0, 2.0]))).all()
    for bad, q in ((exp, 1e9), (pole, 1.0)):
        c_L = propagate_correlation(network(bad, relu, scale=2.0, input_cosine=0.5), np.full(2, q))
        np.testing.assert_array_equal(np.isnan(c_L), [False, True])
        assert np.isnan(fixed_correlation(bad, q, 2.0, 0.0)).all()


SETTINGS = {  # activation, s_w^2, s_b^2
    "ordered": ("tanh", 1.0, 0.05),
    "edge of chaos": ("tanh", 1.76095, 0.05),
    "chaotic": ("tanh", 3.0, 0.05),
    "relu": ("relu", 2.0, 0.0),
    "erf": ("erf", 2.0, 0.0),
    "gelu": ("gelu", 2.30252, 0.05),
    "selu": ("selu", 1.0, 0.0),
    "sigmoid": ("sigmoid", 1.0, 0.0),
    "gelu at he": ("gelu", 2.0, 0.0),
}


@pytest.mark.slow
def test_networks_correlate_their_inputs_as_predicted() -> None:
    """n = 512, 50 layers, two inputs; every setting scales the same draws.

    40 networks would leave a standard error of 0.034 to gelu at He, whose variance hangs on an
    unstable fixed point. 240 leave 0.014, and 4 of them are below 0.06. `predict` simulates there;
    its own 80 networks add a standard error of 0.024, so that 3000 are asked, too.
    """
    num, width, depth, start = 240, 512, 50, 0.5
    rng = torch.Generator().manual_seed(20260)
    first, other = torch.linalg.qr(torch.randn(num, width, 2, generator=rng))[0].unbind(2)
    inputs = torch.stack([first, start * first + math.sqrt(1 - start**2) * other], dim=2)
    x = {name: inputs * math.sqrt(width) for name in SETTINGS}
    measured = {name: np.empty(depth) for name in SETTINGS}
    for layer in range(depth):
        weight = torch.empty(num, width, width).normal_(0, width**-0.5, generator=rng)
        bias = torch.randn(num, width, 1, generator=rng)
        for name, (act, weight_scale, bias_variance) in SETTINGS.items():
            h = math.sqrt(weight_scale) * (weight @ x[name]) + math.sqrt(bias_variance) * bias
            unit = torch.nn.functional.normalize(h.double(), dim=1, eps=0.0)
            measured[name][layer] = (unit[..., 0] * unit[..., 1]).sum(1).mean()
            x[name] = ACTIVATIONS.build(Choice(act)).value(h)
    for name, (act, weight_scale, bias_variance) in SETTINGS.items():
        net = plain(phi(act), weight_scale, width=width, depth=depth, bias_variance=bias_variance)
        net = replace(net, input_cosine=start)
        predicted = predict(net, 1)
        assert predicted.method == ("simulation" if name == "gelu at he" else "expansion")
        assert np.abs(measured[name] - predicted.pre_cosine).max() <= 0.06, name
    many = simulate_gradient_ratio(net, 3000, np.random.default_rng(31))
    assert np.abs(measured["gelu at he"] - many.cosine).max() <= 0.06
