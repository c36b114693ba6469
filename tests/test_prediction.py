"""Settings and data turned into what theory works on."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fathom.api.predicted import layer_table
from fathom.data.inputs import InputStatistics
from fathom.initializers import INITIALIZERS, custom
from fathom.prediction import (
    NotCoveredError,
    expected_evidence,
    network_of,
    predict_model,
)
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig

STANDARDISED = InputStatistics(1.0, 0.0)


def model(activation: str, init: str, *hidden: int, **params: float) -> ModelConfig:
    return ModelConfig(
        name=Choice("mlp"),
        hidden=hidden,
        activation=(Choice(activation),) * len(hidden),
        init=Choice(init, tuple(sorted(params.items()))),
    )


class TestNetwork:
    @pytest.mark.parametrize(
        ("init", "params", "scale"),
        [
            ("he_normal", {}, (2.0, 2.0)),
            ("xavier_uniform", {}, (2 * 784 / (784 + 128), 1.0)),
            ("lecun_normal", {}, (1.0, 1.0)),
            ("normal", {"std": 0.1}, (7.84, 1.28)),
            ("torch_default", {}, (1 / 3, 1 / 3)),
            ("trunc_normal", {"std": 0.1}, (7.84 * 0.7737413, 1.28 * 0.7737413)),
            ("zero", {}, (0.0, 0.0)),
        ],
    )
    def test_variance_of_weights_by_layer(
        self, init: str, params: dict[str, float], scale: tuple[float, ...]
    ) -> None:
        network = network_of(model("tanh", init, 128, 128, **params), 784, STANDARDISED)
        assert network.weight_scale == pytest.approx(scale, rel=1e-7)
        assert not network.orthogonal

    def test_orthogonal_weights_are_recognised_by_what_is_drawn(self) -> None:
        network = network_of(model("tanh", "orthogonal", 128, 64, gain=1.5), 784, STANDARDISED)
        assert network.orthogonal
        # 784 to 128 and 128 to 64: rows of length 1, so that a weight's variance is 1 / fan_in.
        assert network.weight_scale == pytest.approx((2.25, 2.25))

    def test_biases_and_inputs(self) -> None:
        inputs = InputStatistics(0.112, 0.41)
        network = network_of(model("tanh", "torch_default", 128, 32), 784, inputs)
        assert network.bias_variance == pytest.approx((1 / (3 * 784), 1 / (3 * 128)))
        assert (network.input_square, network.input_cosine) == inputs
        assert (network.num_features, network.widths) == (784, (128, 32))

    def test_a_users_own_weights_are_measured(self) -> None:
        def ramp(weight: Tensor, generator: torch.Generator) -> None:
            noise = torch.rand(weight.shape, dtype=weight.dtype, generator=generator)
            weight.copy_((noise - 0.5) * math.sqrt(12 * 3 / weight.shape[1]))

        INITIALIZERS.add("ramp", lambda: custom(ramp, name="ramp"))
        network = network_of(model("tanh", "ramp", 100, 50), 30, STANDARDISED)
        assert network.weight_scale == pytest.approx((3.0, 3.0), rel=5e-3)

    def test_weights_with_a_mean_are_refused_in_words(self) -> None:
        with pytest.raises(NotCoveredError, match=r"'constant' have the mean 0\.1"):
            network_of(model("tanh", "constant", 128), 784, STANDARDISED)
        prediction = predict_model(model("tanh", "constant", 128), 784, STANDARDISED, 10)
        assert prediction.method == "none"
        assert "mean 0.1" in prediction.obstacle

    @pytest.mark.parametrize(
        ("remedy", "words"),
        [
            ({"norm": "layer_norm"}, r"normalised layers are not covered .*layer_norm"),
            ({"norm": "batch_norm"}, r"normalised layers are not covered .*batch_norm"),
            ({"skip": "residual"}, r"skip connections are not covered .*residual"),
        ],
    )
    def test_remedies_are_refused_in_words(self, remedy: dict[str, Any], words: str) -> None:
        """Theory of the plain network would be wrong for them."""
        remedied = replace(model("tanh", "he_normal", 128, 128), **remedy)
        with pytest.raises(NotCoveredError, match=words):
            network_of(remedied, 784, STANDARDISED)
        prediction = predict_model(remedied, 784, STANDARDISED, 10)
        assert prediction.method == "none"
        assert re.match(words, prediction.obstacle)
        assert math.isnan(prediction.gradient_log10[0])

    @pytest.mark.parametrize("init", ["he_normal", "xavier_uniform", "orthogonal"])
    def test_a_single_weight_is_no_sample_of_a_mean(self, init: str) -> None:
        network = network_of(model("tanh", init, 1, 1), 1, STANDARDISED)
        scale = {"he_normal": 2.0, "xavier_uniform": 1.0, "orthogonal": 1.0}[init]
        assert network.weight_scale == pytest.approx((scale, scale))

    @pytest.mark.parametrize("kind", ["one column", "rank 1", "heavy tails"])
    def test_weights_that_are_not_independent_are_refused_in_words(self, kind: str) -> None:
        def fill(weight: Tensor, generator: torch.Generator) -> None:
            rows, columns = weight.shape
            noise = torch.randn(rows, columns, dtype=weight.dtype, generator=generator)
            if kind == "one column":
                weight.zero_()[:, 0] = noise[:, 0]
            elif kind == "rank 1":
                weight.copy_(noise[:, :1] @ noise[:1])
            else:
                weight.cauchy_(generator=generator)

        name = kind.replace(" ", "_")
        INITIALIZERS.add(name, lambda: custom(fill, name=name))
        with pytest.raises(NotCoveredError, match="a few directions hold most of the weights of"):
            network_of(model("tanh", name, 64, 64), 32, STANDARDISED)

    def test_all_independent_and_orthogonal_weights_are_known(self) -> None:
        for name in INITIALIZERS.names():
            if name == "constant":  # its mean is not 0
                continue
            for width, num_features in ((64, 784), (784, 64), (8, 8), (1, 3)):
                network = network_of(model("tanh", name, width, 64), num_features, STANDARDISED)
                assert all(scale >= 0 for scale in network.weight_scale)

    def test_critical_weights_follow_the_activation_that_a_layer_reads(self) -> None:
        mixed = ModelConfig(
            name=Choice("mlp"),
            hidden=(100, 100, 100),
            activation=(Choice("relu"), Choice("identity"), Choice("relu")),
            init=Choice("critical"),
        )
        # Homogeneous activations have one critical scale: 2 behind relu, 1 behind the identity.
        assert network_of(mixed, 50, STANDARDISED).weight_scale == pytest.approx((2, 2, 1))


class TestPrediction:
    def test_he_and_relu_keep_the_gradient(self) -> None:
        found = predict_model(model("relu", "he_normal", *[128] * 50), 128, STANDARDISED, 256)
        # Hanin & Nica 2018: mean -5 L / 2n of ln|d|^2 and variance 5 L / n, here in decades.
        assert found.gradient_log10[0] == pytest.approx(-2.5 * 49 / 128 / math.log(100), abs=1e-3)
        expected_sd = math.sqrt(5 * 49 / 128) / math.log(100)
        assert found.gradient_log10_sd[0] == pytest.approx(expected_sd, rel=1e-6)

    @pytest.mark.parametrize(
        ("activation", "word"),
        [
            ("reciprocal", "no mean-field limit"),
            ("tan", "no mean-field limit"),
            ("sgn", "no gradient"),
        ],
    )
    def test_poles_and_flat_steps_get_a_word_and_no_number(
        self, activation: str, word: str
    ) -> None:
        found = predict_model(model(activation, "he_normal", 64, 64), 64, STANDARDISED, 10)
        assert found.obstacle.startswith(word)
        assert math.isnan(found.gradient_log10[0])

    def test_layers_that_move_units_get_a_word_and_no_number(self) -> None:
        found = predict_model(model("sort", "he_normal", 64, 64), 64, STANDARDISED, 10)
        assert found.obstacle == "sort mixes units; no mean-field limit is known here"
        assert math.isnan(found.gradient_log10[0])
        square = model("permute", "he_normal", 64, 64)
        found = predict_model(square, 2, STANDARDISED, 10)
        assert found.obstacle == "permute mixes units; no mean-field limit is known here"

    def test_units_that_stay_are_those_of_a_linear_network(self) -> None:
        """Layers that change the width have nothing to permute by."""
        found, linear = (
            predict_model(model(name, "he_normal", 64, 48), 32, STANDARDISED, 10)
            for name in ("permute", "identity")
        )
        assert not found.obstacle
        np.testing.assert_array_equal(found.gradient_log10, linear.gradient_log10)

    def test_numbers_that_end_are_told_as_such(self) -> None:
        found = predict_model(model("exp", "he_normal", *[64] * 10), 64, STANDARDISED, 10)
        assert found.method == "mean field"
        assert not expected_evidence(layer_table(found), 10, 10).is_finite

    def test_a_signal_beyond_all_numbers_from_the_start_diverges(self) -> None:
        found = predict_model(model("relu", "normal", 8, 8, std=1e200), 8, STANDARDISED, 10)
        evidence = expected_evidence(layer_table(found), 10, 10)
        assert not evidence.is_finite
        assert math.isnan(evidence.scale_growth)

    def test_one_layer(self) -> None:
        found = predict_model(model("gelu", "he_normal", 64), 64, STANDARDISED, 10)
        assert found.gradient_log10.tolist() == [0.0]
