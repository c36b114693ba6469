"""The shape of an activation: monotone or not, range, symmetry, limits, extremes, flat parts."""

import itertools
import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import optimize

from fathom.activations.base import Activation
from fathom.card.kinks import Kink, find_kinks
from fathom.card.numbers import GRID, Floats, Function, subject
from fathom.card.tails import Tail, tail

Monotone = Literal[
    "increasing", "non-decreasing", "decreasing", "non-increasing", "constant", "not monotone"
]
Symmetry = Literal["odd", "even", "neither"]

_NOISE: Final = 1e-12  # relative; a smaller change is rounding
_EXTREMES_WITHIN: Final = 20.0
_FLAT: Final = 0.05  # a shorter stretch without change is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """A local minimum or maximum: its place and the value there."""

    kind: Literal["minimum", "maximum"]
    at: float
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One end of the range.

    Attributes:
        value: The infimum or supremum.
        attained: Whether some finite h has this value; else it is only approached.
    """

    value: float
    attained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of phi, from its values between -10,000 and 10,000 and its tails, in float64.

    Attributes:
        value_at_zero: phi(0).
        slope_at_zero: phi'(0).
        monotone: How phi rises or falls; strictly unless the word begins with `non`.
        symmetry: Whether phi(-h) is -phi(h) or phi(h).
        low: Infimum.
        high: Supremum.
        left: phi towards -inf.
        right: phi towards inf.
        slope_left: phi' towards -inf.
        slope_right: phi' towards inf.
        extremes: Local ones within |h| = 20, in increasing order of place.
        flats: Stretches of zero slope, as pairs of ends.
        max_slope: Supremum of |phi'|.
        kinks: Where phi or phi' breaks.
    """

    value_at_zero: float
    slope_at_zero: float
    monotone: Monotone
    symmetry: Symmetry
    low: Bound
    high: Bound
    left: Tail
    right: Tail
    slope_left: Tail
    slope_right: Tail
    extremes: tuple[Extreme, ...]
    flats: tuple[tuple[float, float], ...]
    max_slope: float
    kinks: tuple[Kink, ...]

    @property
    def bounded(self) -> bool:
        """Whether both ends of the range are finite."""
        return bool(np.isfinite([self.low.value, self.high.value]).all())


def find_shape(activation: Activation) -> Shape:
    """Describe an activation.

    Not covered: what happens between two points of a grid of 1/200, and beyond |h| = 10,000
    whatever the tails do not show. Where phi is not defined it is passed over.
    """
    with np.errstate(all="ignore"):  # inf - inf, where phi overflows
        return _shape(activation)


def _shape(activation: Activation) -> Shape:
    phi, phi_slope = (subject(activation, q, "float64") for q in ("value", "slope"))
    kinks = find_kinks(activation)
    left, right = tail(phi, -1), tail(phi, 1)
    slopes = tail(phi_slope, -1), tail(phi_slope, 1)
    values = phi.double(GRID)
    extremes = _extremes(phi.double, values, kinks)
    flats = _flats(phi.double, values, (left, right))
    at_zero = phi.double(0.0), phi_slope.double(0.0)
    return Shape(
        value_at_zero=float(at_zero[0]) + 0.0,
        slope_at_zero=float(at_zero[1]) + 0.0,
        monotone=_monotone(values, flats),
        symmetry=_symmetry(values),
        low=_bound(-1, phi.double, values, (left, right), extremes, kinks),
        high=_bound(1, phi.double, values, (left, right), extremes, kinks),
        left=left,
        right=right,
        slope_left=slopes[0],
        slope_right=slopes[1],
        extremes=tuple(e for e in extremes if abs(e.at) <= _EXTREMES_WITHIN),
        flats=flats,
        max_slope=_max_slope(phi_slope.double, slopes, kinks),
        kinks=kinks,
    )


def _rounding(values: Floats) -> Floats:
    """Return how much of each value may be rounding: of itself, or of 1 where 1 is reached."""
    finite = np.abs(values[np.isfinite(values)])
    rounding: Floats = _NOISE * (np.abs(values) + min(1.0, finite.max(initial=0.0)))
    return rounding


def _changes(values: Floats) -> Floats:
    """Return the sign of each step: 0 where it is rounding, NaN where phi is not defined."""
    steps = np.diff(values)
    rounding = _rounding(values)
    signs = np.where(np.abs(steps) > np.maximum(rounding[1:], rounding[:-1]), np.sign(steps), 0.0)
    return np.where(np.isfinite(steps), signs, np.nan)


def _monotone(values: Floats, flats: tuple[tuple[float, float], ...]) -> Monotone:
    signs = _changes(values[np.isfinite(values)])  # across a pole too
    rises, falls = bool((signs > 0).any()), bool((signs < 0).any())
    if rises and falls:
        return "not monotone"
    if rises:
        return "non-decreasing" if flats else "increasing"
    if falls:
        return "non-increasing" if flats else "decreasing"
    return "constant"


def _symmetry(values: Floats) -> Symmetry:
    mirrored = values[::-1]
    known = np.isfinite(values)
    if not np.array_equal(known, known[::-1]):
        return "neither"
    allowed = _rounding(values)[known]
    if (np.abs(values + mirrored)[known] <= allowed).all():
        return "odd"
    return "even" if (np.abs(values - mirrored)[known] <= allowed).all() else "neither"


