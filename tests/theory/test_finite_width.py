"""Gradients at finite width: closed forms, published numbers, and networks that were drawn."""

import math

import numpy as np
import pytest
from networks import layer_moments, phi, plain

from fathom.registry import Value
from fathom.theory.finite_width import GradientStatistics, gradient_statistics
from fathom.theory.gaussian import moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats
from fathom.theory.stochastic import simulate_gradient_ratio

NATS = 2 * math.log(10)  # ln of a square for one decade of its root
HE = 2.0
XAVIER = 1.0
TANH_GAIN = (5 / 3) ** 2


def statistics(network: Network) -> GradientStatistics:
    return gradient_statistics(network, *layer_moments(network))


def variances(network: Network) -> Floats:
    """Return Var ln(|d_l|^2 / |d_L|^2), `[L]`."""
    return (NATS * statistics(network).log10_sd) ** 2


# Closed forms


@pytest.mark.parametrize(("orthogonal", "beta"), [(False, 5), (True, 3)])
def test_relu_is_log_normal(orthogonal: bool, beta: int) -> None:
    network = plain(phi("relu"), HE, width=128, orthogonal=orthogonal)
    found = statistics(network)
    passed = np.arange(49, -1, -1)
    np.testing.assert_allclose(variances(network), beta * passed / 128, atol=1e-12)
    np.testing.assert_allclose(NATS * found.log10_ratio, -beta * passed / 256, atol=1e-12)
    assert found.trustworthy  # q varies by 138 %, but the slopes do not depend on it


def test_unequal_widths_count_by_their_inverse_and_leave_their_own_ratio() -> None:
    widths = (300, 50, 200, 80, 120)
    network = Network(
        activations=(phi("relu"),) * 5,
        widths=widths,
        num_features=20,
        weight_scale=(3.0, 2.0, 1.0, 4.0, 0.5),
        bias_variance=(0.0,) * 5,
    )
    inverse = sum(1 / num for num in widths[:-1])
    chi = 2.0 * 1.0 * 4.0 * 0.5 / 2**4  # the first matrix is below layer 1
    mean = math.log(chi) + math.log(120 / 300) - 5 / 2 * inverse
    assert NATS * statistics(network).log10_ratio[0] == pytest.approx(mean, rel=1e-12)
    assert variances(network)[0] == pytest.approx(5 * inverse, rel=1e-12)
    assert statistics(network).q_sd[0] == 0
    # E phi^4 / (E phi^2)^2 - 1 = (3/2) / (1/4) - 1
    spread = np.sqrt(np.cumsum([0.0, *(5 / n for n in widths[:-1])]))
    np.testing.assert_allclose(statistics(network).q_sd, spread, rtol=1e-12)


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("weight_scale", [0.02, 100.0])
def test_no_depth_makes_it_overflow(weight_scale: float, orthogonal: bool) -> None:
    network = plain(phi("relu"), weight_scale, width=400, depth=70, orthogonal=orthogonal)
    beta = 3 if orthogonal else 5
    mean = 69 * math.log(weight_scale / 2) - beta * 69 / 800
    assert NATS * statistics(network).log10_ratio[0] == pytest.approx(mean, rel=1e-9)
    assert variances(network)[0] == pytest.approx(beta * 69 / 400, rel=1e-9)


def test_an_isometry_has_no_spread() -> None:
    found = statistics(plain(phi("abs"), 1.0, width=64, orthogonal=True))
    np.testing.assert_allclose(found.log10_ratio, 0, atol=1e-12)
    np.testing.assert_allclose(found.log10_sd, 0, atol=1e-6)
    np.testing.assert_allclose(found.q_sd, 0, atol=1e-6)


def test_a_sphere_has_a_lower_fourth_moment_than_a_gaussian() -> None:
    # On a sphere in n dimensions E h^4 = 3 q^2 n / (n + 2).
    found = statistics(plain(phi("square"), 0.1, width=500, depth=2, orthogonal=True))
    assert found.q_shift[1] == pytest.approx(-2 / 500)


