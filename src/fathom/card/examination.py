"""An activation at the edges: zeros, kinks, huge numbers, infinities and NaN in three precisions.

`judgement.py` has the rules for finite points. At +-inf the limit is expected, and its absence is a
note: no network in training gets there. NaN must come out where NaN goes in, or a diverged network
looks healthy; a slope that is finite there is a note, as the value tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from fathom.activations.base import Activation
from fathom.activations.custom import try_out
from fathom.card.derivative import DerivativeCheck, check_derivative
from fathom.card.judgement import (
    FAULTS,
    Cause,
    Judgement,
    judge_at_infinity,
    judge_slope,
    judge_value,
)
from fathom.card.kinks import find_kinks
from fathom.card.numbers import DTYPES, Precision, Quantity, Subject, subject
from fathom.card.tails import Tail, tail
from fathom.errors import ComponentError

TRAINING_REACH: Final = 1e4  # what goes wrong farther out is a note
_SIZES: Final = (0.0, 1e-30, 20.0, 89.0, TRAINING_REACH, 1e30)
EDGES: Final = tuple(sign * size for size in _SIZES for sign in (1.0, -1.0))
_SCAN: Final = np.linspace(-20, 20, 1601)  # integers, halves and tenths are in it
_MOST_SCANNED: Final = 8


class Probe(NamedTuple):
    """What an activation gives at one point.

    Attributes:
        precision: Type of the input and of the results.
        at: The point, before rounding to the type.
        value: phi there.
        slope: phi' there.
    """

    precision: Precision
    at: float
    value: float
    slope: float


class Place(NamedTuple):
    """Where something was found: the precision, the point and the result."""

    precision: Precision
    at: float
    got: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        severity: A fault spoils training; a note does not, or lies in the function itself.
        cause: What kind of thing it is.
        quantity: Whether phi or phi' shows it.
        places: Where; empty for what concerns no single point.
        detail: Why, as the rest of a sentence.
    """

    severity: Literal["fault", "note"]
    cause: Cause
    quantity: Quantity
    places: tuple[Place, ...]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What an activation does at the edges, and what is wrong with it.

    Attributes:
        probes: Results at the examined points, NaN as the last of each precision.
        findings: Faults first.
        derivative: The slope against differences of the value.
    """

    probes: tuple[Probe, ...]
    findings: tuple[Finding, ...]
    derivative: DerivativeCheck

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What spoils training."""
        return tuple(f for f in self.findings if f.severity == "fault")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing."""
        return tuple(f for f in self.findings if f.severity == "note")


Tails = dict[tuple[Quantity, float], Tail]
_Found = tuple[Quantity, Judgement, Place]


def examine(activation: Activation) -> Examination:
    """Examine an activation, without being told what is right.

    Args:
        activation: The activation; its `slope` is examined as it is, written or by autograd.

    Returns:
        Probes and findings. A built-in activation and those of torch have no fault.

    Raises:
        ComponentError: If the functions fail on a few numbers in float32 or float64, see `try_out`.

    Not covered: wrong results that are finite, except for a slope that is not the derivative.
    """
    activation = try_out(activation)
    kinks = find_kinks(activation)
    points = [*EDGES, *(k.at for k in kinks if k.at not in EDGES)]
    points += [x for x in _suspects(activation) if x not in points] + [-np.inf, np.inf, np.nan]
    tails = _tails(activation)
    probes: list[Probe] = []
    found: list[_Found] = []
    unsupported: list[Finding] = []
    for precision in DTYPES:
        try:
            measured = _probe(activation, precision, points)
        except ComponentError as error:  # the types that `try_out` has not tried
            unsupported.append(_unsupported(precision, str(error)))
            continue
        probes += measured
        found += _judge(activation, precision, measured, tails)
    derivative = check_derivative(activation, kinks)
    findings = [*_gather(found), *_wrong_slope(derivative), *unsupported]
    return Examination(
        probes=tuple(probes),
        findings=tuple(sorted(findings, key=lambda f: f.severity)),
        derivative=derivative,
    )


def _suspects(activation: Activation) -> list[float]:
    """Return the first point of each stretch within |h| = 20 that has no number in float32."""
    value, slope = (subject(activation, q, "float32").narrow(_SCAN) for q in ("value", "slope"))
    broken = ~(np.isfinite(value) & np.isfinite(slope))
    first = broken & ~np.concatenate([[False], broken[:-1]])
    return [float(x) for x in _SCAN[first][:_MOST_SCANNED]]


def _tails(activation: Activation) -> Tails:
    return {
        (quantity, side * np.inf): tail(subject(activation, quantity, "float64"), side)
        for quantity in ("value", "slope")
        for side in (-1, 1)
    }


def _probe(activation: Activation, precision: Precision, points: list[float]) -> list[Probe]:
    value, slope = (
        subject(activation, quantity, precision).narrow(points) for quantity in ("value", "slope")
    )
    return [
        Probe(precision, x, float(v), float(s))
        for x, v, s in zip(points, value, slope, strict=True)
    ]


def _judge(
    activation: Activation, precision: Precision, probes: list[Probe], tails: Tails
) -> Iterator[_Found]:
    phi, slope = (subject(activation, quantity, precision) for quantity in ("value", "slope"))
    for probe in probes:
        results: tuple[tuple[Quantity, float], ...] = (
            ("value", probe.value),
            ("slope", probe.slope),
        )
        for quantity, got in results:
            function = phi if quantity == "value" else slope
            judged = _judge_one(phi, function, probe.at, got, tails)
            if judged is not None:
                yield quantity, judged, Place(precision, probe.at, got)


def _judge_one(
    phi: Subject, function: Subject, at: float, got: float, tails: Tails
) -> Judgement | None:
    if np.isnan(at):
        return None if np.isnan(got) else _nan_swallowed(function.quantity)
    if np.isinf(at):
        far = float(function.narrow(np.copysign(TRAINING_REACH, at)))
        return judge_at_infinity(tails[function.quantity, at].limit, got, far)
    at = function.rounded(at)
    if function.quantity == "value":
        return judge_value(phi, at, got)
    return judge_slope(phi, function, at, got)


def _nan_swallowed(quantity: Quantity) -> Judgement:
    if quantity == "value":
        return "nan_swallowed", "a network that diverged would look healthy"
    return "slope_without_nan", "only the value tells that a network diverged"


def _gather(found: list[_Found]) -> Iterator[Finding]:
    """Join what has the same cause; one place within the reach of training makes it a fault."""
    groups: dict[tuple[Quantity, Judgement], list[Place]] = {}
    for quantity, judgement, place in found:
        groups.setdefault((quantity, judgement), []).append(place)
    for (quantity, (cause, detail)), places in groups.items():
        reached = any(not abs(place.at) > TRAINING_REACH for place in places)
        yield Finding(
            severity="fault" if cause in FAULTS and reached else "note",
            cause=cause,
            quantity=quantity,
            places=tuple(places),
            detail=detail,
        )


def _wrong_slope(check: DerivativeCheck) -> list[Finding]:
    if check.passed:
        return []
    detail = f"differences of the value give {check.difference:.6g}"
    place = Place("float64", check.at, check.slope)
    return [
        Finding(
            severity="fault", cause="wrong_slope", quantity="slope", places=(place,), detail=detail
        )
    ]


def _unsupported(precision: Precision, message: str) -> Finding:
    return Finding(
        severity="note",
        cause="unsupported",
        quantity="value",
        places=(Place(precision, np.nan, np.nan),),
        detail=message,
    )
