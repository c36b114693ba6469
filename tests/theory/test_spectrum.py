"""The spread of a Jacobian's singular values, against closed forms, a table and drawn Jacobians."""

import itertools
import math

import numpy as np
import pytest
import torch
from networks import phi, plain
from torch import Tensor

from fathom.theory.gaussian import moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Nonlinearity
from fathom.theory.spectrum import jacobian_spread


def linear(*widths: int, num_features: int, orthogonal: bool) -> Network:
    depth = len(widths)
    return Network(
        activations=(phi("identity"),) * depth,
        widths=widths,
        num_features=num_features,
        weight_scale=(1.0,) * depth,
        bias_variance=(0.0,) * depth,
        orthogonal=orthogonal,
    )


# Columns: activation, q*, sigma^2 / L with Gaussian and with orthogonal weights; worked out apart.
TABLE = [
    ("relu", 1.0, 2, 1),
    ("leaky_relu", 1.0, 1.961, 0.961),
    ("abs", 1.0, 1, 0),
    ("tanh", 0.57004, 1.342, 0.342),
    ("tanh", 0.61796, 1.371, 0.371),
    ("tanh", 1.1785, 1.674, 0.674),
    ("erf", 0.51718, 1.354, 0.354),
    ("sin", 0.55207, 1.223, 0.223),
    ("hardtanh", 0.46386, 1.166, 0.166),
    ("softsign", 0.41218, 1.647, 0.647),
    ("elu", 1.3009, 1.373, 0.373),
    ("selu", 1.0, 1.316, 0.316),
    ("sigmoid", 0.26469, 1.021, 0.021),
    ("softplus", 0.85631, 1.486, 0.486),
]


@pytest.mark.parametrize(("name", "q", "gaussian", "orthogonal"), TABLE)
def test_every_layer_adds_what_the_table_says(
    name: str, q: float, gaussian: float, orthogonal: float
) -> None:
    chosen = phi(name, slope=0.1) if name == "leaky_relu" else phi(name)
    for is_orthogonal, per_layer in ((False, gaussian), (True, orthogonal)):
        network = plain(chosen, 1.0, width=64, depth=3, orthogonal=is_orthogonal)
        found = jacobian_spread(network, np.full(3, q))
        np.testing.assert_allclose(found / [1, 2, 3], per_layer, atol=5.1e-4)


def test_relu_loses_half_of_the_directions_in_every_layer() -> None:
    network = plain(phi("relu"), 2.0, width=64, depth=5)
    np.testing.assert_allclose(jacobian_spread(network, np.ones(5)), 2 * np.arange(1, 6))


def test_one_gaussian_matrix_has_the_spread_of_marchenko_and_pastur() -> None:
    for fan_in, fan_out in ((100, 300), (300, 100)):
        network = linear(fan_out, num_features=fan_in, orthogonal=False)
        assert jacobian_spread(network, np.ones(1)) == pytest.approx(fan_out / fan_in)


def test_orthogonal_matrices_only_leave_directions_empty() -> None:
    network = linear(300, 300, 100, num_features=100, orthogonal=True)
    # 100 of 300 directions carry the signal; 100 of a random mix of 300 are a third of its spread.
    np.testing.assert_allclose(jacobian_spread(network, np.ones(3)), [2, 2, 2 / 3])


def test_what_is_not_known_is_nan() -> None:
    for hole in (0.0, math.inf, math.nan):
        network = plain(phi("tanh"), 1.0, width=64, depth=3)
        found = jacobian_spread(network, np.array([1.0, hole, 1.0]))
        np.testing.assert_array_equal(np.isnan(found), [False, True, True])
    for name in ("sgn", "tan"):
        found = jacobian_spread(plain(phi(name), 1.0, width=64, depth=2), np.ones(2))
        assert np.isnan(found).all()


def test_equal_slopes_have_no_spread_below_0_by_rounding() -> None:
    for name in ("identity", "abs", "relu"):
        found = jacobian_spread(
            plain(phi(name), 1.0, width=64, depth=2, orthogonal=True), np.array([0.3, 1.7])
        )
        assert (found >= 0).all()