def _extremes(phi: Function, values: Floats, kinks: tuple[Kink, ...]) -> list[Extreme]:
    """Find where the direction of phi changes from one step of the grid to the next."""
    signs = _changes(values)
    moving = np.flatnonzero(signs != 0)
    broken = [kink.at for kink in kinks if kink.kind in {"pole", "jump"}]
    found = []
    for before, after in itertools.pairwise(moving):
        low, high = float(GRID[before]), float(GRID[after + 1])
        turns = signs[before] * signs[after] == -1 and after - before <= 2
        if turns and not any(low <= at <= high for at in broken):
            found.append(_refined(phi, low, high, float(signs[after])))
    return found


def _refined(phi: Function, low: float, high: float, sign: float) -> Extreme:
    """Narrow an extreme to about 1e-8, as far as values can tell places apart; simple ones snap."""
    at = optimize.minimize_scalar(
        lambda x: sign * float(phi(x)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-10},
    ).x
    simple = round(float(at), 6) + 0.0
    place = simple if sign * (phi(simple) - phi(at)) <= 0 else float(at)
    kind: Literal["minimum", "maximum"] = "minimum" if sign > 0 else "maximum"
    return Extreme(kind=kind, at=place, value=float(phi(place)))


def _flats(
    phi: Function, values: Floats, tails: tuple[Tail, Tail]
) -> tuple[tuple[float, float], ...]:
    """Find stretches of equal values; those of a tail that only approaches its limit are none."""
    approached = [t.limit for t in tails if t.limit is not None and t.constant_from is None]
    flats = []
    start = 0
    for equal, group in itertools.groupby(np.diff(values) == 0):
        stop = start + len(list(group))
        rounding = any(abs(values[start] - limit) <= _NOISE for limit in approached)
        if equal and not rounding and GRID[stop] - GRID[start] >= _FLAT:
            low = -math.inf if start == 0 else _flat_edge(phi, start, -1)
            high = math.inf if stop == len(GRID) - 1 else _flat_edge(phi, stop, 1)
            flats.append((low, high))
        start = stop
    return tuple(flats)


def _flat_edge(phi: Function, index: int, side: int) -> float:
    """Halve the way from the last point of a flat stretch to the next one of the grid."""
    inside, outside = float(GRID[index]), float(GRID[index + side])
    level = float(phi(inside))
    for _ in range(60):
        middle = (inside + outside) / 2
        if float(phi(middle)) == level:
            inside = middle
        else:
            outside = middle
    return round(inside, 6) + 0.0


def _bound(
    side: Literal[-1, 1],
    phi: Function,
    values: Floats,
    tails: tuple[Tail, Tail],
    extremes: list[Extreme],
    kinks: tuple[Kink, ...],
) -> Bound:
    """Find the infimum (-1) or supremum (1): among the tails, the extremes and the kinks."""
    beside = [k.at + d for k in kinks for d in (-1e-9, 0.0, 1e-9)]
    poles = [k.at + d for k in kinks if k.kind == "pole" for d in (-1e-6, 1e-6)]
    if any(side * tail.limit == np.inf for tail in tails if tail.limit is not None):
        return Bound(value=side * np.inf, attained=False)
    if poles and (side * phi(poles) > 0).any():
        return Bound(value=side * np.inf, attained=False)
    inside = np.concatenate([values, phi(beside), [e.value for e in extremes]])
    if (side * inside == np.inf).any():
        return Bound(value=side * np.inf, attained=False)
    inside = inside[np.isfinite(inside)]
    best = float(side * np.max(side * inside, initial=-np.inf))
    for end in tails:
        if end.limit is not None and side * (end.limit - best) >= -_NOISE * max(1.0, abs(best)):
            turned = any(abs(e.value - end.limit) <= _NOISE for e in extremes)
            return Bound(value=end.limit, attained=end.constant_from is not None or turned)
    return Bound(value=best + 0.0, attained=True)


def _max_slope(slope: Function, tails: tuple[Tail, Tail], kinks: tuple[Kink, ...]) -> float:
    """Return the supremum of |phi'|: on the grid, refined between its points, and in the tails."""
    limits = [abs(tail.limit) for tail in tails if tail.limit is not None]
    if any(kink.kind == "pole" for kink in kinks) or np.inf in limits:
        return np.inf
    sizes = np.abs(slope(GRID))
    if np.isposinf(sizes).any():
        return np.inf
    sizes = np.nan_to_num(sizes, nan=-np.inf)
    best = int(np.argmax(sizes))
    beside = max(best - 1, 0), min(best + 1, len(GRID) - 1)
    inside = optimize.minimize_scalar(
        lambda x: -float(np.abs(slope(x))),
        bounds=(float(GRID[beside[0]]), float(GRID[beside[1]])),
        method="bounded",
        options={"xatol": 1e-9},
    )
    refined = -float(inside.fun)
    at_kinks = [abs(s) for k in kinks for s in (k.slope_left, k.slope, k.slope_right)]
    known = [float(sizes[best]), refined, *limits, *at_kinks]
    return max(size for size in known if not np.isnan(size))
