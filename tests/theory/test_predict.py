"""The prediction of a whole network: where its numbers come from, and where there are none."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import layer_moments, phi, plain

from fathom.activations import custom
from fathom.theory.correlation import propagate_correlation
from fathom.theory.network import Network
from fathom.theory.nonlinearity import nonlinearity
from fathom.theory.predict import NUM_SAMPLES, obstacle, predict
from fathom.theory.stochastic import simulate_gradient_ratio


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
        # The last layer's own slopes do not matter to the gradient there.
        found = predict(plain(phi("relu"), 2.0, width=2, depth=10), 10)
        share = 1 - (3 / 4) ** 9
        sd = math.sqrt(share * (1 - share) / NUM_SAMPLES)
        told = re.fullmatch(r"no gradient: in (\d+)% of .* nothing passes back", found.obstacle)
        assert found.method == "none"
        assert told is not None
        assert int(told[1]) / 100 == pytest.approx(share, abs=4 * sd)

    def test_the_others_are_told(self) -> None:
        found = predict(plain(phi("relu"), 2.0, width=4, depth=5), 10)
        share = 1 - (15 / 16) ** 4
        sd = math.sqrt(share * (1 - share) / NUM_SAMPLES)
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
    assert asked == [NUM_SAMPLES, min(NUM_SAMPLES, 10_000_000 // 128_000), 50]


class TestCosine:
    """Where gradients are simulated, so are pairs of inputs; else layers are infinitely wide."""

    def test_a_flagged_network_has_the_mean_of_simulated_ones(self) -> None:
        network = replace(plain(phi("gelu"), 2.0, width=32), input_cosine=0.5)
        found = predict(network, 10)
        many = simulate_gradient_ratio(network, 2000, np.random.default_rng(21))
        assert found.method == "simulation"
        # A cosine has a standard deviation of at most 1/2 around these means, all above 0.3.
        assert (many.cosine > 0.3).all()
        error = 4 * 0.5 * math.sqrt(1 / NUM_SAMPLES + 1 / 2000)
        np.testing.assert_allclose(found.pre_cosine, many.cosine, atol=error)

    def test_any_other_has_that_of_the_map(self) -> None:
        network = replace(plain(phi("tanh"), 2.0, width=128), input_cosine=0.5)
        found = predict(network, 10)
        assert found.method == "expansion"
        expected = propagate_correlation(network, layer_moments(network)[0])
        np.testing.assert_array_equal(found.pre_cosine, expected)

    def test_unrelated_to_known_inputs_it_is_not_known(self) -> None:
        for name in ("gelu", "tanh"):
            network = replace(plain(phi(name), 2.0, width=32, depth=20), input_cosine=math.nan)
            found = predict(network, 10)
            assert np.isfinite(found.gradient_log10).all()
            assert np.isnan(found.pre_cosine).all()


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
