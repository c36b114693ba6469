"""A cubic spline through the logistic function at some knots, continued by straight lines.

Between the knots x_i and x_(i+1), w_i apart, the second derivative is the straight line from M_i to
M_(i+1). Integrated twice, from y_i to y_(i+1):

    S(x_i + t)  = y_i + t (d_i + t (M_i / 2 + t (M_(i+1) - M_i) / (6 w_i)))
    S'(x_i + t) = d_i + t (M_i + t (M_(i+1) - M_i) / (2 w_i))
    d_i         = m_i - w_i (2 M_i + M_(i+1)) / 6,       m_i = (y_(i+1) - y_i) / w_i

and S' at the piece's other end is m_i + w_i (M_i + 2 M_(i+1)) / 6. That S' has no jump at x_i is
one equation for each inner knot,

    w_(i-1) M_(i-1) + 2 (w_(i-1) + w_i) M_i + w_i M_(i+1) = 6 (m_i - m_(i-1)),

and the two ends give one each: M = 0 (natural), or S' equal to the slope of sigmoid (clamped).

Source: de Boor 1978, A practical guide to splines, ch. 4, here in terms of second derivatives.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from fathom.reference.arrays import Array

Ends = Literal["clamped", "natural"]


class Pieces(NamedTuple):
    """A spline of N pieces.

    Attributes:
        knot: x, `[N + 1]`.
        height: y, `[N + 1]`.
        slope: S' at the left end of each piece, `[N]`.
        curvature: M, `[N + 1]`.
    """

    knot: Array
    height: Array
    slope: Array
    curvature: Array


def spline_sigmoid(
    h: Array,
    knots: Sequence[float] = (-2.0, 0.0, 2.0),
    outer_slope: float | None = 1.0,
    ends: Ends = "clamped",
) -> Array:
    """Return the spline, elementwise.

    Args:
        h: Where, of any shape.
        knots: Increasing points, at least two.
        outer_slope: Slope of the lines outside; None continues by the tangents.
        ends: At the outer knots, `clamped` takes the slope of sigmoid, `natural` no curvature.

    Returns:
        An array of the shape of `h`.
    """
    pieces = interpolate(knots, ends)
    x, i, t, width = _locate(pieces, h)
    bend = pieces.curvature[i] / 2 + t * np.diff(pieces.curvature)[i] / (6 * width)
    inside: Array = pieces.height[i] + t * (pieces.slope[i] + t * bend)
    left, right = _outer_slopes(pieces, outer_slope)
    return inside + _line(np.minimum(h - x, 0), left) + _line(np.maximum(h - x, 0), right)


def spline_sigmoid_slope(
    h: Array,
    knots: Sequence[float] = (-2.0, 0.0, 2.0),
    outer_slope: float | None = 1.0,
    ends: Ends = "clamped",
) -> Array:
    """Return the spline's derivative; at the outer knots that of the spline, not of the line."""
    pieces = interpolate(knots, ends)
    _, i, t, width = _locate(pieces, h)
    bend = pieces.curvature[i] + t * np.diff(pieces.curvature)[i] / (2 * width)
    left, right = _outer_slopes(pieces, outer_slope)
    inside = pieces.slope[i] + t * bend
    return np.where(h < knots[0], left, np.where(h > knots[-1], right, inside))


def interpolate(knots: Sequence[float], ends: Ends) -> Pieces:
    """Solve for the second derivatives at the knots."""
    x = np.array(knots, dtype=np.float64)
    y = np.array([_sigmoid(knot) for knot in knots])
    w = np.diff(x)
    m = np.diff(y) / w
    matrix, right = np.eye(len(x)), np.zeros(len(x))
    for i in range(1, len(x) - 1):
        matrix[i, i - 1 : i + 2] = w[i - 1], 2 * (w[i - 1] + w[i]), w[i]
        right[i] = 6 * (m[i] - m[i - 1])
    if ends == "clamped":
        matrix[0, :2], right[0] = (2 * w[0], w[0]), 6 * (m[0] - _sigmoid_slope(x[0]))
        matrix[-1, -2:], right[-1] = (w[-1], 2 * w[-1]), 6 * (_sigmoid_slope(x[-1]) - m[-1])
    curvature = np.linalg.solve(matrix, right).astype(np.float64)
    return Pieces(x, y, m - w * (2 * curvature[:-1] + curvature[1:]) / 6, curvature)


def _locate(pieces: Pieces, h: Array) -> tuple[Array, np.ndarray, Array, Array]:
    """Return the point of the spline next to `h`, its piece, the way into it, the piece's width."""
    x = np.clip(h, pieces.knot[0], pieces.knot[-1])
    i = np.clip(np.searchsorted(pieces.knot, x, side="right") - 1, 0, len(pieces.slope) - 1)
    return x, i, x - pieces.knot[i], np.diff(pieces.knot)[i]


def _outer_slopes(pieces: Pieces, outer_slope: float | None) -> tuple[float, float]:
    if outer_slope is not None:
        return outer_slope, outer_slope
    width = pieces.knot[-1] - pieces.knot[-2]
    gained = width * (pieces.curvature[-2] + pieces.curvature[-1]) / 2
    return float(pieces.slope[0]), float(pieces.slope[-1] + gained)


def _line(distance: Array, slope: float) -> Array:
    return slope * distance if slope else np.zeros_like(distance)  # 0 * inf would be NaN


def _sigmoid(x: float) -> float:
    return math.exp(min(x, 0.0)) / (1 + math.exp(-abs(x)))


def _sigmoid_slope(x: float) -> float:
    return _sigmoid(x) * _sigmoid(-x)