@pytest.mark.parametrize("activation", ["identity", "tanh", "gelu"])
def test_one_layer_has_nothing_to_pass(activation: str) -> None:
    found = statistics(plain(phi(activation), 1.0, width=10, depth=1))
    assert (found.log10_ratio, found.log10_sd, found.q_shift, found.q_sd) == (0, 0, 0, 0)
    # |h|^2 / q is chi-square with 10 degrees of freedom: E ln = -1/10 and variance 2/10 to 1/n.
    assert found.log10_rms[0] == pytest.approx(-1 / 10 / NATS)
    assert found.log10_rms_sd[0] == pytest.approx(math.sqrt(2 / 10) / NATS)


# Worked out apart from this code: s_w^2, s_b^2, q*, beta for Gaussian and orthogonal weights.
# The orthogonal column leaves out that a random bias changes |h|.
TABLE = [
    ("relu", {}, HE, 0.0, 1.0, 5.0, 3.0),
    ("leaky_relu", {"slope": 0.1}, 2 / 1.01, 0.0, 1.0, 4.882, 2.882),
    ("abs", {}, 1.0, 0.0, 1.0, 2.0, 0.0),
    ("tanh", {}, 1.76095, 0.05, 0.57004, 3.994, 1.056),
    ("tanh", {}, HE, 0.0, 0.61796, 4.365, 1.222),
    ("tanh", {}, TANH_GAIN, 0.0, 1.1785, 5.153, 2.178),
    ("erf", {}, 1.37584, 0.05, 0.51718, 3.969, 1.090),
    ("sin", {}, 1.50207, 0.05, 0.55207, 3.333, 0.734),
    ("hardtanh", {}, 1.16554, 0.05, 0.46386, 2.966, 0.466),
    ("softsign", {}, 3.14125, 0.05, 0.41218, 4.949, 1.963),
    ("elu", {}, 1.53372, 0.05, 1.3009, 3.951, 1.104),
    ("selu", {}, XAVIER, 0.0, 1.0, 4.420, 1.033),
    ("sigmoid", {}, XAVIER, 0.0, 0.26469, 2.068, 0.045),
    ("softplus", {}, XAVIER, 0.0, 0.85631, 3.795, 1.729),
]


