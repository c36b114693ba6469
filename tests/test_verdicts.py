"""The rules: each at, above and below its limit, in their order, and with numbers unknown."""

import dataclasses
import math
from typing import Any, get_args

import pytest

from fathom.verdicts import Evidence, Name, judge, no_prediction

# A network of which nothing is to be said against; every case changes one or two of its numbers.
SOUND: dict[str, Any] = {
    "gradient_span": 0.0,
    "span_sd": 0.25,
    "smallest_gradient": 1e-3,
    "scale_growth": 0.0,
    "largest_rms": 1.0,
    "cosine": 0.5,
    "num_probes": 256,
    "num_classes": 10,
    "dead_share": 0.0,
    "saturated_share": 0.0,
    "largest_update": 1e-3,
    "smallest_update": 1e-3,
    "loss": 1.0,
    "first_loss": math.log(10),
    "uniform_loss": math.log(10),
    "epochs": 5,
}
STEP = 1e-9  # relative, to either side of a limit


def sound(**changes: Any) -> Evidence:
    return Evidence(**(SOUND | changes))


def cosine_of_rank(rank: float, num: int) -> float:
    """Solve num^2 / ((1 + (num-1) c)^2 + (num-1) (1-c)^2) = rank for c > 0."""
    return math.sqrt((num / rank - 1) / (num - 1))


# Field, verdict at the limit or beyond, limit, side, and what holds just short of it.
LIMITS = [
    ("loss", "diverged", 10 * math.log(10), 1, "healthy"),
    ("gradient_span", "exploding", 3.0, 1, "borderline"),
    ("scale_growth", "exploding", 4.0, 1, "healthy"),
    ("largest_rms", "exploding", 1e4, 1, "healthy"),
    ("largest_update", "exploding", 0.1, 1, "borderline"),
    ("smallest_gradient", "vanishing", 1e-19, -1, "healthy"),
    ("gradient_span", "vanishing", -3.0, -1, "borderline"),
    ("cosine", "collapsed", 1 - 1e-3, 1, "borderline"),
    ("dead_share", "dying", 0.40, 1, "borderline"),
    ("saturated_share", "saturated", 0.50, 1, "borderline"),
    ("gradient_span", "borderline", 1 + 2 * 0.25, 1, "healthy"),
    ("gradient_span", "borderline", -1 - 2 * 0.25, -1, "healthy"),
    ("largest_update", "borderline", 1e-2, 1, "healthy"),
    ("smallest_update", "borderline", 1e-4, -1, "healthy"),
    ("dead_share", "borderline", 0.10, 1, "healthy"),
    ("saturated_share", "borderline", 0.25, 1, "healthy"),
    ("cosine", "borderline", cosine_of_rank(1.02, 256), 1, "healthy"),
]


@pytest.mark.parametrize(("field", "verdict", "limit", "side", "short_of_it"), LIMITS)
def test_a_rule_fires_from_its_limit_on(
    field: str, verdict: str, limit: float, side: int, short_of_it: str
) -> None:
    beyond, before = (limit + s * side * STEP * max(abs(limit), STEP) for s in (1, -1))
    if field == "smallest_gradient":
        beyond, before = limit * (1 - STEP), limit * (1 + STEP)
    assert judge(sound(**{field: beyond})).name == verdict
    assert judge(sound(**{field: before})).name == short_of_it
    assert judge(sound(**{field: math.nan})).name in {"healthy", "unknown"}


@pytest.mark.parametrize(
    ("field", "verdict", "limit"),
    [
        ("gradient_span", "exploding", 3.0),
        ("gradient_span", "vanishing", -3.0),
        ("scale_growth", "exploding", 4.0),
        ("largest_rms", "exploding", 1e4),
        ("dead_share", "dying", 0.40),
        ("saturated_share", "saturated", 0.50),
        ("gradient_span", "borderline", 1.5),
        ("dead_share", "borderline", 0.10),
        ("saturated_share", "borderline", 0.25),
    ],
)
def test_at_the_limit_a_rule_fires(field: str, verdict: str, limit: float) -> None:
    found = judge(sound(**{field: limit}))
    assert found.name == verdict
    assert found.value == found.threshold or field == "gradient_span"


@pytest.mark.parametrize(("side", "verdict"), [(-1, "stalled"), (1, "healthy")])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_loss_that_stays_near_that_of_equal_shares_stalls(
    side: int, verdict: str, sign: int
) -> None:
    loss = math.log(10) * (1 + sign * 0.01 * (1 + side * 1e-6))
    assert judge(sound(loss=loss)).name == verdict
    assert judge(sound(loss=loss, epochs=1)).name == "healthy"
    assert judge(sound(loss=loss, uniform_loss=math.nan)).name == "healthy"


def test_not_finite_comes_before_every_number() -> None:
    found = judge(sound(is_finite=False, gradient_span=-9.0))
    assert found.name == "diverged"
    assert "is not finite in float32" in found.sentence  # as true of a prediction
    assert math.isnan(found.value)


ORDER = [
    {"loss": 1e3},
    {"gradient_span": 4.0},
    {"smallest_gradient": 0.0},
    {"cosine": 1.0},
    {"dead_share": 0.9},
    {"saturated_share": 0.9},
    {"largest_update": 0.05},
]


