"""Fixed points and what becomes of a signal, against a published table and closed forms."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import phi
from scipy import optimize, special

from fathom.activations import ACTIVATIONS, custom
from fathom.registry import Choice
from fathom.theory.curve import curve, rough_map, rough_step
from fathom.theory.fate import fate
from fathom.theory.fixed_points import fixed_points
from fathom.theory.meanfield import propagate, variance_map
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Nonlinearity, nonlinearity

FATES = list(csv.DictReader((Path(__file__).parent / "fates.csv").read_text().splitlines()))
FATE_IDS = [f"{row['activation']} {row['init']}" for row in FATES]
WRITTEN_SHORT = {"2.778": 25 / 9, "0.3333": 1 / 3}
TORCH_BIAS = 1 / 384
FIVE_KNOTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def activation(name: str) -> Nonlinearity:
    if name.startswith("spline"):
        ends = name.removeprefix("spline_")
        return phi("spline_sigmoid", knots=FIVE_KNOTS, ends=ends, outer_slope=None)
    return phi("leaky_relu", slope=0.01) if name.startswith("leaky") else phi(name)


ACTIVATIONS_OF_TABLE = {row["activation"]: activation(row["activation"]) for row in FATES}


def written(text: str) -> float:
    """Return how far a number may be from a written one: by one in the last of its digits."""
    digits = text.lower().partition("e")[0].lstrip("-0.").replace(".", "")
    if not digits or text == "inf":
        return 0.0
    exponent = math.floor(math.log10(abs(float(text))))
    return 10.0 ** (exponent - max(len(digits), 1) + 1)


def settings(row: dict[str, str]) -> tuple[Nonlinearity, float, float]:
    scale = WRITTEN_SHORT.get(row["weight_scale"]) or float(row["weight_scale"])
    bias = TORCH_BIAS if row["init"].startswith("torch") else 0.0
    return ACTIVATIONS_OF_TABLE[row["activation"]], scale, bias


# --- the table of 160 activations and initialisers


@pytest.mark.parametrize("row", FATES, ids=FATE_IDS)
def test_fate_is_that_of_the_table(row: dict[str, str]) -> None:
    found = fate(*settings(row), 1.0)
    assert found.label == row["label"]
    assert found.q == pytest.approx(float(row["q"]), rel=0, abs=written(row["q"]))
    assert found.chi == pytest.approx(float(row["chi"]), rel=0, abs=written(row["chi"]))
    rounding = 1e-11  # what the table says of V' = 256 e^-256
    slack = max(written(row["map_slope"]), rounding)
    assert found.map_slope == pytest.approx(float(row["map_slope"]), rel=0, abs=slack)
    if row["q_after_3000"]:
        assert found.last == pytest.approx(float(row["q_after_3000"]), rel=6e-3)


@pytest.mark.parametrize("row", FATES, ids=FATE_IDS)
def test_other_fixed_points_are_those_of_the_table(row: dict[str, str]) -> None:
    found = fate(*settings(row), 1.0).others
    expected = [pair.split(":") for pair in row["others"].split()]
    assert len(found) == len(expected)
    for point, (q, slope) in zip(found, expected, strict=True):
        assert point.q == pytest.approx(float(q), rel=0, abs=written(q))
        assert point.map_slope == pytest.approx(float(slope), rel=0, abs=written(slope))


@pytest.mark.parametrize("row", FATES, ids=FATE_IDS)
def test_gradients_over_50_layers_are_those_of_the_table(row: dict[str, str]) -> None:
    nonlinear, scale, bias = settings(row)
    network = Network(
        activations=(nonlinear,) * 50,
        widths=(128,) * 50,
        num_features=128,
        weight_scale=(scale,) * 50,
        bias_variance=(bias,) * 50,
    )
    found = propagate(network).gradient_log10[0]
    assert found == pytest.approx(float(row["gradient_log10"]), rel=0, abs=0.0051)


# --- closed forms


@pytest.mark.parametrize(("scale", "bias"), [(3.0, 0.0), (1.2, 0.3), (0.4, 0.01)])
def test_fixed_point_of_sin_solves_its_equation(scale: float, bias: float) -> None:
    """q = s (1 - e^-2q) / 2 + b is solved by q = s/2 + b + W(-s e^(-s - 2b)) / 2."""
    found = fate(phi("sin"), scale, bias, 1.0)
    expected = scale / 2 + bias + special.lambertw(-scale * math.exp(-scale - 2 * bias)).real / 2
    assert found.label == "fixed point"
    assert found.q == pytest.approx(expected, rel=1e-12)
    assert found.map_slope == pytest.approx(scale * math.exp(-2 * expected), rel=1e-10)
    assert found.chi == pytest.approx(scale * (1 + math.exp(-2 * expected)) / 2, rel=1e-12)
    assert found.depth_q == pytest.approx(-1 / math.log(scale * math.exp(-2 * expected)))
    assert found.depth_gradient == pytest.approx(1 / abs(math.log(found.chi)))


def test_exp_is_held_below_its_largest_scale_alone() -> None:
    """q = s e^2q has roots up to s = 1 / (2e); there chi = q* and V' = 2 q*."""
    low, high = fixed_points(phi("exp"), 0.15, 0.0)
    for point, branch in ((low, 0), (high, -1)):
        expected = -special.lambertw(-2 * 0.15, branch).real / 2
        assert point.q == pytest.approx(expected, rel=1e-11)
        assert point.chi == pytest.approx(expected, rel=1e-11)
        assert point.map_slope == pytest.approx(2 * expected, rel=1e-11)
    assert fate(phi("exp"), 0.15, 0.0, 0.01).q == low.q
    assert fate(phi("exp"), 0.1839, 0.0, 0.01).label == "fixed point"
    assert fate(phi("exp"), 0.1840, 0.0, 0.01).label == "explodes exponentially"
    assert fate(phi("exp"), 1 / 3, TORCH_BIAS, 1.0).q == math.inf


