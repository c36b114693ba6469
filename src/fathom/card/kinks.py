"""Where an activation breaks, and how."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from fathom.activations.base import Activation
from fathom.card.numbers import Function, subject
from fathom.theory.nonlinearity import nonlinearity

Break = Literal["jump", "pole", "corner", "vertical", "bend"]

WORDS: Final[dict[Break, str]] = {
    "jump": "jump",
    "pole": "pole",
    "corner": "corner",
    "vertical": "vertical tangent",
    "bend": "bend",
}

_REACH: Final = 100.0  # farther breaks, such as the poles of tan, do not fit on a card
_MOST: Final = 16
_BESIDE: Final = 1e-6
_JUMP: Final = 1e-4  # relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Kink:
    """A point at which phi or phi' breaks.

    Attributes:
        at: The point.
        kind: A jump or a pole of phi; a corner, where phi' alone jumps; a vertical tangent, where
            it is infinite; or a bend, where it breaks by less than 1e-4.
        slope_left: phi' just before it.
        slope: phi' that the activation gives at the point itself.
        slope_right: phi' just after it.
    """

    at: float
    kind: Break
    slope_left: float
    slope: float
    slope_right: float


def find_kinks(activation: Activation) -> tuple[Kink, ...]:
    """Find the breaks within |h| = 100: those nearest to 0, at most 16, in increasing order."""
    value = subject(activation, "value", "float64").double
    slope = subject(activation, "slope", "float64").double
    near = [x for x in nonlinearity(activation).kinks if abs(x) <= _REACH]
    nearest = sorted(sorted(near, key=abs)[:_MOST])
    with np.errstate(all="ignore"):  # inf - inf, at a pole
        return tuple(_kink(value, slope, at) for at in nearest)


def _kink(value: Function, slope: Function, at: float) -> Kink:
    step = _BESIDE * max(1.0, abs(at))
    left, right = _beside(slope, at, -step), _beside(slope, at, step)
    before, after = value([at - step, at + step])
    kind: Break = "bend"
    if _is_pole(value, at, step):
        kind = "pole"
    elif np.isinf([left, right]).any():
        kind = "vertical"
    elif _differ(before, after, allowed=10 * step * (abs(left) + abs(right))):
        kind = "jump"
    elif _differ(left, right, allowed=0.0):
        kind = "corner"
    return Kink(at=at, kind=kind, slope_left=left, slope=float(slope(at)), slope_right=right)


def _beside(slope: Function, at: float, step: float) -> float:
    """Extrapolate a one-sided slope to the kink; infinite where it grows towards it."""
    nearest, near, far = (float(x) for x in slope([at + step / 100, at + step, at + 2 * step]))
    if _grows(near, nearest):
        return float(np.copysign(np.inf, nearest))
    return near if _differ(near, far, allowed=0.0) else 2 * near - far


def _is_pole(value: Function, at: float, step: float) -> bool:
    left, nearer_left, right, nearer_right = value([
        at - step,
        at - step / 100,
        at + step,
        at + step / 100,
    ])
    grows = _grows(left, nearer_left) or _grows(right, nearer_right)
    return grows or bool(np.isinf(value(at)))


def _grows(far: float, near: float) -> bool:
    """Whether a function grows without bound: as distance^-1/4 or faster, over two decades."""
    return bool(abs(near) > 3 * abs(far) and abs(near) > 10)


def _differ(a: float, b: float, *, allowed: float) -> bool:
    return abs(a - b) > _JUMP * max(1.0, abs(a), abs(b)) + allowed
