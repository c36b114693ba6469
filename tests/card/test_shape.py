"""Range, extremes, limits, kinks and flat parts against closed forms and published constants."""

import math

import pytest
import torch
from scipy import optimize, special
from study_functions import STUDY_002, TORCH, Function, gompertz, naive_softplus, root_of_abs, sinc

from fathom.activations import ACTIVATIONS, custom
from fathom.activations.base import Activation
from fathom.card.kinks import find_kinks
from fathom.card.numbers import subject
from fathom.card.shape import Bound, Shape, find_shape
from fathom.card.tails import tail
from fathom.registry import Choice

INF = math.inf
SELU_LOW = -1.0507009873554805 * 1.6732632423543772


def built(name: str) -> Activation:
    return ACTIVATIONS.build(Choice(name))


def shape_of(function: Function) -> Shape:
    return find_shape(custom(function, name="mine"))


# Extremes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("silu", -1.27846, -0.278465),
        ("gelu", -0.75179, -0.169971),
        ("mish", -1.19243, -0.308843),
        ("hardswish", -1.5, -0.375),
    ],
)
def test_the_published_minima(name: str, at: float, value: float) -> None:
    """Minima of Ramachandran et al. 2017, Hendrycks & Gimpel 2016, Misra 2019, Howard et al."""
    shape = find_shape(built(name))
    (extreme,) = shape.extremes
    assert extreme.kind == "minimum"
    assert extreme.at == pytest.approx(at, abs=1e-5)
    assert extreme.value == pytest.approx(value, abs=1e-6)
    assert shape.monotone == "not monotone"
    assert shape.low == Bound(value=extreme.value, attained=True)


def test_minimum_of_silu_is_the_root_of_its_slope() -> None:
    """phi' = s(x) (1 + x s(-x)) = 0."""
    root = optimize.brentq(lambda x: 1 + x * special.expit(-x), -2, -1, xtol=1e-14)
    (extreme,) = find_shape(built("silu")).extremes
    assert extreme.at == pytest.approx(root, abs=1e-7)
    assert extreme.value == pytest.approx(root * special.expit(root), abs=1e-15)


def test_extremes_of_a_wave() -> None:
    shape = find_shape(built("sin"))
    places = [math.pi * (k + 0.5) for k in range(-6, 6)]
    assert [e.at for e in shape.extremes] == pytest.approx(places, abs=1e-6)
    assert [e.kind for e in shape.extremes] == ["maximum", "minimum"] * 6


def test_an_extreme_between_two_points_of_the_grid_is_found() -> None:
    (extreme,) = shape_of(lambda x: (x - 0.0025) ** 2).extremes
    assert (extreme.kind, extreme.at) == ("minimum", 0.0025)


# Monotone, symmetric, ranges ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monotone", "names"),
    [
        ("increasing", "identity tanh sigmoid softsign erf elu selu softplus exp leaky_relu"),
        ("non-decreasing", "relu relu6 hardtanh sgn"),
        ("not monotone", "gelu silu mish hardswish sin cos tan abs square reciprocal"),
    ],
)
def test_monotone(monotone: str, names: str) -> None:
    found = {name: find_shape(built(name)).monotone for name in names.split()}
    assert found == dict.fromkeys(names.split(), monotone)


def test_monotone_the_other_way() -> None:
    assert shape_of(lambda x: -torch.relu(x)).monotone == "non-increasing"
    assert shape_of(lambda x: -torch.tanh(x)).monotone == "decreasing"
    assert shape_of(lambda x: 0 * x + 1).monotone == "constant"


@pytest.mark.parametrize(
    ("symmetry", "names"),
    [
        ("odd", "identity tanh softsign erf sin tan reciprocal hardtanh sgn"),
        ("even", "abs square cos"),
        ("neither", "relu sigmoid gelu softplus spline_sigmoid"),
    ],
)
def test_symmetry(symmetry: str, names: str) -> None:
    found = {name: find_shape(built(name)).symmetry for name in names.split()}
    assert found == dict.fromkeys(names.split(), symmetry)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sigmoid", (0, False), (1, False)),
        ("tanh", (-1, False), (1, False)),
        ("softsign", (-1, False), (1, False)),
        ("erf", (-1, False), (1, False)),
        ("relu", (0, True), (INF, False)),
        ("relu6", (0, True), (6, True)),
        ("hardtanh", (-1, True), (1, True)),
        ("elu", (-1, False), (INF, False)),
        ("selu", (SELU_LOW, False), (INF, False)),
        ("softplus", (0, False), (INF, False)),
        ("exp", (0, False), (INF, False)),
        ("sin", (-1, True), (1, True)),
        ("sgn", (-1, True), (1, True)),
        ("tan", (-INF, False), (INF, False)),
        ("reciprocal", (-INF, False), (INF, False)),
        ("square", (0, True), (INF, False)),
    ],
)
def test_range(name: str, low: tuple[float, bool], high: tuple[float, bool]) -> None:
    shape = find_shape(built(name))
    assert (shape.low.value, shape.low.attained) == (pytest.approx(low[0], abs=1e-9), low[1])
    assert (shape.high.value, shape.high.attained) == (pytest.approx(high[0], abs=1e-9), high[1])
    assert shape.bounded == (math.isfinite(low[0]) and math.isfinite(high[0]))


def test_ranges_of_faulty_formulas_are_those_of_the_functions() -> None:
    for name, like in [("tanh", "tanh"), ("sigmoid", "sigmoid"), ("elu", "elu")]:
        shape, expected = shape_of(STUDY_002[name]), find_shape(built(like))
        assert (shape.low, shape.high) == (expected.low, expected.high)
        assert shape.monotone == expected.monotone


