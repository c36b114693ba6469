"""Whether an activation's slope is the derivative of its value."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fathom.activations.base import Activation
from fathom.card.kinks import Kink
from fathom.card.numbers import Floats, Function, subject

TOLERANCE: Final = 1e-4  # the slope of a function that computes in float32 is no better
_STEPS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_STEEPEST: Final = 1e6
# No point is a simple number, so that none falls onto an unknown kink.
_NEAR: Final = np.linspace(-8, 8, 2001) + 0.00123456789
_FAR: Final = np.geomspace(8.1, 90, 40) + 0.00123456789
_POINTS: Final = np.concatenate([-_FAR[::-1], _NEAR, _FAR])


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivativeCheck:
    """The slope against differences of the value, in float64.

    Attributes:
        num_points: Points that were compared.
        deviation: Largest |slope - difference| / max(1, |difference|).
        at: Where it is; NaN where no point could be compared.
        slope: Slope there.
        difference: Difference quotient there.
    """

    num_points: int
    deviation: float
    at: float
    slope: float
    difference: float

    @property
    def passed(self) -> bool:
        """Whether the slope is the derivative at every point."""
        return self.deviation <= TOLERANCE


def check_derivative(activation: Activation, kinks: tuple[Kink, ...] = ()) -> DerivativeCheck:
    """Compare phi' with difference quotients of phi from -90 to 90.

    Quotients of fourth order with five steps are taken, and the one nearest to the slope counts:
    a short step suffers from rounding, a long one from curvature, and the point decides which.
    Source: Fornberg 1988, Generation of finite difference formulas on arbitrarily spaced grids.

    Args:
        activation: The activation.
        kinks: Its kinks; steps that reach across one are left out.
    """
    value = subject(activation, "value", "float64").double
    slope = subject(activation, "slope", "float64").double(_POINTS)
    best = np.full_like(_POINTS, np.nan)
    for step in _STEPS:
        quotient = _quotient(value, step)
        for kink in kinks:
            quotient[np.abs(_POINTS - kink.at) <= 3 * step] = np.nan
        quotient[np.abs(quotient) > _STEEPEST] = np.nan
        with np.errstate(invalid="ignore"):
            nearer = np.isnan(best) | (np.abs(slope - quotient) < np.abs(slope - best))
        best = np.where(nearer & np.isfinite(quotient), quotient, best)
    return _worst(slope, best)


def _quotient(value: Function, step: float) -> Floats:
    with np.errstate(all="ignore"):  # what overflows is left out later
        far = value(_POINTS - 2 * step) - value(_POINTS + 2 * step)
        near = value(_POINTS + step) - value(_POINTS - step)
        quotient: Floats = (far + 8 * near) / (12 * step)
    return quotient


def _worst(slope: Floats, difference: Floats) -> DerivativeCheck:
    with np.errstate(invalid="ignore"):
        deviation = np.abs(slope - difference) / np.maximum(1.0, np.abs(difference))
    known = np.isfinite(deviation)
    if not known.any():
        return DerivativeCheck(
            num_points=0, deviation=0.0, at=np.nan, slope=np.nan, difference=np.nan
        )
    worst = int(np.nanargmax(np.where(known, deviation, np.nan)))
    return DerivativeCheck(
        num_points=int(known.sum()),
        deviation=float(deviation[worst]),
        at=float(_POINTS[worst]),
        slope=float(slope[worst]),
        difference=float(difference[worst]),
    )