@pytest.mark.parametrize("first", range(len(ORDER) - 1))
def test_the_first_rule_that_fires_decides(first: int) -> None:
    alone = judge(sound(**ORDER[first])).name
    both = judge(sound(**{key: v for case in reversed(ORDER[first:]) for key, v in case.items()}))
    assert both.name == alone


def test_what_is_not_known_fires_nothing_and_is_not_called_healthy() -> None:
    assert judge(Evidence()).name == "unknown"
    assert judge(Evidence(gradient_span=0.0)).name == "healthy"
    assert judge(Evidence(dead_share=1.0)).name == "dying"


@pytest.mark.parametrize(("span", "verdict"), [(math.inf, "exploding"), (-math.inf, "vanishing")])
def test_spans_without_end(span: float, verdict: str) -> None:
    assert judge(Evidence(gradient_span=span)).name == verdict


def test_more_spread_allows_a_larger_span() -> None:
    assert judge(sound(gradient_span=1.4, span_sd=0.25)).name == "healthy"
    assert judge(sound(gradient_span=1.4, span_sd=0.1)).name == "borderline"
    assert judge(sound(gradient_span=1.4, span_sd=math.nan)).name == "borderline"


def test_two_classes_may_share_a_direction() -> None:
    assert judge(sound(cosine=0.995)).name == "borderline"
    assert judge(sound(cosine=0.995, num_classes=2)).name == "healthy"


@pytest.mark.parametrize(("num", "cosine"), [(2, 0.3), (16, 0.0), (16, 0.7), (300, -1 / 299)])
def test_the_participation_ratio_is_that_of_the_gram_matrix(num: int, cosine: float) -> None:
    # Eigenvalues of a matrix with 1 on the diagonal and c beside it.
    eigenvalues = [1 + (num - 1) * cosine] + [1 - cosine] * (num - 1)
    expected = sum(eigenvalues) ** 2 / sum(value**2 for value in eigenvalues)
    assert sound(num_probes=num, cosine=cosine).participation == pytest.approx(expected)


def test_the_participation_ratio_of_very_many_inputs_stands_for_an_unknown_number() -> None:
    many = sound(num_probes=10**9, cosine=0.9).participation
    assert sound(num_probes=0, cosine=0.9).participation == pytest.approx(many, rel=1e-6)
    assert math.isnan(sound(num_probes=0, cosine=0.0).participation)


def test_a_sentence_tells_number_limit_prediction_and_cause() -> None:
    found = judge(sound(gradient_span=-5.25), Evidence(gradient_span=-5.5, span_sd=0.25))
    assert (found.name, found.value, found.threshold, found.predicted) == (
        "vanishing",
        -5.25,
        -3.0,
        -5.5,
    )
    assert found.sentence == (
        "vanishing: gradient span [decades] is -5.25, at most -3 (predicted before training: -5.5);"
        " the gradient dies out on its way back to the first layer"
    )


def test_without_a_prediction_a_sentence_tells_none() -> None:
    assert "predicted" not in judge(sound(gradient_span=-5.25)).sentence
    healthy = judge(sound(gradient_span=0.5)).sentence
    assert healthy == "healthy: gradient span [decades] is 0.5, within 1.5; no rule fires"


def test_a_sentence_rounds_what_is_nothing_and_names_what_is_endless() -> None:
    nothing = judge(sound(gradient_span=-1e-17), Evidence(gradient_span=-3e-16)).sentence
    assert nothing == (
        "healthy: gradient span [decades] is 0, within 1.5 (predicted before training: 0);"
        " no rule fires"
    )
    lost = judge(sound(gradient_span=-math.inf), Evidence(gradient_span=-math.inf)).sentence
    assert lost == (
        "vanishing: no gradient arrives (predicted before training: no gradient arrives);"
        " the gradient dies out on its way back to the first layer"
    )
    tiny = judge(sound(smallest_gradient=1e-25)).sentence
    assert tiny.startswith("vanishing: rms of dL/dh is 1e-25, at most 1e-19")


@pytest.mark.parametrize(("num", "verdict"), [(1, "healthy"), (7, "healthy"), (8, "dying")])
def test_dead_units_need_inputs(num: int, verdict: str) -> None:
    assert judge(sound(dead_share=0.5, num_probes=num)).name == verdict
    at_doubt = judge(sound(dead_share=0.2, num_probes=num)).name
    assert at_doubt == ("borderline" if num == 8 else "healthy")
    assert judge(sound(dead_share=0.5, num_probes=0)).name == "dying"  # not known


def test_no_prediction_gives_its_reason() -> None:
    found = no_prediction("a pole at 0")
    assert (found.name, found.sentence) == ("no prediction", "no prediction: a pole at 0")


def test_every_verdict_can_be_reached() -> None:
    cases = [{"is_finite": False}, *ORDER, {}, {"gradient_span": math.nan}]
    cases.append({"loss": math.log(10)})
    reached = {judge(sound(**case)).name for case in cases} | {no_prediction("").name}
    assert reached == set(get_args(Name))


def test_the_numbers_of_the_sound_network_are_all_there_are() -> None:
    assert {field.name for field in dataclasses.fields(Evidence)} == {*SOUND, "is_finite"}
