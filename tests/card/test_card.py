"""The whole card: as data, as lines, as a picture, and what it says of the cost."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from study_functions import STUDY_002, TORCH

from fathom.activations import ACTIVATIONS, custom
from fathom.activations.base import Activation
from fathom.card import Card, chart, lines, make_card, to_plain
from fathom.card.speed import relative_speed
from fathom.card.text import sentence
from fathom.figures.charts import Chart, Line
from fathom.figures.draw import draw
from fathom.registry import Choice


def built(name: str) -> Activation:
    return ACTIVATIONS.build(Choice(name))


def card_of(name: str) -> Card:
    return make_card(custom(STUDY_002[name], name=name))


def line_of(picture: Chart, name: str) -> Line:
    (line,) = (line for line in picture.panels[0].lines if line.name == name)
    return line


# Data and lines --------------------------------------------------------------------------------


def test_what_moves_units_says_so_and_is_not_timed() -> None:
    card, other = make_card(built("sort")), make_card(built("identity"))
    told = [line.split()[0] for line in lines(card) if line]
    assert ("layer" in told, "time" in told) == (True, False)
    assert "moves the units of a sample" in "\n".join(lines(card))
    assert to_plain(card)["layer"]
    assert not to_plain(other)["layer"]
    assert "moves" not in "\n".join(lines(other))


def test_a_card_is_json() -> None:
    plain = json.loads(json.dumps(to_plain(make_card(built("reciprocal"))), allow_nan=False))
    assert plain["name"] == "reciprocal"
    assert plain["shape"]["low"] == {"value": "-inf", "attained": False}
    assert plain["shape"]["kinks"][0]["kind"] == "pole"
    assert plain["speed"].keys() == {"forward", "backward"}
    assert [f["severity"] for f in plain["examination"]["findings"]] == ["note", "note"]
    assert plain["examination"]["probes"][0] == {
        "precision": "float32",
        "at": 0.0,
        "value": "inf",
        "slope": "-inf",
    }


def test_lines_of_hardswish() -> None:
    facts = dict(line.strip().split("  ", 1) for line in lines(make_card(built("hardswish")))[4:14])
    told = {label: text.strip() for label, text in facts.items()}
    assert told["monotone"] == "no"
    assert told["range"] == "-0.375 to inf: not bounded"
    assert told["towards -inf"] == "value 0, from -3 on; slope 0"
    assert told["extremes"] == "minimum -0.375 at -1.5"
    assert told["kinks"] == (
        "corner at -3 (slope 0 before, -0.5 after); corner at 3 (slope 1.5 before, 1 after)"
    )
    assert told["zero slope"] == "below -3"
    assert told["max |slope|"] == "1.5"


def test_lines_of_a_faulty_formula() -> None:
    told = lines(card_of("sigmoid"))
    assert "  faults: 1" in told
    assert told[told.index("  faults: 1") + 1].strip() == (
        "slope is NaN at -1e+30, -10000, -89 in float32 and bfloat16; at -1e+30, -10000 in "
        "float64: a gradient trap: the value there is finite"
    )
    assert "  notes: none" in told
    assert "    range         0 (approached) to 1 (approached): bounded"[2:] in told


def test_a_jump_function_passes_no_gradient() -> None:
    told = lines(make_card(built("sgn")))
    assert "  zero slope    everywhere: no gradient passes" in told


def test_a_constant_has_its_value_everywhere() -> None:
    told = "\n".join(lines(make_card(custom(lambda h: 0 * h + 3, name="three"))))
    assert "towards -inf  value 3 everywhere; slope 0" in told
    assert "from inf on" not in told


def test_a_pole_is_found_where_the_formula_is_infinite_at_a_number() -> None:
    (kink,) = make_card(custom(lambda h: 1 / (h - 7.123), name="pole")).shape.kinks
    assert (kink.at, kink.kind) == (pytest.approx(7.123), "pole")


def test_long_lists_are_cut() -> None:
    told = lines(make_card(built("tan")))
    (kinks,) = (line for line in told if line.startswith("  kinks"))
    assert kinks.count("pole at") == 4
    assert kinks.endswith("; and more")


@pytest.mark.parametrize("name", TORCH)
def test_every_finding_has_a_sentence(name: str) -> None:
    card = make_card(custom(TORCH[name], name=name))
    for finding in card.examination.findings:
        assert sentence(finding).startswith(f"{finding.quantity} is ")
        assert sentence(finding).endswith(finding.detail)


# Picture ---------------------------------------------------------------------------------------


def test_picture_shows_curve_and_derivative() -> None:
    picture = chart(built("tanh"))
    value, slope = line_of(picture, "value"), line_of(picture, "derivative")
    assert (value.x[0], value.x[-1]) == (-5, 5)
    np.testing.assert_allclose(value.y, np.tanh(value.x), atol=1e-15)
    np.testing.assert_allclose(slope.y, 1 / np.cosh(slope.x) ** 2, atol=1e-15)
    assert (picture.title, picture.note) == ("tanh", "")


def test_kinks_are_marked_and_nothing_joins_them() -> None:
    picture = chart(custom(TORCH["hardswish"], name="mine"))
    marks = line_of(picture, "kinks")
    assert marks.markers
    assert marks.x[::2].tolist() == [-3, 3]
    assert marks.y[::2].tolist() == [0, 3]
    assert np.isnan(marks.y[1::2]).all()
    assert picture.note == "Kinks: -3 (corner), 3 (corner)."


def test_a_far_kink_widens_the_picture() -> None:
    assert line_of(chart(built("relu6")), "value").x[-1] == 6 * 1.25


def test_a_jump_is_a_gap_with_both_ends() -> None:
    value = line_of(chart(built("sgn")), "value")
    (gap,) = np.flatnonzero(np.isnan(value.y))
    assert value.x[gap] == 0
    assert (value.y[gap - 1], value.y[gap + 1]) == (-1, 1)
    assert value.x[gap + 1] - value.x[gap - 1] < 1e-5


def test_branches_of_a_pole_are_cut_off() -> None:
    picture = chart(built("tan"))
    for name in ("value", "derivative"):
        y = line_of(picture, name).y
        assert np.nanmax(np.abs(y)) <= 5
        assert np.isnan(y).sum() > 10
    assert line_of(picture, "kinks").x[::2] == pytest.approx(
        [math.pi * (k + 0.5) for k in range(-3, 3)], abs=1e-8
    )


@pytest.mark.parametrize("name", ["reciprocal", "exp", "sgn", "spline_sigmoid"])
def test_a_picture_can_be_drawn(name: str) -> None:
    assert len(draw(chart(built(name))).axes) == 1


# Speed -----------------------------------------------------------------------------------------


def test_relu_costs_as_much_as_relu() -> None:
    speed = relative_speed(built("relu"))
    assert speed.forward == pytest.approx(1, rel=0.5)
    assert speed.backward == pytest.approx(1, rel=0.5)


def test_more_work_takes_longer() -> None:
    relu = built("relu")
    assert relu.fast is not None
    forward, backward = relu.fast.forward, relu.fast.backward

    def six_forward(h: torch.Tensor, kept: torch.Tensor) -> None:
        for _ in range(6):
            forward(h, kept)

    def three_backward(grad: torch.Tensor, kept: torch.Tensor, act: torch.Tensor) -> None:
        for _ in range(3):
            backward(grad, kept, act)

    slow = replace(relu, fast=replace(relu.fast, forward=six_forward, backward=three_backward))
    speed = relative_speed(slow)
    assert 3 < speed.forward < 12
    assert 1.5 < speed.backward < 6
    assert speed.forward > speed.backward
