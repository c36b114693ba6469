"""The card as lines for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from fathom.card.derivative import DerivativeCheck
from fathom.card.examination import Finding, Place
from fathom.card.kinks import WORDS, Kink
from fathom.card.numbers import DTYPES
from fathom.card.record import Card
from fathom.card.shape import Bound, Shape
from fathom.card.tails import Tail

_MOST: Final = 4  # of extremes, kinks and flat stretches that are told one by one
_LABEL: Final = 14


def lines(card: Card) -> list[str]:
    """Write a card, one fact a line: what it is, its shape, its cost, then faults and notes."""
    told = [card.name, f"  {card.formula}", f"  {card.source}", ""]
    told += [f"  {label:<{_LABEL}}{text}" for label, text in _facts(card) if text]
    examination = card.examination
    for title, findings in (("faults", examination.faults), ("notes", examination.notes)):
        told += ["", f"  {title}: {len(findings) or 'none'}"]
        told += [f"    {sentence(finding)}" for finding in findings]
    return told


def sentence(finding: Finding) -> str:
    """Say what was found, where and why, in one line."""
    if finding.cause == "unsupported":
        return f"{finding.places[0].precision} does not work: {finding.detail}"
    results = sorted({_number(float(f"{place.got:.3g}")) for place in finding.places})
    shown = " or ".join(results[:2]) if len(results) <= 2 else "wrong"
    return f"{finding.quantity} is {shown} {_where(finding.places)}: {finding.detail}"


def _where(places: Sequence[Place]) -> str:
    """Say where: precisions with the same points are told together."""
    points: dict[str, list[float]] = {}
    for place in places:
        points.setdefault(place.precision, []).append(place.at)
    together: dict[str, list[str]] = {}
    for precision, at in points.items():
        listed = ", ".join(_number(x) for x in sorted(at))
        together.setdefault(listed, []).append(precision)
    return "; ".join(
        f"at {listed}" if len(names) == len(DTYPES) else f"at {listed} in {' and '.join(names)}"
        for listed, names in together.items()
    )


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    shape = card.shape
    at_zero = f"value {_number(shape.value_at_zero)}, slope {_number(shape.slope_at_zero)}"
    forward, backward = card.speed
    yield "layer", card.layer
    yield "at 0", at_zero
    yield "monotone", _monotone(shape)
    yield "symmetry", "" if shape.symmetry == "neither" else shape.symmetry
    yield "range", _range(shape)
    yield "towards -inf", _tail(shape.left, shape.slope_left)
    yield "towards inf", _tail(shape.right, shape.slope_right)
    yield "extremes", _extremes(shape)
    yield "kinks", _some([_kink(kink) for kink in sorted(shape.kinks, key=lambda k: abs(k.at))])
    yield "zero slope", _flats(shape)
    yield "max |slope|", _number(shape.max_slope)
    yield "slope check", _check(card.examination.derivative)
    times = f"{forward:.1f} x relu forward, {backward:.1f} x relu backward"
    yield "time", "" if card.layer else times  # moving the units is not in it


def _monotone(shape: Shape) -> str:
    return "no" if shape.monotone == "not monotone" else shape.monotone


def _range(shape: Shape) -> str:
    low, high = shape.low, shape.high
    ends = [f"{_number(end.value)}{_approached(end)}" for end in (low, high)]
    return f"{' to '.join(ends)}: {'bounded' if shape.bounded else 'not bounded'}"


def _approached(bound: Bound) -> str:
    return "" if bound.attained or np.isinf(bound.value) else " (approached)"


def _tail(value: Tail, slope: Tail) -> str:
    constant = "" if value.constant_from is None else f", from {_number(value.constant_from)} on"
    if value.constant_from is not None and np.isinf(value.constant_from):
        constant = " everywhere"
    return f"value {_limit(value)}{constant}; slope {_limit(slope)}"


def _limit(tail: Tail) -> str:
    return "without a limit" if tail.limit is None else _number(tail.limit)


def _extremes(shape: Shape) -> str:
    nearest = sorted(shape.extremes, key=lambda extreme: abs(extreme.at))
    return _some([f"{e.kind} {_number(e.value)} at {_number(e.at)}" for e in nearest])


def _kink(kink: Kink) -> str:
    if kink.kind in {"pole", "vertical"}:
        return f"{WORDS[kink.kind]} at {_number(kink.at)}"
    sides = f"slope {_number(kink.slope_left)} before, {_number(kink.slope_right)} after"
    return f"{WORDS[kink.kind]} at {_number(kink.at)} ({sides})"


def _flats(shape: Shape) -> str:
    if shape.max_slope == 0:
        return "everywhere: no gradient passes"
    nearest = sorted(shape.flats, key=lambda flat: min(map(abs, flat)))
    return _some([_stretch(low, high) for low, high in nearest])


def _stretch(low: float, high: float) -> str:
    if np.isinf(low):
        return f"below {_number(high)}"
    return f"above {_number(low)}" if np.isinf(high) else f"{_number(low)} to {_number(high)}"


def _check(check: DerivativeCheck) -> str:
    if check.num_points == 0:
        return "no point to compare"
    word = "passed: at most" if check.passed else "failed:"
    return f"{word} {check.deviation:.1e} from differences, at h = {_number(check.at)}"


def _some(told: Sequence[str]) -> str:
    return "; ".join([*told[:_MOST], *(["and more"] if len(told) > _MOST else [])])


def _number(x: float) -> str:
    return "NaN" if np.isnan(x) else f"{x:.6g}"
