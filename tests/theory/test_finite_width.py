"""Gradients at finite width: closed forms, published numbers, and networks that were drawn."""

import math
import time

import numpy as np
import pytest
import torch
from networks import Ensemble, draw, layer_moments, phi, plain
from torch import nn

from fathom.activations import ACTIVATIONS
from fathom.registry import Choice, Value
from fathom.theory.finite_width import GradientStatistics, gradient_statistics
from fathom.theory.gaussian import moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats
from fathom.theory.stochastic import predicted_gradient_ratio, simulate_gradient_ratio

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


@pytest.mark.parametrize("activation", ["identity", "tanh", "gelu"])
def test_one_layer_has_nothing_to_pass(activation: str) -> None:
    found = statistics(plain(phi(activation), 1.0, width=10, depth=1))
    assert (found.log10_ratio, found.log10_sd, found.q_shift, found.q_sd) == (0, 0, 0, 0)
    # |h|^2 / q is chi-square with 10 degrees of freedom: E ln = -1/10 and variance 2/10 to 1/n.
    assert found.log10_rms[0] == pytest.approx(-1 / 10 / NATS)
    assert found.log10_rms_sd[0] == pytest.approx(math.sqrt(2 / 10) / NATS)


# The table of SCIENCE.md, A.7: s_w^2 and s_b^2, q*, beta for Gaussian and for orthogonal weights.
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


# SCIENCE.md, A.10 number 6: 50 layers of 128 units.
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


def test_fast_enough_to_be_asked_for_every_cell_of_a_study() -> None:
    network = plain(phi("tanh"), HE, width=128)
    rows = layer_moments(network)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        gradient_statistics(network, *rows)
        took.append(time.perf_counter() - start)
    assert min(took) < 5e-3


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


# Against networks that were drawn whole

EDGE_OF_CHAOS = {row[0]: row[2] for row in TABLE if row[3] > 0} | {"sigmoid": 103.128}
EDGE_OF_CHAOS |= {"selu": 0.90177, "gelu": 2.30252, "silu": 2.72861, "mish": 2.10480}
NAMES = [
    *("relu", "leaky_relu", "tanh", "erf", "sin", "hardtanh", "softsign", "elu", "selu", "sigmoid"),
    *("gelu", "silu", "mish", "softplus", "hardswish"),
]
NUM = 240


def settings(name: str, width: int) -> list[tuple[float, float]]:
    """Return s_w^2 and s_b^2 of initialisers: the last is the edge of chaos, where there is one."""
    usual = [HE, XAVIER, TANH_GAIN, 0.1**2 * width, 1.0**2 * width]
    pairs = [(scale, 0.0) for scale in usual] + [(1 / 3, 1 / (3 * width))]
    return pairs + ([(EDGE_OF_CHAOS[name], 0.05)] if name in EDGE_OF_CHAOS else [])


def all_networks(width: int, *, orthogonal: bool) -> dict[tuple[str, int], Network]:
    return {
        (name, row): plain(phi(name), scale, width=width, bias_variance=bias, orthogonal=orthogonal)
        for name in NAMES
        for row, (scale, bias) in enumerate(settings(name, width))
    }


Drawn = dict[tuple[str, int], tuple[Network, Ensemble]]


def whole(width: int, num: int, seed: int, *, orthogonal: bool) -> Drawn:
    networks = all_networks(width, orthogonal=orthogonal)
    drawn = draw(list(networks.values()), num, seed)
    return {
        key: (network, Ensemble(*(quantity[:, column] for quantity in drawn)))
        for column, (key, network) in enumerate(networks.items())
    }


@pytest.fixture(scope="module")
def gaussian() -> Drawn:
    return whole(256, NUM, 20261, orthogonal=False)


@pytest.fixture(scope="module")
def orthogonal() -> Drawn:
    return whole(128, NUM, 20262, orthogonal=True)


def assert_agrees(predicted: GradientStatistics, drawn: Ensemble) -> None:
    num = len(drawn.log10_ratio)
    assert 4 / math.sqrt(2 * num) < 0.2  # what a standard deviation may be off by chance
    sd = drawn.log10_ratio.std(0, ddof=1)
    off = np.abs(drawn.log10_ratio.mean(0) - predicted.log10_ratio)
    # SCIENCE.md, A.10 number 1, and the same for all other layers.
    assert (off <= np.maximum(0.10, 3 * sd / math.sqrt(num))).all()
    assert_same_spread(sd, predicted.log10_sd)
    sd = drawn.log10_rms.std(0, ddof=1)
    off = np.abs(drawn.log10_rms.mean(0) - predicted.log10_rms)
    assert (off <= np.maximum(0.01, 4 * sd / math.sqrt(num))).all()
    assert_same_spread(sd, predicted.log10_rms_sd)


