"""Faults are found and told from what lies in the function; nothing else is called a fault."""

import math
from collections.abc import Iterable

import pytest
import torch
from study_functions import (
    STUDY_002,
    TORCH,
    Function,
    bent_identity,
    gompertz,
    naive_softplus,
    root_of_abs,
    sinc,
)
from torch import Tensor

from fathom.activations import ACTIVATIONS, custom
from fathom.activations.base import Activation
from fathom.card.examination import EDGES, Examination, Finding, examine
from fathom.errors import ComponentError
from fathom.registry import Choice

INF, NAN = math.inf, math.nan
PRECISIONS = ("float32", "float64", "bfloat16")


def examined(function: Function, slope: Function | None = None) -> Examination:
    return examine(custom(function, name="mine", slope=slope))


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def places(finding: Finding, precision: str) -> set[float]:
    return {place.at for place in finding.places if place.precision == precision}


# Nothing wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS.names())
def test_built_in_activations_have_no_fault(name: str) -> None:
    assert examine(ACTIVATIONS.build(Choice(name))).faults == ()


@pytest.mark.parametrize("name", TORCH)
def test_those_of_torch_have_no_fault(name: str) -> None:
    assert examined(TORCH[name]).faults == ()


@pytest.mark.parametrize(
    ("name", "causes"),
    [
        ("relu", set()),
        ("gelu", set()),
        ("tan", {("no_limit", "value"), ("no_limit", "slope")}),
        ("reciprocal", {("pole", "value"), ("overflow", "slope")}),
        ("exp", {("overflow", "value")}),
        ("square", {("overflow", "value")}),
    ],
)
def test_notes_of_built_in_activations(name: str, causes: set[tuple[str, str]]) -> None:
    notes = examine(ACTIVATIONS.build(Choice(name))).notes
    assert {(note.cause, note.quantity) for note in notes} == causes


def test_every_edge_is_probed_in_every_precision() -> None:
    examination = examine(ACTIVATIONS.build(Choice("hardswish")))
    expected = {*EDGES, -3.0, 3.0, -INF, INF}
    for precision in PRECISIONS:
        own = [probe for probe in examination.probes if probe.precision == precision]
        assert {probe.at for probe in own[:-1]} == expected
        assert math.isnan(own[-1].at)
        assert {(p.value, p.slope) for p in own if p.at == 89} == {(89.0, 1.0)}


# The tutorial -------------------------------------------------------------------------------------


def test_study_sigmoid_has_a_gradient_trap() -> None:
    fault = only(examined(STUDY_002["sigmoid"]).faults)
    assert (fault.cause, fault.quantity) == ("gradient_trap", "slope")
    assert places(fault, "float32") == {-89.0, -1e4, -1e30}
    assert places(fault, "float64") == {-1e4, -1e30}
    assert all(math.isnan(place.got) for place in fault.places)


def test_study_tanh_is_nan_where_both_exponentials_overflow() -> None:
    fault = only(examined(STUDY_002["tanh"]).faults)
    assert (fault.cause, fault.quantity) == ("nan", "value")
    assert places(fault, "float32") == {sign * x for x in (89.0, 1e4, 1e30) for sign in (-1, 1)}
    assert places(fault, "float64") == {-1e4, 1e4, -1e30, 1e30}
    assert "intermediate result overflows" in fault.detail


def test_study_elu_has_a_gradient_trap_on_the_other_branch() -> None:
    fault = only(examined(STUDY_002["elu"]).faults)
    assert (fault.cause, fault.quantity) == ("gradient_trap", "slope")
    assert places(fault, "float32") == {89.0, 1e4, 1e30}
    assert places(fault, "float64") == {1e4, 1e30}


def test_study_relu_gets_notes_only() -> None:
    examination = examined(STUDY_002["relu"])
    assert examination.faults == ()
    by_cause = {note.cause: note for note in examination.notes}
    assert by_cause.keys() == {"nan_at_infinity", "slope_without_nan"}
    at_infinity = by_cause["nan_at_infinity"]
    assert {(p.precision, p.at) for p in at_infinity.places} == {(n, -INF) for n in PRECISIONS}
    assert at_infinity.detail == "the limit is 0"