def test_a_maximum_inside_and_a_limit_outside() -> None:
    shape = shape_of(lambda x: torch.exp(-x * x))
    assert (shape.low, shape.high) == (
        Bound(value=0, attained=False),
        Bound(value=1, attained=True),
    )
    assert shape.symmetry == "even"


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "mish", "hardswish", "tanh", "sigmoid"])
def test_max_slope_is_that_of_the_record(name: str) -> None:
    activation = built(name)
    assert find_shape(activation).max_slope == pytest.approx(activation.max_slope, rel=1e-12)


@pytest.mark.parametrize("name", ["square", "exp", "tan", "reciprocal"])
def test_max_slope_without_a_bound(name: str) -> None:
    assert find_shape(built(name)).max_slope == INF


def test_what_is_at_0() -> None:
    shape = find_shape(built("softplus"))
    assert (shape.value_at_zero, shape.slope_at_zero) == pytest.approx((math.log(2), 0.5))


# Tails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "left", "right"),
    [
        (torch.atan, -math.pi / 2, math.pi / 2),
        (lambda x: x / (1 + x.abs()), -1, 1),
        (lambda x: 1 / (1 + x.abs()).sqrt(), 0, 0),
        (sinc, 0, 0),
        (torch.sin, None, None),
        (lambda x: x + torch.sin(x), -INF, INF),
        (lambda x: x * torch.sin(x), None, None),
        (lambda x: torch.log(1 + x * x), INF, INF),
        (lambda x: x.abs() ** 0.1, INF, INF),
        (torch.log, None, INF),
        (torch.asin, None, None),
        (gompertz, 0, 1),
        (naive_softplus, 0, INF),
        (lambda x: torch.exp(x * x * x), 0, INF),
        (lambda x: -torch.exp(x), 0, -INF),
        (STUDY_002["tanh"], -1, 1),
    ],
)
def test_limits(function: Function, left: float | None, right: float | None) -> None:
    phi = subject(custom(function, name="mine"), "value", "float64")
    for side, expected in ((-1, left), (1, right)):
        limit = tail(phi, side).limit  # type: ignore[arg-type]  # a tuple of literals is widened
        if expected is None:
            assert limit is None
        else:
            assert limit == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("function", "left", "right"),
    [
        (TORCH["relu6"], 0.0, 6.0),
        (TORCH["hardtanh"], -1.0, 1.0),
        (TORCH["tanh"], None, None),
        (lambda x: torch.erf(x), None, None),
        (gompertz, None, None),
        (lambda x: torch.relu(1 - x * x / 4), -2.0, 2.0),
        (lambda x: torch.relu(1 - x.abs()) ** 2, -1.0, 1.0),
        (lambda x: 0 * x + 3, INF, -INF),
    ],
)
def test_where_a_function_becomes_constant(
    function: Function, left: float | None, right: float | None
) -> None:
    shape = shape_of(function)
    for found, expected in ((shape.left, left), (shape.right, right)):
        if expected is None:
            assert found.constant_from is None
        else:
            assert found.constant_from == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "flats"),
    [
        ("relu", [(-INF, 0)]),
        ("relu6", [(-INF, 0), (6, INF)]),
        ("hardtanh", [(-INF, -1), (1, INF)]),
        ("hardsigmoid", [(-INF, -3), (3, INF)]),
        ("softshrink", [(-0.5, 0.5)]),
        ("hardshrink", [(-0.5, 0.5)]),
        ("sigmoid", []),
        ("tanh", []),
        ("silu", []),
    ],
)
def test_flat_parts(name: str, flats: list[tuple[float, float]]) -> None:
    assert list(shape_of(TORCH[name]).flats) == flats


# Kinks -----------------------------------------------------------------------------------------


def test_kinks_of_a_function_that_declares_none() -> None:
    left, right = find_kinks(custom(TORCH["hardswish"], name="mine"))
    assert [(left.at, left.kind), (right.at, right.kind)] == [(-3.0, "corner"), (3.0, "corner")]
    sides = (left.slope_left, left.slope_right, right.slope_left, right.slope_right)
    assert sides == pytest.approx((0, -0.5, 1.5, 1), abs=1e-9)
    assert (left.slope, right.slope) == (0, 1)


@pytest.mark.parametrize(
    ("function", "at", "kind"),
    [
        (torch.sign, 0.0, "jump"),
        (TORCH["selu"], 0.0, "corner"),
        (lambda x: 1 / (x - 3), 3.0, "pole"),
        (lambda x: torch.log(torch.abs(x)), 0.0, "pole"),
        (root_of_abs, 0.0, "vertical"),
        (lambda x: torch.where(x > 0.7, x, torch.tanh(x)), 0.7, "jump"),
    ],
)
def test_kinds_of_kinks(function: Function, at: float, kind: str) -> None:
    (kink,) = find_kinks(custom(function, name="mine"))
    assert (kink.at, kink.kind) == (pytest.approx(at, abs=1e-8), kind)


def test_poles_of_tan() -> None:
    kinks = find_kinks(built("tan"))
    nearest = [math.pi * (k + 0.5) for k in range(-8, 8)]
    assert [kink.at for kink in kinks] == pytest.approx(nearest, abs=1e-8)
    assert {kink.kind for kink in kinks} == {"pole"}


def test_smooth_functions_have_no_kink() -> None:
    for name in ("tanh", "gelu", "silu", "mish", "softsign", "elu", "softplus", "exp"):
        assert find_kinks(built(name)) == ()