def test_layers_of_different_activations_add_their_own() -> None:
    network = Network(
        activations=(phi("relu"), phi("abs"), phi("relu")),
        widths=(64,) * 3,
        num_features=64,
        weight_scale=(1.0,) * 3,
        bias_variance=(0.0,) * 3,
    )
    np.testing.assert_allclose(jacobian_spread(network, np.ones(3)), [2, 3, 5])


def spreads(weights: list[Tensor], chosen: Nonlinearity, start: Tensor, scale: float) -> Tensor:
    """Measure m_2/m_1^2 - 1 of one network after every layer; there is no bias."""
    x, jacobian, found = start, torch.eye(len(start)), []
    for weight in weights:
        h = math.sqrt(scale) * weight @ x
        x = torch.from_numpy(chosen.value(h.double().numpy())).float()
        slope = torch.from_numpy(chosen.slope(h.double().numpy())).float()
        jacobian = slope[:, None] * (weight @ jacobian)
        jacobian /= jacobian.square().mean().sqrt()
        gram = jacobian @ jacobian.T
        found.append(len(gram) * gram.square().sum() / gram.trace() ** 2 - 1)
    return torch.stack(found)


def draw(fan_in: int, fan_out: int, orthogonal: bool, generator: torch.Generator) -> Tensor:
    weight = torch.empty(fan_out, fan_in)
    if orthogonal:
        return torch.nn.init.orthogonal_(weight, generator=generator)
    return weight.normal_(0, 1 / math.sqrt(fan_in), generator=generator)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_drawn_jacobians_of_unequal_widths_spread_as_predicted(orthogonal: bool) -> None:
    fans, generator = (300, 600, 200, 400), torch.Generator().manual_seed(7)
    network = Network(
        activations=(phi("relu"),) * 3,
        widths=fans[1:],
        num_features=fans[0],
        weight_scale=(1.0,) * 3,
        bias_variance=(0.0,) * 3,
        orthogonal=orthogonal,
    )
    measured = []
    for _ in range(12):
        pairs = itertools.pairwise(fans)
        weights = [draw(*fan, orthogonal, generator) for fan in pairs]
        start = torch.randn(fans[0], generator=generator)
        measured.append(spreads(weights, phi("relu"), start, 1.0))
    mean = torch.stack(measured).mean(0)
    # The next order is about 1/200 a layer.
    np.testing.assert_allclose(mean, jacobian_spread(network, np.ones(3)), rtol=0.03)


# The variance stays where it starts: s_w^2 = q* / E phi^2, without bias.
SETTINGS = {"tanh": 0.57004, "relu": 1.0, "erf": 0.51718, "selu": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("orthogonal", [False, True])
def test_drawn_jacobians_spread_as_predicted(orthogonal: bool) -> None:
    """n = 400, 4 and 16 layers, within 10 %; all settings share the draws."""
    width, depth, num = 400, 16, 24
    generator = torch.Generator().manual_seed(5)
    measured: dict[str, list[Tensor]] = {name: [] for name in SETTINGS}
    for _ in range(num):
        weights = [draw(width, width, orthogonal, generator) for _ in range(depth)]
        start = torch.randn(width, generator=generator)
        start *= math.sqrt(width) / start.norm()
        for name, q in SETTINGS.items():
            square = moments(phi(name), q).square.item()
            x = math.sqrt(square) * start
            measured[name].append(spreads(weights, phi(name), x, q / square))
    for name, q in SETTINGS.items():
        network = plain(phi(name), 1.0, width=width, depth=depth, orthogonal=orthogonal)
        predicted = jacobian_spread(network, np.full(depth, q))
        mean = torch.stack(measured[name]).mean(0).numpy()
        for layers in (4, 16):
            assert mean[layers - 1] == pytest.approx(predicted[layers - 1], rel=0.1), (name, layers)