def test_square_collapses_or_blows_up() -> None:
    """V = 3 s q^2: the root at 1 / 3s has V' = 2 and chi = 4/3."""
    zero, root = fixed_points(phi("square"), 0.25, 0.0)
    assert zero == (0.0, 0.0, 0.0)
    assert root == pytest.approx((4 / 3, 4 / 3, 2.0), rel=1e-12)
    assert fate(phi("square"), 0.25, 0.0, 1.3).label == "collapses exponentially"
    assert fate(phi("square"), 0.25, 0.0, 1.4).label == "explodes exponentially"


@pytest.mark.parametrize("bias", [1e-3, 1e-14])
def test_a_tiny_bias_holds_a_tiny_signal(bias: float) -> None:
    """Even below the scan: q = b / (1 - s / 2) of relu, and nearly b / (1 - s) of tanh."""
    assert fate(phi("relu"), 1.0, bias, 1.0).q == pytest.approx(2 * bias, rel=1e-12)
    if bias < 1e-10:
        assert fate(phi("tanh"), 0.5, bias, 1.0).q == pytest.approx(2 * bias, rel=1e-10)


def test_a_step_is_held_but_passes_no_gradient() -> None:
    found = fate(phi("sgn"), 2.0, 0.5, 1.0)
    assert (found.label, found.chi) == ("fixed point", 0.0)
    assert found.q == pytest.approx(2.5, rel=1e-12)
    assert "no gradient passes back" in found.sentence


def test_a_pole_has_no_mean_field_limit() -> None:
    found = fate(phi("reciprocal"), 1.0, 0.0, 1.0)
    assert found.label == "no mean-field limit"
    assert math.isnan(found.q)
    assert "no mean-field limit" in found.sentence
    assert "Cauchy" in found.sentence
    undefined = fate(nonlinearity(custom(torch.sqrt, name="root")), 1.0, 0.0, 1.0)
    assert undefined.label == "no mean-field limit"


