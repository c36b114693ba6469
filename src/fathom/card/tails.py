"""What a function does far out: its limit, and from where on it is constant."""

import itertools
import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from fathom.card.numbers import (
    GRID,
    LADDER,
    Floats,
    Function,
    Subject,
    finite_edges,
    near_overflow,
    same_edges,
)

_FARTHEST: Final = 1e6  # beyond, formulas of users fail more often than they tell
_OCTAVES: Final = 6
_CONVERGES: Final = 0.9  # of the change in one octave to that in the one before; a logarithm has 1
_CONSTANT: Final = 1e-12  # relative
_LEFT_TO_GO: Final = (1e-3, 1e-6, 1e-9)
_CROWDS: Final = 0.4  # the tail of a double exponential has 0.58, a parabola's vertex 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A function towards -inf or inf.

    Attributes:
        limit: Its limit, which may be infinite; None where it has none or is not defined.
        constant_from: Point from which on it equals its limit; infinite on the other side for a
            constant function, None where it only approaches the limit.
    """

    limit: float | None
    constant_from: float | None = None


def tail(function: Subject, side: Literal[-1, 1]) -> Tail:
    """Follow a function in float64 towards -inf (-1) or inf (1).

    The last octaves before |h| = 1e6, or before the formula overflows, decide: where the change
    from octave to octave shrinks there is a limit, extrapolated as a geometric series; where each
    lies beyond the one before, it is infinite. Source of the extrapolation: Aitken 1926.

    Not covered: limits that are approached more slowly than h^-0.15.
    """
    with np.errstate(all="ignore"):  # inf - inf, where a formula overflows
        return _tail(function, side)


def _tail(function: Subject, side: Literal[-1, 1]) -> Tail:
    reach = _reach(function, side)
    if reach == 0:
        return Tail(limit=None)
    if reach < _FARTHEST and near_overflow(edge := float(function.double(side * reach)), 1e308):
        return Tail(limit=float(np.copysign(np.inf, edge)))
    octaves = [
        function.double(side * reach * 2.0**-k * np.linspace(0.5, 1, 65)) for k in range(_OCTAVES)
    ]
    if not all(np.isfinite(octave).all() for octave in octaves):
        return Tail(limit=None)
    limit = _limit(octaves)
    constant = None if limit is None or np.isinf(limit) else _constant_from(function, side, limit)
    return Tail(limit=limit, constant_from=constant)


def _reach(function: Subject, side: int) -> float:
    """Return how far out the formula works in float64; 0 where the function's domain ends."""
    if np.isfinite(function.double(side * _FARTHEST)):
        return _FARTHEST
    rungs = LADDER[side * LADDER > 0]
    broken = ~np.isfinite(function.double(rungs))
    if broken.all():
        return 0.0
    edges = (finite_edges(f, side * _FARTHEST) for f in (function.double, function.single))
    double, single = edges
    inner = double[0] if side > 0 else double[1]
    return 0.0 if same_edges(double, single) else abs(inner)


def _limit(octaves: list[Floats]) -> float | None:
    """Judge the limit from octaves, the farthest first."""
    spreads = np.array([np.ptp(octave) for octave in octaves])
    ends = [float(octave[-1]) for octave in octaves[:3]]
    if spreads[0] <= _CONSTANT * max(1.0, abs(ends[0])):
        return ends[0] + 0.0
    if (spreads[:3] < _CONVERGES * spreads[1:4]).all():
        return _extrapolated(ends, float(spreads[0]))
    rising = all(a.min() >= b.max() for a, b in itertools.pairwise(octaves))
    falling = all(a.max() <= b.min() for a, b in itertools.pairwise(octaves))
    if rising or falling:
        return np.inf if rising else -np.inf
    return None


def _extrapolated(ends: list[float], spread: float) -> float:
    last, before = ends[0] - ends[1], ends[1] - ends[2]
    ratio = last / before if before else 0.0
    if 0 < ratio < 0.95:
        return round(ends[0] + last * ratio / (1 - ratio), 9) + 0.0
    return round(ends[0], max(0, math.floor(-math.log10(spread)))) + 0.0


def _constant_from(function: Subject, side: int, limit: float) -> float | None:
    """Find where the limit is reached; an exponential tail reaches it by rounding only.

    Towards a point that exists, the places at which 1e-3, 1e-6 and 1e-9 are left to go crowd
    together; along a tail they do not.
    """
    grid = GRID[::side]

    def distance(x: npt.ArrayLike) -> Floats:
        return np.abs(np.nan_to_num(function.double(x), nan=np.inf) - limit)

    away = distance(grid)
    scale = min(1.0, float(away.max()))
    if scale == 0 or away[-1] > _LEFT_TO_GO[-1] * scale:
        return -side * np.inf if scale == 0 else None
    places = []
    for share in _LEFT_TO_GO:
        last = int(np.flatnonzero(away > share * scale)[-1])
        places.append(_crossing(distance, float(grid[last]), float(grid[last + 1]), share * scale))
    steps = np.abs(np.diff(places))
    return round(places[-1], 6) + 0.0 if steps[1] <= _CROWDS * steps[0] else None


def _crossing(distance: Function, far: float, near: float, level: float) -> float:
    """Halve the way between a point farther from the limit than `level` and one nearer to it."""
    for _ in range(60):
        middle = (far + near) / 2
        if distance(middle) > level:
            far = middle
        else:
            near = middle
    return near