@pytest.mark.parametrize("name", ["leaky_relu", "swish"])
def test_the_others_of_the_study_have_no_fault(name: str) -> None:
    assert examined(STUDY_002[name]).faults == ()


# At infinity and NaN ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "quantity", "at", "limit"),
    [
        ("gelu", "value", -INF, "0"),
        ("gelu", "slope", INF, "1"),
        ("silu", "value", -INF, "0"),
        ("silu", "slope", INF, "1"),
        ("mish", "slope", -INF, "0"),
        ("hardswish", "value", -INF, "0"),
        ("softsign", "value", -INF, "-1"),
        ("softsign", "value", INF, "1"),
        ("softsign", "slope", INF, "0"),
    ],
)
def test_nan_at_infinity_is_a_note_with_the_limit(
    name: str, quantity: str, at: float, limit: str
) -> None:
    notes = [note for note in examined(TORCH[name]).notes if note.cause == "nan_at_infinity"]
    found = [n for n in notes if n.quantity == quantity and at in {p.at for p in n.places}]
    assert only(found).detail == f"the limit is {limit}"


def test_a_wrong_limit_is_a_note() -> None:
    def clamps_infinity(x: Tensor) -> Tensor:
        return torch.where(x.isinf(), torch.zeros_like(x), torch.tanh(x))

    notes = examined(clamps_infinity).notes
    assert {(note.cause, note.quantity) for note in notes} == {("wrong_at_infinity", "value")}
    assert {note.detail for note in notes} == {"the limit is -1", "the limit is 1"}


def test_swallowed_nan_is_a_fault() -> None:
    fault = only(examined(torch.sign).faults)
    assert (fault.cause, fault.quantity) == ("nan_swallowed", "value")
    assert [(place.precision, place.got) for place in fault.places] == [(n, 0) for n in PRECISIONS]


def test_a_slope_without_nan_is_a_note() -> None:
    note = only(examined(torch.relu).notes)
    assert (note.cause, note.quantity) == ("slope_without_nan", "slope")
    assert {place.got for place in note.places} == {1.0}


# Truth at finite points ------------------------------------------------------------------------


def test_naive_softplus_overflows_though_it_is_small() -> None:
    fault = only(examined(naive_softplus).faults)
    assert (fault.cause, fault.quantity) == ("false_overflow", "value")
    assert places(fault, "float32") == {89.0, 1e4, 1e30}
    assert places(fault, "float64") == {1e4, 1e30}


def test_a_large_function_may_overflow() -> None:
    for function in (lambda x: x * torch.exp(x), lambda x: torch.exp(x * x), lambda x: x**3):
        examination = examined(function)
        assert examination.faults == ()
        assert "overflow" in {note.cause for note in examination.notes}


@pytest.mark.parametrize(
    ("function", "details"),
    [
        (torch.log, {"not defined below 0"}),
        (torch.asin, {"not defined below -1", "not defined above 1"}),
        (lambda x: torch.sqrt(x * x - 4), {"not defined between -2 and 2"}),
        (lambda x: torch.sqrt(x - 0.3), {"not defined below 0.3"}),
    ],
)
def test_a_domain_is_told(function: Function, details: set[str]) -> None:
    faults = [fault for fault in examined(function).faults if fault.quantity == "value"]
    assert {fault.cause for fault in faults} == {"not_defined"}
    assert {fault.detail for fault in faults} == details


@pytest.mark.parametrize(
    "function", [lambda x: torch.log(torch.abs(x)), lambda x: 1 / (x - 3)], ids=["log", "1/(x-3)"]
)
def test_a_pole_is_no_fault(function: Function) -> None:
    examination = examined(function)
    causes = {(note.cause, note.quantity) for note in examination.notes}
    assert ("pole", "value") in causes
    assert {(fault.cause, fault.quantity) for fault in examination.faults} <= {
        ("gradient_trap", "slope")
    }


