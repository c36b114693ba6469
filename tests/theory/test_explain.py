"""Sentences about a network: the numbers in them, and none where there is no number."""

import math
import re

import pytest
from networks import phi, plain

from fathom.activations import custom
from fathom.theory.explain import explain
from fathom.theory.network import Network
from fathom.theory.nonlinearity import nonlinearity
from fathom.theory.predict import predict

CUBE = nonlinearity(custom(lambda h: h**3, name="cube"))
FAR = nonlinearity(custom(lambda h: (h - 100).relu(), name="far"))


def told(network: Network) -> dict[str, str]:
    """Return the sentences by their first word."""
    sentences = explain(network, predict(network, 10))
    return {text.partition(":")[0].partition(" ")[0]: text for text in sentences}


def test_the_span_of_relu_is_that_of_hanin_and_nica() -> None:
    said = told(plain(phi("relu"), 2.0, width=128, depth=50))["Gradient"]
    mean = -2.5 * 49 / 128 / math.log(100)
    sd = math.sqrt(5 * 49 / 128) / math.log(100)
    assert said.startswith(f"Gradient: {mean:+.3g} ± {sd:.2g} decades from layer 50 back to layer")
    assert said.endswith("to first order in 1/width.")


def test_why_it_is_simulated_is_told() -> None:
    said = told(plain(phi("tanh"), 2.0, width=3, depth=20))["Gradient"]
    assert "simulated, since the network is too narrow for its depth" in said


def test_networks_that_pass_nothing_are_told() -> None:
    said = told(plain(phi("relu"), 2.0, width=4, depth=5))["Gradient"]
    assert re.search(r"\d+% of the simulated networks let no gradient through", said)


def test_rounding_is_not_told() -> None:
    said = told(plain(phi("identity"), 1.0, width=64, depth=20, orthogonal=True))
    assert said["Gradient"].startswith("Gradient: +0 ± 0 decades")
    odd = told(plain(phi("tanh"), 2.0, width=256, depth=20))
    assert "two of cosine 0 come to 0 in layer 20 and end at 0," in odd["Inputs"]
    odd = told(plain(phi("erf"), 1.0, width=256, depth=20))
    assert "and end at 0, with the depth scale 121" in odd["Inputs"]  # worked out apart: 120.5


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (plain(CUBE, 2.0, width=64, depth=20), "the signal is beyond all numbers in layer "),
        (plain(FAR, 2.0, width=64, depth=20), "the signal has died out in layer 2."),
    ],
    ids=["explodes", "dies out"],
)
def test_a_gradient_without_a_number_has_words(network: Network, said: str) -> None:
    sentences = told(network)
    assert said in sentences["Gradient"]
    assert not re.search(r"\b(nan|inf)\b", " ".join(sentences.values()))


def test_a_depth_scale_below_one_layer_is_too_short() -> None:
    # xi_c = 0.346 for sigmoid with s_w^2 = 1: six of them are two layers.
    assert "down to about 2 layers" in told(plain(phi("sigmoid"), 1.0, width=64, depth=5))["Inputs"]
    said = told(plain(phi("sigmoid"), 0.01, width=64, depth=5))["Inputs"]
    assert said.endswith("too short for such a network to train at any depth.")


def test_layers_that_differ_have_no_fate() -> None:
    relu, tanh = phi("relu"), phi("tanh")
    network = Network(
        activations=(relu, tanh, relu),
        widths=(64,) * 3,
        num_features=64,
        weight_scale=(2.0,) * 3,
        bias_variance=(0.0,) * 3,
    )
    sentences = explain(network, predict(network, 10))
    starts = [text.split(" ")[0] for text in sentences]
    assert starts == ["Gradient:", "Directions:", "Best", "Best"]