@pytest.mark.parametrize(
    ("name", "params", "scale", "bias", "fixed", "gaussian", "orthogonal"), TABLE
)
def test_spread_per_layer_at_a_fixed_point(
    name: str,
    params: dict[str, Value],
    scale: float,
    bias: float,
    fixed: float,
    gaussian: float,
    orthogonal: float,
) -> None:
    activation, depth = phi(name, **params), 400
    for _ in range(200):
        fixed = scale * float(moments(activation, fixed).square[0]) + bias
    rows = [moments(activation, fixed)] * depth

    def beta(*, is_orthogonal: bool) -> float:
        network = plain(activation, scale, width=1, depth=depth, orthogonal=is_orthogonal)
        found = gradient_statistics(network, np.full(depth, fixed), rows)
        spread = (NATS * found.log10_sd) ** 2
        return float(spread[depth // 2] - spread[depth // 2 + 1])

    assert beta(is_orthogonal=False) == pytest.approx(gaussian, abs=6e-4)
    assert beta(is_orthogonal=True) == pytest.approx(orthogonal, abs=6e-4)


# Autograd through fresh networks of 50 layers of 128 units, and theory, both made elsewhere.
PREDICTED = [
    ("relu", HE, 0.0, -0.208),
    ("tanh", 1.76095, 0.05, -0.312),
    ("sigmoid", XAVIER, 0.0, -30.875),
    ("gelu", XAVIER, 0.0, -14.515),
    ("selu", XAVIER, 0.0, 0.611),
]


@pytest.mark.parametrize(("name", "scale", "bias", "log10_ratio"), PREDICTED)
def test_means_that_were_published(
    name: str, scale: float, bias: float, log10_ratio: float
) -> None:
    found = statistics(plain(phi(name), scale, width=128, bias_variance=bias))
    assert found.trustworthy
    assert found.log10_ratio[0] == pytest.approx(log10_ratio, abs=6e-4)


# When not to trust it


@pytest.mark.parametrize(
    ("name", "scale", "bias", "width", "q_sd"),
    [
        ("gelu", HE, 0.0, 128, 3.9),
        ("gelu", HE, 0.0, 256, 2.8),
        ("gelu", 1.98305826, 0.17292239, 128, 1.26),
        ("gelu", 1.98305826, 0.17292239, 256, 0.89),
        ("silu", HE, 0.0, 128, 1.4),
        ("silu", HE, 0.0, 256, 1.0),
    ],
)
def test_wide_spread_of_scale_is_told(
    name: str, scale: float, bias: float, width: int, q_sd: float
) -> None:
    found = statistics(plain(phi(name), scale, width=width, bias_variance=bias))
    assert found.q_sd[-1] == pytest.approx(q_sd, rel=0.03)
    assert not found.trustworthy
    assert "variance of pre-activations differs by more than 85% between networks" in found.doubt


def test_spread_that_comes_when_the_slope_is_constant_does_no_harm() -> None:
    # q shrinks to a millionth in 10 layers, where GELU is a straight line.
    found = statistics(plain(phi("gelu"), XAVIER, width=128))
    assert found.q_sd[-1] == pytest.approx(0.99, rel=0.01)
    assert found.trustworthy


@pytest.mark.parametrize(
    ("network", "doubt"),
    [
        (plain(phi("relu"), HE, width=16), "too narrow for its depth, layer 1"),
        (plain(phi("softplus"), HE, width=256), "comes back along the signal that left it"),
        (plain(phi("sgn"), 1.0, width=256, depth=5), "no finite moments around layer 4"),
    ],
    ids=["narrow", "aligned", "flat"],
)
def test_other_doubts(network: Network, doubt: str) -> None:
    assert doubt in statistics(network).doubt


# Against networks that were drawn without matrices, which is exact: layers that differ in all


def mixed(orthogonal: bool, widths: tuple[int, ...]) -> Network:
    names = ("tanh", "gelu", "selu", "relu", "erf", "softplus", "hardtanh", "sin", "elu", "sigmoid")
    return Network(
        activations=tuple(phi(name) for name in names),
        widths=widths,
        num_features=200,
        weight_scale=(1.5, 2.0, 2.5, 1.2, 2.0, 3.0, 0.6, 2.0, 1.5, 2.0),
        bias_variance=(0.1, 0.0, 0.3, 0.05, 0.2, 0.1, 0.2, 0.0, 0.1, 0.1),
        orthogonal=orthogonal,
        input_square=1.3,
    )


WIDTHS = (150, 90, 120, 200, 100, 160, 80, 120, 180, 110)


@pytest.mark.parametrize("orthogonal", [False, True], ids=["gaussian", "orthogonal"])
def test_every_layer_of_a_mixed_network(orthogonal: bool) -> None:
    network = mixed(orthogonal, WIDTHS)
    found = statistics(network)
    num = 12_000
    drawn = simulate_gradient_ratio(network, num, np.random.default_rng(81))
    # What is left out is smaller by another factor 1/n than the corrections, which are up to 0.1.
    slack = 0.1 / min(WIDTHS)
    error = 4 * drawn.log10_sd / math.sqrt(num) + slack
    assert error.max() < 0.01
    assert (np.abs(found.log10_ratio - drawn.log10_ratio) <= error).all()
    np.testing.assert_allclose(found.log10_sd[:-1], drawn.log10_sd[:-1], rtol=0.04)
    error = 4 * drawn.log10_rms_sd / math.sqrt(num) + slack
    assert (np.abs(found.log10_rms - drawn.log10_rms) <= error).all()
    np.testing.assert_allclose(found.log10_rms_sd, drawn.log10_rms_sd, rtol=0.04)


@pytest.mark.parametrize("orthogonal", [False, True], ids=["gaussian", "orthogonal"])
@pytest.mark.parametrize("name", ["tanh", "gelu", "sin"])
def test_the_correction_to_the_mean_of_a_short_network(name: str, orthogonal: bool) -> None:
    network = plain(phi(name), 2.0, width=60, depth=4, bias_variance=0.1, orthogonal=orthogonal)
    num = 60_000
    drawn = simulate_gradient_ratio(network, num, np.random.default_rng(82))
    error = NATS * (4 * drawn.log10_sd / math.sqrt(num)) + 4 / 60**2
    assert error.max() < 0.01  # each unit of a layer corrects by about 1 / 60
    off = NATS * (drawn.log10_ratio - statistics(network).log10_ratio)
    assert (np.abs(off) <= error).all()