def assert_same_spread(drawn: Floats, predicted: Floats) -> None:
    # Where q collapses, almost no spread is left among deep layers, and that of q is far from small.
    wide = np.maximum(drawn, predicted) > 0.05
    ratio = drawn[wide] / predicted[wide]
    assert (ratio >= 0.8).all()
    assert (ratio <= 1.25).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gaussian_weights(gaussian: Drawn, name: str) -> None:
    check(gaussian, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_orthogonal_weights(orthogonal: Drawn, name: str) -> None:
    check(orthogonal, name)


def check(drawn_networks: Drawn, name: str) -> None:
    """Compare all settings of an activation with the expansion, or with what stands in for it."""
    num_trusted = 0
    for (activation, _), (network, drawn) in drawn_networks.items():
        if activation != name:
            continue
        rows = layer_moments(network)
        expansion = gradient_statistics(network, *rows)
        num_trusted += expansion.trustworthy
        if expansion.trustworthy:
            assert_agrees(expansion, drawn)
            continue
        found = predicted_gradient_ratio(network, *rows, num_samples=600)
        assert (found.method, found.reason) == ("simulation", expansion.doubt)
        error = np.hypot(drawn.log10_ratio.std(0) / math.sqrt(NUM), found.log10_sd / math.sqrt(600))
        off = np.abs(drawn.log10_ratio.mean(0) - found.log10_ratio)
        assert (off <= np.maximum(0.10, 4 * error)).all()
    assert num_trusted >= 3


@pytest.mark.slow
def test_scale_in_the_last_layer(gaussian: Drawn) -> None:
    tested = 0
    for network, drawn in gaussian.values():
        q_L, moments_L = layer_moments(network)
        slope = network.weight_scale[-1] * float(moments_L[-1].square_1st[0])
        if slope < 0.9 and q_L[-1] == pytest.approx(q_L[-2], rel=1e-3):
            # SCIENCE.md, A.10 number 2.
            assert drawn.variance[:, -1].mean() == pytest.approx(q_L[-1], rel=0.06)
            tested += 1
    assert tested >= 30


@pytest.mark.slow
def test_uniform_weights_have_the_same_statistics() -> None:
    pairs = [("tanh", HE), ("erf", HE), ("selu", XAVIER), ("sigmoid", 4.0), ("gelu", XAVIER)]
    networks = [plain(phi(name), scale, width=64, depth=30) for name, scale in pairs]
    num = 2000
    drawn = draw(networks, num, 20263, law="uniform")
    for column, network in enumerate(networks):
        found = statistics(network)
        ratio = drawn.log10_ratio[:, column, 0]
        assert 4 * found.log10_sd[0] / math.sqrt(num) < 0.03
        assert ratio.mean() == pytest.approx(found.log10_ratio[0], abs=0.03)
        assert ratio.std() == pytest.approx(found.log10_sd[0], rel=4 / math.sqrt(2 * num))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scale", "bias", "log10_ratio"), PREDICTED)
def test_layers_of_torch_and_their_autograd(
    name: str, scale: float, bias: float, log10_ratio: float
) -> None:
    generator = torch.Generator().manual_seed(20264)
    activation = ACTIVATIONS.build(Choice(name))
    ratios = []
    for _ in range(100):
        layers = [nn.Linear(128, 128, dtype=torch.float64) for _ in range(50)]
        act = torch.empty(128, dtype=torch.float64).normal_(generator=generator)
        act /= act.square().mean().sqrt()
        pre = []
        for layer in layers:
            nn.init.normal_(layer.weight, 0, math.sqrt(scale / 128), generator=generator)
            nn.init.normal_(layer.bias, 0, math.sqrt(bias), generator=generator)
            pre.append(layer(act))
            act = activation.value(pre[-1])
        last = torch.empty(128, dtype=torch.float64).normal_(generator=generator)
        (first,) = torch.autograd.grad(pre[-1], pre[0], last)
        ratios.append(float(torch.log10(first.norm() / last.norm())))
    error = np.std(ratios) / math.sqrt(len(ratios))
    assert abs(np.mean(ratios) - log10_ratio) <= 4 * error