@pytest.mark.parametrize(
    ("function", "at"),
    [(torch.tanh, 20.0), (lambda x: 1 - torch.abs(x), 0.0), (torch.cos, 0.0)],
    ids=["flat", "corner", "hill"],
)
def test_infinity_on_a_bounded_stretch_is_a_fault(function: Function, at: float) -> None:
    def spike(x: Tensor) -> Tensor:
        return torch.where(x == at, torch.full_like(x, INF), function(x))

    fault = only(examined(spike).faults)
    assert (fault.cause, places(fault, "float32")) == ("false_overflow", {at})


def test_a_hole_is_told_from_a_domain() -> None:
    fault = only(examined(sinc).faults)
    assert (fault.cause, fault.quantity) == ("nan", "value")
    assert fault.detail == "on both sides of it the function is finite"
    assert places(fault, "bfloat16") == {0.0}


def test_a_hole_between_the_edges_is_found() -> None:
    fault = only(examined(lambda x: (x - 7.5) * torch.sin(x) / (x - 7.5)).faults)
    assert {places(fault, name) == {7.5} for name in PRECISIONS} == {True}


def test_a_vertical_tangent_without_a_slope_is_a_trap() -> None:
    fault = only(examined(root_of_abs).faults)
    assert (fault.cause, fault.quantity) == ("gradient_trap", "slope")
    assert places(fault, "float32") == {0.0}


def test_a_vertical_tangent_with_an_infinite_slope_is_a_pole_of_the_slope() -> None:
    def slope(x: Tensor) -> Tensor:
        return x.sign().masked_fill(x == 0, 1) / (2 * root_of_abs(x))

    examination = examined(root_of_abs, slope)
    assert examination.faults == ()
    note = only(note for note in examination.notes if note.cause == "pole")
    assert (note.quantity, places(note, "float64")) == ("slope", {0.0})


def test_a_double_exponential_traps_the_gradient() -> None:
    fault = only(examined(gompertz).faults)
    assert (fault.cause, places(fault, "float32")) == ("gradient_trap", {-89.0, -1e4, -1e30})


def test_what_goes_wrong_beyond_the_reach_of_training_is_a_note() -> None:
    examination = examined(bent_identity)
    assert examination.faults == ()
    far = [note for note in examination.notes if note.cause == "false_overflow"]
    assert {abs(place.at) for note in far for place in note.places} == {1e30}


# The slope -------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.001, -1.0, 0.5])
def test_a_wrong_slope_is_a_fault(factor: float) -> None:
    examination = examined(torch.tanh, lambda h: factor / torch.cosh(h) ** 2)
    fault = only(examination.faults)
    assert (fault.cause, fault.quantity) == ("wrong_slope", "slope")
    assert not examination.derivative.passed
    # max |factor f' - f'| / max(1, |f'|) with f'(0) = 1
    assert examination.derivative.deviation == pytest.approx(abs(factor - 1), rel=1e-4)
    assert abs(examination.derivative.at) < 0.01


def test_a_slope_that_is_wrong_on_one_side_is_found_there() -> None:
    record = Activation(name="bad", value=torch.relu, slope=torch.ones_like, kinks=(0.0,))
    check = examine(record).derivative
    assert (check.deviation, check.slope) == (1.0, 1.0)
    assert check.at < 0


def test_a_function_that_computes_in_float32_passes() -> None:
    assert examined(lambda x: torch.tanh(x.float()).to(x.dtype)).derivative.passed


@pytest.mark.parametrize("name", ["hardswish", "spline_sigmoid", "sgn", "tan"])
def test_kinks_and_poles_do_not_disturb_the_comparison(name: str) -> None:
    check = examine(ACTIVATIONS.build(Choice(name))).derivative
    assert check.deviation < 1e-9
    assert check.num_points > 2000


# What cannot be examined -----------------------------------------------------------------------


def test_a_precision_that_fails_is_a_note() -> None:
    def picky(x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16:
            raise TypeError("no halves here")
        return torch.tanh(x)

    note = only(examined(picky).notes)
    assert (note.cause, note.places[0].precision) == ("unsupported", "bfloat16")
    assert "no halves here" in note.detail


def test_a_broken_function_is_refused() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("no such thing")

    with pytest.raises(ComponentError, match="'bad': its value raised RuntimeError: no such thing"):
        examine(Activation(name="bad", value=broken, slope=torch.ones_like))
