"""What is true at a point, without being told: rules for results that are not finite.

A result at a finite point is judged by what the same function says elsewhere:

* NaN is never right. It comes from outside the domain where it begins at the same place in float32
  and in float64, and from an intermediate overflow where it begins at another.
* inf is right where float64 has a number beyond the largest one of the precision. Where float64 has
  no number either, the function is followed to the last point at which it is finite: near the
  largest number, or still growing towards a single point, it is an overflow or a pole; far below,
  an intermediate result overflowed.
* A slope that is not finite where the value is finite is a gradient trap, unless it is inf by the
  same rules, as at a vertical tangent.
"""

from typing import Final, Literal

import numpy as np

from fathom.card.numbers import Subject, finite_edges, near_overflow, same_edges

Cause = Literal[
    "not_defined",
    "nan",
    "false_overflow",
    "gradient_trap",
    "nan_swallowed",
    "wrong_slope",
    "overflow",
    "pole",
    "nan_at_infinity",
    "wrong_at_infinity",
    "no_limit",
    "slope_without_nan",
    "unsupported",
]
FAULTS: Final[frozenset[Cause]] = frozenset({
    "not_defined",
    "nan",
    "false_overflow",
    "gradient_trap",
    "nan_swallowed",
    "wrong_slope",
})

Judgement = tuple[Cause, str]

ON_THE_WAY: Final = "an intermediate result overflows, the function does not"
_SINGLE_POINT: Final = 1e-6  # relative width


def judge_value(phi: Subject, x: float, got: float) -> Judgement | None:
    """Judge phi at a finite point.

    Returns:
        The cause and the rest of a sentence; None where the value is finite.
    """
    if np.isfinite(got):
        return None
    return _judge_nan(phi, x) if np.isnan(got) else _judge_inf(phi, x)


def judge_slope(phi: Subject, slope: Subject, x: float, got: float) -> Judgement | None:
    """Judge phi' at a finite point.

    Returns:
        As `judge_value`; None also where the value is not finite, which says it all.
    """
    if np.isfinite(got) or not np.isfinite(phi.narrow(x)):
        return None
    judged = None if np.isnan(got) else _judge_inf(slope, x)
    if judged is not None and judged[0] not in FAULTS:
        return judged
    return "gradient_trap", "a gradient trap: the value there is finite"


def judge_at_infinity(limit: float | None, got: float, far: float) -> Judgement | None:
    """Judge a result at -inf or inf.

    Args:
        limit: Limit of the function; None where there is none.
        got: Result at infinity.
        far: Result at the farthest point of training on the same side.
    """
    if np.isnan(far):
        return None  # said already
    if limit is None:
        return ("no_limit", "there is no limit") if np.isnan(got) else None
    if np.isnan(got):
        return "nan_at_infinity", f"the limit is {limit:.6g}"
    close = got == limit or abs(got - limit) <= 0.01 * max(1.0, abs(limit))
    return None if close else ("wrong_at_infinity", f"the limit is {limit:.6g}")


def _judge_nan(phi: Subject, x: float) -> Judgement:
    overflow: Judgement = "nan", ON_THE_WAY
    if np.isfinite(phi.double(x)) or np.isfinite(phi.single(x)):
        return overflow
    low, high = finite_edges(phi.double, x)
    if high - low <= _SINGLE_POINT * max(1.0, abs(x)):
        return "nan", "on both sides of it the function is finite"
    if not same_edges((low, high), finite_edges(phi.single, x)):
        return overflow
    return "not_defined", f"not defined {_between(low, high)}"


def _between(low: float, high: float) -> str:
    low, high = (round(edge, 6) + 0.0 for edge in (low, high))
    if np.isinf(low) and np.isinf(high):
        return "anywhere"
    if np.isinf(low):
        return f"below {high:.6g}"
    return f"above {low:.6g}" if np.isinf(high) else f"between {low:.6g} and {high:.6g}"


def _judge_inf(function: Subject, x: float) -> Judgement:
    overflow_on_the_way: Judgement = "false_overflow", ON_THE_WAY
    wide = float(function.double(x))
    if np.isfinite(wide):
        if abs(wide) > function.largest:
            return "overflow", "the function is beyond the largest number"
        return overflow_on_the_way
    edges = [edge for edge in finite_edges(function.narrow, x) if np.isfinite(edge)]
    beside = float(np.abs(function.narrow(edges)).max()) if edges else 0.0
    one_point = len(edges) == 2 and edges[1] - edges[0] <= _SINGLE_POINT * max(1.0, abs(x))
    if (one_point and near_overflow(beside, function.largest)) or _grows_towards(function, x):
        return "pole", "a pole of the function"
    if near_overflow(beside, function.largest):
        return "overflow", "the function is beyond the largest number"
    return overflow_on_the_way


def _grows_towards(function: Subject, x: float) -> bool:
    """Whether a function grows by as much in each step towards a point: at least a logarithm."""
    distances = max(1.0, abs(x)) * 10.0 ** -np.arange(2, 13, 2)
    for side in (-1.0, 1.0):
        sizes = np.abs(function.double(x + side * distances))
        if np.isfinite(sizes).all():
            rises = np.diff(sizes)
            if (rises > 0).all() and rises[-1] > 0.3 * rises[0]:
                return True
    return False
