"""The expansion in 1/n against networks that were drawn whole, 50 layers deep."""

import math

import numpy as np
import pytest
import torch
from networks import Ensemble, draw, layer_moments, phi, plain
from torch import nn

from fathom.activations import ACTIVATIONS
from fathom.registry import Choice
from fathom.theory.finite_width import GradientStatistics, gradient_statistics
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats
from fathom.theory.stochastic import predicted_gradient_ratio

pytestmark = pytest.mark.slow

HE = 2.0
XAVIER = 1.0
TANH_GAIN = (5 / 3) ** 2


def statistics(network: Network) -> GradientStatistics:
    return gradient_statistics(network, *layer_moments(network))


# On the edge of chaos: s_w^2 where s_b^2 = 0.05.
EDGE_OF_CHAOS = {
    "tanh": 1.76095,
    "erf": 1.37584,
    "sin": 1.50207,
    "hardtanh": 1.16554,
    "softsign": 3.14125,
    "elu": 1.53372,
    "selu": 0.90177,
    "sigmoid": 103.12849,
    "gelu": 2.30252,
    "silu": 2.72861,
    "mish": 2.1048,
    "hardswish": 2.97434,
}
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
    # Asked of the first layer; here the same of all others.
    assert (off <= np.maximum(0.10, 3 * sd / math.sqrt(num))).all()
    assert_same_spread(sd, predicted.log10_sd)
    sd = drawn.log10_rms.std(0, ddof=1)
    off = np.abs(drawn.log10_rms.mean(0) - predicted.log10_rms)
    assert (off <= np.maximum(0.01, 4 * sd / math.sqrt(num))).all()
    assert_same_spread(sd, predicted.log10_rms_sd)


def assert_same_spread(drawn: Floats, predicted: Floats) -> None:
    # Where q collapses, the spread among deep layers is small, but that of q is not.
    wide = np.maximum(drawn, predicted) > 0.05
    ratio = drawn[wide] / predicted[wide]
    assert (ratio >= 0.8).all()
    assert (ratio <= 1.25).all()


@pytest.mark.parametrize("name", NAMES)
def test_gaussian_weights(gaussian: Drawn, name: str) -> None:
    check(gaussian, name)


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


def test_scale_in_the_last_layer(gaussian: Drawn) -> None:
    tested = 0
    for network, drawn in gaussian.values():
        q_L, moments_L = layer_moments(network)
        slope = network.weight_scale[-1] * float(moments_L[-1].square_1st[0])
        if slope < 0.9 and q_L[-1] == pytest.approx(q_L[-2], rel=1e-3):
            assert drawn.variance[:, -1].mean() == pytest.approx(q_L[-1], rel=0.06)
            tested += 1
    assert tested >= 30


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


@pytest.mark.parametrize(
    ("name", "scale", "bias"),
    [
        ("relu", HE, 0.0),
        ("tanh", EDGE_OF_CHAOS["tanh"], 0.05),
        ("sigmoid", XAVIER, 0.0),
        ("gelu", XAVIER, 0.0),
        ("selu", XAVIER, 0.0),
    ],
)
def test_layers_of_torch_and_their_autograd(name: str, scale: float, bias: float) -> None:
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
    predicted = statistics(plain(phi(name), scale, width=128, bias_variance=bias))
    assert abs(np.mean(ratios) - predicted.log10_ratio[0]) <= 4 * error
