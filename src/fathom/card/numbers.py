"""An activation's functions on plain numbers, and how far along the line they stay finite."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from fathom.activations.base import Activation, Elementwise

Floats = npt.NDArray[np.float64]
Function = Callable[[npt.ArrayLike], Floats]
Precision = Literal["float32", "float64", "bfloat16"]
Quantity = Literal["value", "slope"]

DTYPES: Final[dict[Precision, torch.dtype]] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
}

_NEAR: Final = np.arange(-4000, 4001) / 200  # integers and quarters are in it, and -h with each h
_FAR: Final = np.geomspace(20.1, 1e4, 400)
GRID: Final[Floats] = np.concatenate([-_FAR[::-1], _NEAR, _FAR])

# Where to look for a finite result beside a wrong one: all sizes that a float64 input may have.
_MAGNITUDES: Final = np.concatenate([np.geomspace(1e-300, 1e-2, 299), np.geomspace(0.02, 1e6, 500)])
LADDER: Final[Floats] = np.concatenate([-_MAGNITUDES[::-1], [0.0], _MAGNITUDES])

_HALVINGS: Final = 1100  # from 1e6 to the smallest number above 0; a bisection ends far earlier
_SAME_EDGE: Final = 1e-3  # relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One function of an activation in the precisions that tell a true result from a wrong one.

    Attributes:
        quantity: Whether it is phi or phi'.
        narrow: In the precision under examination.
        single: In float32.
        double: In float64.
        dtype: The precision under examination.
    """

    quantity: Quantity
    narrow: Function
    single: Function
    double: Function
    dtype: torch.dtype

    @property
    def largest(self) -> float:
        """Largest number of the precision under examination."""
        return torch.finfo(self.dtype).max

    def rounded(self, x: float) -> float:
        """Round a number to the precision under examination."""
        return float(torch.tensor(x, dtype=self.dtype))


def subject(activation: Activation, quantity: Quantity, precision: Precision) -> Subject:
    """Look at phi or phi' in one precision."""
    function = activation.value if quantity == "value" else activation.slope
    narrow, single, double = (
        evaluator(function, DTYPES[name]) for name in (precision, "float32", "float64")
    )
    return Subject(
        quantity=quantity, narrow=narrow, single=single, double=double, dtype=DTYPES[precision]
    )


@functools.lru_cache(maxsize=64)
def evaluator(function: Elementwise, dtype: torch.dtype) -> Function:
    """Turn a function of tensors into one of numbers, which are rounded to `dtype` first."""

    def evaluate(x: npt.ArrayLike) -> Floats:
        given = np.array(x, dtype=np.float64)
        with torch.no_grad():
            h = torch.from_numpy(given.reshape(-1)).to(dtype)  # a user's function may want an axis
            result: Floats = function(h).double().numpy().reshape(given.shape)
        return result

    return evaluate


def finite_edges(function: Function, x: float) -> tuple[float, float]:
    """Find the nearest points on both sides of `x` at which a function is finite.

    Args:
        function: What is not finite at `x`.
        x: The point.

    Returns:
        The points to the left and to the right; -inf or inf where it is finite nowhere.
    """
    finite = LADDER[np.isfinite(function(LADDER))]
    left, right = finite[finite < x], finite[finite > x]
    return (
        _edge(function, x, float(left[-1])) if left.size else -np.inf,
        _edge(function, x, float(right[0])) if right.size else np.inf,
    )


def _edge(function: Function, broken: float, finite: float) -> float:
    """Halve the way from a finite to a broken result, and return the last finite point."""
    for _ in range(_HALVINGS):
        middle = (broken + finite) / 2
        if middle in {broken, finite} or abs(broken - finite) < 1e-15 * abs(broken):
            break
        if np.isfinite(function(middle)):
            finite = middle
        else:
            broken = middle
    return finite


def same_edges(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether a function is undefined between the same points in two precisions.

    The edge of a domain is the function's; where an exponential overflows is the precision's.
    """
    return bool(np.allclose(a, b, rtol=_SAME_EDGE, atol=_SAME_EDGE))


def near_overflow(size: float, largest: float) -> bool:
    """Whether a number lies in the last tenth of the exponents that a precision has."""
    return bool(abs(size) >= largest**0.9)