def test_a_pole_of_the_slope_is_told_beside_the_fixed_point() -> None:
    """V = s E ln^2 |h| has a fixed point; the gradient has no second moment there."""
    logarithm = nonlinearity(custom(lambda h: h.abs().log(), name="log"))
    found = fate(logarithm, 1.0, 0.1, 1.0)
    spread = math.pi**2 / 8

    def residual(q: float) -> float:
        mean = (math.log(q) - np.euler_gamma - math.log(2)) / 2
        return spread + mean**2 + 0.1 - q

    assert found.q == pytest.approx(optimize.brentq(residual, 0.1, 10), rel=1e-9)
    assert found.chi == math.inf
    assert "infinite" in found.sentence


# --- more than one end


@pytest.mark.parametrize(
    ("name", "threshold"), [("gelu", 0.591), ("silu", 1.736), ("hardswish", 2.02)]
)
def test_the_start_decides_between_nothing_and_infinity(name: str, threshold: float) -> None:
    below, above = (fate(phi(name), 2.56, 0.0, factor * threshold) for factor in (0.98, 1.02))
    assert (below.label, below.q) == ("collapses exponentially", 0.0)
    assert (above.label, above.q) == ("explodes exponentially", math.inf)
    for found in (below, above):
        assert found.thresholds == pytest.approx((threshold,), abs=0.001)
        assert f"unstable fixed point {found.thresholds[0]:.4g}" in found.sentence
    assert "below the unstable" in below.sentence
    assert "above the unstable" in above.sentence


def test_a_half_stable_point_holds_what_comes_from_one_side() -> None:
    """Source: Roberts, Yaida & Hanin 2022, arXiv:2106.10165, for the constants of GELU."""
    gelu, scale, bias = phi("gelu"), 1.9830582574375484, 0.17292239075606552
    above, below = (fate(gelu, scale, bias, start) for start in (10.0, 1.0))
    assert above.label == below.label == "algebraic drift"
    assert above.q == pytest.approx(3.561552812808754, rel=1e-5)
    assert (above.chi, above.map_slope) == pytest.approx((1.0, 1.0), abs=1e-6)
    # From below there is another fixed point before it, which is stable, but hardly so.
    assert below.q < above.q
    around = variance_map(gelu, below.q * np.array([0.98, 1.02]), scale, bias)
    assert around[0] > 0.98 * below.q
    assert around[1] < 1.02 * below.q
    assert below.last < below.q


def test_the_swish_point_that_circulates_with_a_wrong_digit_vanishes() -> None:
    """V - q is so flat at a half-stable point that a 9th digit moves the fixed point by 2 %."""
    right = fate(phi("silu"), 1.98800468, 0.55514317, 1.0)
    wrong = fate(phi("silu"), 1.98800468, 0.0555143, 1.0)
    assert right.label == "algebraic drift"
    assert right.q == pytest.approx(14.32017362, rel=0.03)
    assert (right.chi, right.map_slope) == pytest.approx((1, 1), abs=1e-3)
    assert wrong.label == "fixed point"
    assert wrong.q == pytest.approx(0.1201, abs=5e-5)
    assert wrong.chi == pytest.approx(0.550, abs=5e-4)


# --- extremes of the start


@pytest.mark.parametrize("start", [0.0, 1e-300, 1e-12, 1e3, 1e12, 1e300, math.inf])
def test_a_bounded_activation_comes_back_from_any_start(start: float) -> None:
    assert fate(phi("tanh"), 2.0, 0.1, start).q == pytest.approx(
        fate(phi("tanh"), 2.0, 0.1, 1.0).q, rel=1e-12
    )


@pytest.mark.parametrize("scale", [1e9, 1e10, 128e20])
def test_a_fixed_point_far_out_is_one(scale: float) -> None:
    """Of tanh, E phi^2 = 1 - E phi' = 1 - 2 / sqrt(2 pi q) and chi = s (4/3) / sqrt(2 pi q)."""
    for start in (1.0, 1e30):
        found = fate(phi("tanh"), scale, 0.0, start)
        root = math.sqrt(2 * math.pi * scale)
        assert found.label == "fixed point"
        assert found.q == pytest.approx(scale * (1 - 2 / root), rel=max(10 / scale, 1e-12))
        assert found.chi == pytest.approx(scale * 4 / 3 / root, rel=1e-4)
        assert found.map_slope == pytest.approx(1 / root, rel=1e-4)
    kept = fate(phi("gelu"), 1.9, 1e9, 1.0)
    assert (kept.label, kept.q) == ("fixed point", pytest.approx(1e9 / (1 - 1.9 / 2), rel=1e-9))
    root_like = nonlinearity(custom(lambda h: h.abs().sqrt(), name="root"))
    assert fate(root_like, 1e10, 0.0, 1.0).q == pytest.approx(1e20 * 2 / math.pi, rel=1e-9)


