"""The prediction of a whole network: where its numbers come from, and where there are none."""

import math

import numpy as np
import pytest
import torch
from networks import phi, plain

from fathom.activations import custom
from fathom.theory.network import Network
from fathom.theory.nonlinearity import nonlinearity
from fathom.theory.predict import obstacle, predict


def defined_from(place: float, name: str) -> Network:
    """Make a network whose activation is the root of h less a number."""
    function = custom(lambda h: (h - place).sqrt(), name=name)
    return plain(nonlinearity(function), 1.0, width=8, depth=2)


@pytest.mark.parametrize("place", [0.0, -9.5])
def test_what_is_not_defined_is_not_called_a_pole(place: float) -> None:
    said = obstacle(defined_from(place, "root"))
    assert said == "no mean-field limit: root is not defined for some inputs within 16 of 0"


def test_a_pole_is_called_one() -> None:
    assert "has poles" in obstacle(plain(phi("reciprocal"), 1.0, width=8, depth=2))


def test_weights_of_0_behind_the_first_layer_stop_the_gradient() -> None:
    network = plain(phi("tanh"), 0.0, width=8, depth=4, bias_variance=0.1)
    found = predict(network, 10)
    assert found.obstacle == "no gradient: the weights of layer 2 are 0"
    assert np.isnan(found.gradient_log10).all()


class TestNarrowRelu:
    """All n units of a layer are off with probability 2^-n, whatever came before."""

    def test_most_networks_of_two_units_pass_nothing(self) -> None:
        # 1 - (3/4)^10 = 94 % of them, but in the last layer the gradient may still be measured.
        found = predict(plain(phi("relu"), 2.0, width=2, depth=10), 10)
        assert found.method == "none"
        assert found.obstacle.startswith("no gradient: in 9")
        assert found.obstacle.endswith("nothing passes back")

    def test_the_others_are_told(self) -> None:
        found = predict(plain(phi("relu"), 2.0, width=4, depth=5), 10)
        share = 1 - (15 / 16) ** 5
        sd = math.sqrt(share * (1 - share) / 200)
        assert found.method == "simulation"
        assert found.blocked_share == pytest.approx(share, abs=4 * sd)
        assert found.doubt


def test_units_that_are_flat_in_float64_pass_nothing() -> None:
    # |h| is about 1e12: tanh is flat beyond 20, and one unit in 1e10 is not.
    found = predict(plain(phi("tanh"), 1e24, width=64, depth=3), 10)
    assert found.obstacle.startswith("no gradient: in 100%")


def test_a_signal_that_overflows_is_not_a_gradient_that_is_stopped() -> None:
    function = custom(lambda h: h**3, name="cube")
    network = plain(nonlinearity(function), 2.0, width=64, depth=12)
    found = predict(network, 10)
    assert found.obstacle == ""
    assert found.method == "mean field"


def test_a_thousand_layers_are_simulated_with_fewer_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fathom.theory import predict as module

    asked = []

    def counted(*args: object, num_samples: int) -> object:
        asked.append(num_samples)
        return simulate(*args, num_samples=2)

    simulate = module.predicted_gradient_ratio
    monkeypatch.setattr(module, "predicted_gradient_ratio", counted)
    for depth, width in ((50, 128), (1000, 128), (1000, 1024)):
        predict(plain(phi("tanh"), 1.0, width=width, depth=depth), 10)
    assert asked == [200, 10_000_000 // 128_000, 50]


def test_dead_and_saturated_shares_of_mixed_layers_are_their_own() -> None:
    network = Network(
        activations=(phi("relu"), phi("tanh"), phi("relu")),
        widths=(64,) * 3,
        num_features=64,
        weight_scale=(2.0,) * 3,
        bias_variance=(0.0,) * 3,
        input_cosine=1.0,
    )
    found = predict(network, 100)
    np.testing.assert_allclose(found.dead_share, [0.5, 0.0, 0.5], atol=1e-9)
    # |h| > arccosh(sqrt(20)) has 1 - tanh^2 < 1/20; q_2 = s_w^2 E relu(h_1)^2 = 2.
    bound = math.acosh(math.sqrt(20)) / math.sqrt(2)
    outside = 2 * (1 - torch.special.ndtr(torch.tensor(bound)).item())
    np.testing.assert_allclose(found.saturated_share, [np.nan, outside, np.nan], atol=0.01)
