"""Where an activation breaks, and how."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from fathom.activations.base import Activation
from fathom.card.numbers import Floats, Function, subject
from fathom.theory.nonlinearity import nonlinearity

_REACH: Final = 100.0  # farther breaks, such as the poles of tan, do not fit on a card
_MOST: Final = 16
_BESIDE: Final = 1e-6
_JUMP: Final = 1e-4  # relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Kink:
    """A point at which phi or phi' breaks.

    Attributes:
        at: The point.
        kind: A jump or a pole of phi, a corner where phi' alone jumps, or a break without a jump,
            such as a vertical tangent.
        slope_left: phi' just before it.
        slope: phi' that the activation gives at the point itself.
        slope_right: phi' just after it.
    """

    at: float
    kind: Literal["jump", "pole", "corner", "bend"]
    slope_left: float
    slope: float
    slope_right: float


def find_kinks(activation: Activation) -> tuple[Kink, ...]:
    """Find the breaks within |h| = 100: those nearest to 0, at most 16, in increasing order."""
    places = [x for x in nonlinearity(activation).kinks if abs(x) <= _REACH]
    nearest = sorted(sorted(places, key=abs)[:_MOST])
    value = subject(activation, "value", "float64").double
    slope = subject(activation, "slope", "float64").double
    with np.errstate(all="ignore"):  # inf - inf, at a pole
        return tuple(_kink(value, slope, at) for at in nearest)


def _kink(value: Function, slope: Function, at: float) -> Kink:
    step = _BESIDE * max(1.0, abs(at))
    left, right = _beside(slope, at, -step), _beside(slope, at, step)
    before, after = value([at - step, at + step])
    kind: Literal["jump", "pole", "corner", "bend"] = "bend"
    if _is_pole(value, at, step):
        kind = "pole"
    elif _differ(before, after, allowed=10 * step * (abs(left) + abs(right))):
        kind = "jump"
    elif _differ(left, right, allowed=0.0):
        kind = "corner"
    return Kink(at=at, kind=kind, slope_left=left, slope=float(slope(at)), slope_right=right)


def _beside(slope: Function, at: float, step: float) -> float:
    """Extrapolate a one-sided slope to the kink, unless it grows without bound towards it."""
    near, far = (float(x) for x in slope([at + step, at + 2 * step]))
    return near if _differ(near, far, allowed=0.0) else 2 * near - far


def _is_pole(value: Function, at: float, step: float) -> bool:
    sizes: Floats = np.abs(value([at - step, at - step / 100, at + step, at + step / 100]))
    return bool((sizes[1::2] > 50 * sizes[::2]).any() and sizes[1::2].max() > 1e3)


def _differ(a: float, b: float, *, allowed: float) -> bool:
    return abs(a - b) > _JUMP * max(1.0, abs(a), abs(b)) + allowed