def test_no_signal_stays_none() -> None:
    assert fate(phi("tanh"), 2.0, 0.0, 0.0).q == 0


@pytest.mark.parametrize("start", [1e-14, 1.0, 1e12])
def test_what_keeps_every_scale_keeps_the_start(start: float) -> None:
    found = fate(phi("relu"), 2.0, 0.0, start)
    assert found.label == "continuum"
    assert found.q == pytest.approx(start, rel=1e-9)


def test_no_weights_leave_the_biases() -> None:
    assert fate(phi("gelu"), 0.0, 0.3, 1.0).q == pytest.approx(0.3, rel=1e-12)
    assert fate(phi("gelu"), 0.0, 0.0, 1.0).q == 0


# --- what the algorithm rests on


@pytest.mark.parametrize("name", [*ACTIVATIONS.names()])
def test_the_square_falls_no_faster_than_the_root_of_the_variance(name: str) -> None:
    """d ln m_2 / d ln q >= -1/2, so that V' > -1/2 at a fixed point, and nothing goes round."""
    nonlinear = phi(name)
    if nonlinear.value_diverges:
        pytest.skip("E phi^2 is infinite")
    found = curve(nonlinear)
    resolved = found.q < 1e4  # a wave is not, further on
    with np.errstate(all="ignore"):
        power = np.diff(np.log(found.square[resolved])) / np.diff(np.log(found.q[resolved]))
    assert np.nanmin(power) >= -0.5


@pytest.mark.parametrize("name", ["tanh", "gelu", "hardswish", "hardtanh", "selu", "softplus"])
def test_the_map_that_is_iterated_is_good_to_a_millionth(name: str) -> None:
    q = np.geomspace(1e-14, 1e8, 173)
    found = rough_map(curve(phi(name)), 1.3, 0.01)(q)
    np.testing.assert_allclose(found, variance_map(phi(name), q, 1.3, 0.01), rtol=3e-6)
    assert rough_map(curve(phi("exp")), 1.3, 0.01)(np.array([1e4]))[0] > 1e200
    step = rough_step(curve(phi(name)), 1.3, 0.01)
    np.testing.assert_allclose([step(float(each)) for each in q], found, rtol=1e-12)


# --- sentences


def test_sentences_say_the_numbers() -> None:
    def told(name: str, scale: float) -> str:
        return fate(phi(name), scale, 0.0, 1.0).sentence

    assert "settles at 0.618 (rms 0.7861)" in told("tanh", 2.0)
    assert "+0.0218 decades (chi 1.106)" in told("tanh", 2.0)
    assert "falls to 0, by a factor 0.5 in each layer" in told("relu", 1.0)
    assert "grows without end, by a factor 1.28 in each layer" in told("relu", 2.56)
    assert "drifts towards 0, ever more slowly: 0.000167 at layer 3000" in told("tanh", 1.0)
    assert "drifts without end" in told("elu", 2.0)
    assert "Every start is kept" in told("relu", 2.0)
    assert "gradient norm stays as it is (chi 1)" in told("relu", 2.0)
    assert "grows without end, fast" in told("square", 2.0)
    assert "no deviation outlives a layer" in told("sigmoid", 1.0)
    assert "a deviation shrinks by a factor e in 1.7 layers" in told("tanh", 2.0)


def test_all_of_the_registry_has_a_fate() -> None:
    for name in ACTIVATIONS.names():
        record = nonlinearity(ACTIVATIONS.build(Choice(name)))
        assert fate(record, 1.5, 0.02, 0.5).sentence
