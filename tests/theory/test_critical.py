"""Recommendations: each is the point that it says it is, and a standardised input ends there."""

import math

import pytest
import torch
from named import NAMED, activation, own
from networks import phi

from fathom.activations import ACTIVATIONS
from fathom.theory.critical import Recommendation, recommend
from fathom.theory.fate import fate
from fathom.theory.gains import edge_of_chaos, small_signal_scale
from fathom.theory.meanfield import chi, map_slope, variance_map
from fathom.theory.nonlinearity import Nonlinearity


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("identity", "every scale"),
        ("relu", "every scale"),
        ("leaky .1", "every scale"),
        ("abs", "every scale"),
        ("tanh", "edge of chaos"),
        ("erf", "edge of chaos"),
        ("hardtanh", "edge of chaos"),
        ("elu", "edge of chaos"),
        ("selu", "edge of chaos"),
        ("sigmoid", "edge of chaos"),
        ("gelu", "half-stable"),
        ("silu", "half-stable"),
        ("mish", "half-stable"),
        ("hardswish", "half-stable"),
        ("softplus", "none"),
        ("exp", "none"),
        ("square", "none"),
        ("sgn", "none"),
        ("tan", "none"),
        ("reciprocal", "none"),
    ],
)
def test_the_kind_of_recommendation(name: str, kind: str) -> None:
    assert recommend(activation(name)).kind == kind


def recommendations() -> list[tuple[Nonlinearity, Recommendation]]:
    names = [*ACTIVATIONS.names(), *NAMED]
    each = [(activation(name), bias) for name in names for bias in (None, 0.0, 0.5)]
    return [(found, recommend(found, bias)) for found, bias in each]


def test_every_recommendation_is_what_it_says() -> None:
    for found, made in recommendations():
        if math.isnan(made.weight_scale):
            assert made.kind == "none"
            continue
        scale, bias, q = made.weight_scale, made.bias_variance, made.q
        assert variance_map(found, q, scale, bias)[0] == pytest.approx(q, rel=1e-11)
        assert chi(found, q, scale)[0] == pytest.approx(made.chi, rel=1e-11)
        assert map_slope(found, q, scale)[0] == pytest.approx(made.map_slope, rel=1e-11)
        assert made.gain**2 == pytest.approx(scale)
        if made.kind == "none":
            assert abs(made.map_slope) < 1
            assert made.chi != pytest.approx(1, abs=1e-3)
        else:
            assert made.chi == pytest.approx(1, abs=1e-11)
            assert made.map_slope <= 1 + 1e-11


def test_without_biases_a_small_signal_is_recommended() -> None:
    for name in ("tanh", "erf", "sin", "hardtanh", "elu", "selu", "softsign"):
        found = recommend(phi(name), 0.0)
        assert found.kind == "small signal limit"
        assert found.weight_scale == small_signal_scale(phi(name))
        assert fate(phi(name), found.weight_scale, 0.0, 1.0).label == "algebraic drift"


def test_with_large_biases_gelu_has_a_stable_edge_of_chaos() -> None:
    found = recommend(phi("gelu"), 0.5)
    assert found.kind == "edge of chaos"
    assert found.map_slope < 1
    assert fate(phi("gelu"), found.weight_scale, 0.5, 1.0).q == pytest.approx(found.q, rel=1e-9)


def test_sigmoid_is_warned_of_and_its_centred_form_named() -> None:
    """Less 1/2 it is tanh(h / 2) / 2: its edge of chaos is that of tanh with 4 times the gain."""
    found = recommend(phi("sigmoid"))
    assert "saturation" in found.reason
    (tanh,) = edge_of_chaos(phi("tanh"), 0.05 / 4)
    assert f"s_w^2 = {16 * tanh.weight_scale:.4g}" in found.reason
    assert "s_w^2 = 16 " in recommend(phi("sigmoid"), 0.0).reason
    assert "saturation" not in recommend(phi("tanh")).reason
    assert "saturation" not in recommend(phi("relu6")).reason


def test_reasons_tell_why_there_is_none() -> None:
    assert "no mean-field limit" in recommend(phi("tan")).reason
    assert "no gradient passes" in recommend(phi("sgn")).reason
    assert "unstable fixed point (V' = 2)" in recommend(phi("exp")).reason
    softplus = recommend(phi("softplus"))
    assert "there is no edge of chaos" in softplus.reason
    assert f"{softplus.decades_per_layer:+.3g} decades" in softplus.reason
    assert "infinite" in recommend(own(lambda h: h.abs().log())).reason
    assert "V' = 1.085" in recommend(phi("gelu")).reason
    assert math.isnan(recommend(phi("tan")).decades_per_layer)


GROWING: dict[str, Nonlinearity] = {
    "square": phi("square"),
    "spline": phi("spline_sigmoid"),
    "h^3": own(lambda h: h**3),
    "h^4": own(lambda h: h**4),
    "sinh": own(torch.sinh),
}


@pytest.mark.parametrize("bias", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("found", GROWING.values(), ids=GROWING)
def test_a_standardised_input_ends_where_the_recommendation_says(
    found: Nonlinearity, bias: float
) -> None:
    """An unstable fixed point lies above the stable one: from beyond it the signal explodes."""
    made = recommend(found, bias)
    if math.isnan(made.weight_scale):
        assert bias == 0
        assert "nor any stable fixed point where a standardised input ends" in made.reason
        return
    q = made.weight_scale + made.bias_variance
    for _ in range(3000):
        q = variance_map(found, q, made.weight_scale, made.bias_variance)[0]
    assert q == pytest.approx(made.q, rel=1e-9)


def test_an_edge_of_chaos_that_no_standardised_input_reaches_is_not_recommended() -> None:
    found = own(lambda h: torch.tanh(h) + 0.4 * h**2)
    (point,) = (point for point in edge_of_chaos(found, 0.05) if point.map_slope < 1)
    start = point.weight_scale + 0.05
    assert fate(found, point.weight_scale, 0.05, start).q == math.inf
    assert recommend(found, 0.05).kind == "small signal limit"


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "hardswish"])
def test_of_a_half_stable_point_the_end_is_told(name: str) -> None:
    made = recommend(phi(name))
    end = fate(phi(name), made.weight_scale, made.bias_variance, 1.0)
    assert 0.5 * made.q < end.q < 1.1 * made.q
    standard = made.weight_scale + made.bias_variance
    end = fate(phi(name), made.weight_scale, made.bias_variance, standard)
    told = "grows without end" if end.q == math.inf else f"tends to {end.q:.4g}"
    assert f"From a standardised input q {told}, with chi = {end.chi:.4g}" in made.reason


def test_huge_biases_are_no_mistake() -> None:
    assert edge_of_chaos(phi("gelu"), 1e300) == ()
    assert recommend(phi("gelu"), 1e300).kind == "half-stable"


def test_the_nearest_thing_to_none_is_better_than_its_neighbours() -> None:
    """Of exp, V' = 2 (q - s_b^2) may be .95 at most, and chi = V' / 2."""
    found = recommend(phi("exp"), 0.0)
    assert 0.95 * 10 ** (-18 / 240) < found.map_slope <= 0.95
    assert found.chi == pytest.approx(found.map_slope / 2, rel=1e-9)


def test_a_user_with_a_kink_gets_his_own_weights() -> None:
    """Of relu(h - a) + a h / 2 nothing is declared; chi = 1 at V' < 1 must hold all the same."""
    found = own(lambda h: torch.tanh(h) + 0.1 * torch.relu(h - 0.7654321))
    made = recommend(found)
    assert made.kind == "edge of chaos"
    reached = fate(found, made.weight_scale, made.bias_variance, 1.0)
    assert reached.q == pytest.approx(made.q, rel=1e-9)
