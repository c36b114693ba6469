"""Cubic splines through the logistic function, continued by straight lines.

Three readings of "a cubic spline inside, linear outside" are in use; they differ in how they train:

* `ends="clamped", outer_slope=1`: the published code. The slope jumps at the outer knots.
* `ends="clamped", outer_slope=None`: a continuous slope, that of sigmoid at the outer knots.
* `ends="natural", outer_slope=None`: the only one with a continuous second derivative. With the
  three knots of the default it is one straight line, by symmetry.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.activations.base import Activation, Elementwise, FastPath
from fathom.registry import check_number

MAX_KNOTS = 100
MIN_SPACING = 1e-3


@dataclass(frozen=True, slots=True)
class _Piece:
    """One cubic: what it adds at t = h - start is t * (slope + t * (bend + t * twist))."""

    start: float
    stop: float
    slope: float
    bend: float
    twist: float

    def slope_at(self, t: float) -> float:
        return self.slope + t * (2 * self.bend + 3 * t * self.twist)


def spline_sigmoid(
    knots: tuple[float, ...] = (-2.0, 0.0, 2.0),
    outer_slope: float | None = 1.0,
    ends: Literal["clamped", "natural"] = "clamped",
) -> Activation:
    """Cubic spline through sigmoid at the knots, straight lines outside.

    Args:
        knots: 2 to 100 increasing points from -100 to 100, at least 0.001 apart.
        outer_slope: Slope of the lines, from -1e6 to 1e6; None continues by the tangents.
        ends: At the outer knots, `clamped` takes the slope of sigmoid, `natural` no curvature.

    Returns:
        The activation. At the outer knots its slope is that of the spline.

    Raises:
        ValueError: If the ends are of another kind or the knots are not allowed.
    """
    if ends not in {"clamped", "natural"}:
        raise ValueError(f"ends: got {ends!r}; must be 'clamped' or 'natural'")
    pieces = _interpolate(_checked_knots(knots), ends)
    first, last = pieces[0], pieces[-1]
    inner = (first.slope, last.slope_at(last.stop - last.start))
    outer = inner if outer_slope is None else _both_sides(outer_slope)
    return Activation(
        name="spline_sigmoid",
        value=_make_value(pieces, outer),
        slope=_make_slope(pieces, inner, outer),
        fast=FastPath(
            forward=_make_forward(pieces, outer), backward=_make_backward(pieces, inner, outer)
        ),
        kinks=tuple(
            knot
            for knot, a, b in zip((first.start, last.stop), inner, outer, strict=True)
            if not math.isclose(a, b, abs_tol=1e-12)
        ),
        max_slope=max(_steepest(pieces), *(math.fabs(slope) for slope in outer)),
        formula=f"{ends} cubic spline through sigmoid at {len(pieces) + 1} knots, linear outside",
        source="TobiasAlexanderWulff/spline-vgp-project, models/sigmoid_spline_activation.py",
    )


def _both_sides(outer_slope: float) -> tuple[float, float]:
    check_number("outer_slope", outer_slope, minimum=-1e6, maximum=1e6)
    return float(outer_slope), float(outer_slope)


def _checked_knots(knots: object) -> tuple[float, ...]:
    if not isinstance(knots, (tuple, list)) or not 2 <= len(knots) <= MAX_KNOTS:
        raise ValueError(f"knots: got {knots!r}; must be a list of 2 to {MAX_KNOTS} numbers")
    for knot in knots:
        check_number("knots", knot, minimum=-100, maximum=100)
    for left, right in itertools.pairwise(knots):
        if not right - left >= MIN_SPACING:
            raise ValueError(
                f"knots: {right:g} after {left:g}; must rise by {MIN_SPACING:g} or more"
            )
    return tuple(float(knot) for knot in knots)


def _sigmoid(x: float) -> float:
    return math.exp(min(x, 0.0)) / (1 + math.exp(-math.fabs(x)))


def _interpolate(knots: tuple[float, ...], ends: str) -> list[_Piece]:
    """Solve for the slopes at the knots that make the second derivative continuous, piece by piece.

    Source: de Boor 1978, A practical guide to splines, ch. 4, equations (8) to (14).
    """
    height = np.array([_sigmoid(knot) for knot in knots])
    width = np.diff(knots)
    secant = np.diff(height) / width
    size = len(knots)
    matrix, right = np.eye(size), np.zeros(size)
    for i in range(1, size - 1):
        matrix[i, i - 1 : i + 2] = width[i], 2 * (width[i - 1] + width[i]), width[i - 1]
        right[i] = 3 * (width[i] * secant[i - 1] + width[i - 1] * secant[i])
    if ends == "clamped":
        right[[0, -1]] = [_sigmoid(edge) * _sigmoid(-edge) for edge in (knots[0], knots[-1])]
    else:
        matrix[0, :2], right[0] = (2, 1), 3 * secant[0]
        matrix[-1, -2:], right[-1] = (1, 2), 3 * secant[-1]
    slope = np.linalg.solve(matrix, right)
    bend = (3 * secant - 2 * slope[:-1] - slope[1:]) / width
    twist = (slope[:-1] + slope[1:] - 2 * secant) / width**2
    columns = zip(knots, knots[1:], slope.tolist(), bend.tolist(), twist.tolist(), strict=False)
    return [_Piece(*numbers) for numbers in columns]


def _steepest(pieces: list[_Piece]) -> float:
    """Find the largest |slope| of quadratics: at an end or where the second derivative is 0."""
    slopes = []
    for piece in pieces:
        width = piece.stop - piece.start
        vertex = -piece.bend / (3 * piece.twist) if piece.twist else 0.0
        slopes += [piece.slope_at(t) for t in (0.0, width, min(max(vertex, 0.0), width))]
    return max(math.fabs(slope) for slope in slopes)


def _steps(h: Tensor, pieces: list[_Piece]) -> list[Tensor]:
    """Measure how far `h` has come within each piece: from 0 at its start to its width at its stop.

    A sum over pieces, each passed in full, in part or not at all, needs no search for the piece:
    several times faster than `bucketize`. relu keeps autograd from counting a knot in two pieces.
    """
    steps = [h.clamp(pieces[0].start, pieces[0].stop) - pieces[0].start]
    return steps + [F.relu(h.clamp_max(piece.stop) - piece.start) for piece in pieces[1:]]


def _make_value(pieces: list[_Piece], outer: tuple[float, float]) -> Elementwise:
    first, last = pieces[0].start, pieces[-1].stop
    height = _sigmoid(first)

    def value(h: Tensor) -> Tensor:
        total = height - _line(first - h, outer[0]) + _line(h - last, outer[1])
        for piece, step in zip(pieces, _steps(h, pieces), strict=True):
            total = total + step * (piece.slope + step * (piece.bend + step * piece.twist))
        return total

    return value


def _line(distance: Tensor, slope: float) -> Tensor:
    """Rise along an outer line; 0 before it begins, and along a flat one (inf * 0 would be NaN)."""
    return slope * F.relu(distance) if slope else torch.zeros_like(distance)


def _make_slope(
    pieces: list[_Piece], inner: tuple[float, float], outer: tuple[float, float]
) -> Elementwise:
    first, last = pieces[0].start, pieces[-1].stop

    def slope(h: Tensor) -> Tensor:
        total = inner[0] + (outer[0] - inner[0]) * (h < first).to(h.dtype)
        for piece, step in zip(pieces, _steps(h, pieces), strict=True):
            total = total + step * (2 * piece.bend + 3 * piece.twist * step)
        return total + (outer[1] - inner[1]) * (h > last).to(h.dtype)

    return slope


def _make_forward(
    pieces: list[_Piece], outer: tuple[float, float]
) -> Callable[[Tensor, Tensor], None]:
    first, last = pieces[0].start, pieces[-1].stop
    height = _sigmoid(first)

    def forward(h: Tensor, kept: Tensor) -> None:
        step, rise = torch.empty_like(h), torch.empty_like(h)
        kept.copy_(h)
        act = h.fill_(height)
        for piece in pieces:
            torch.clamp(kept, piece.start, piece.stop, out=step).sub_(piece.start)
            torch.mul(step, piece.twist, out=rise).add_(piece.bend).mul_(step).add_(piece.slope)
            act.addcmul_(step, rise)
        act.add_(torch.clamp_max(kept, first, out=step).sub_(first), alpha=outer[0])
        act.add_(torch.clamp_min(kept, last, out=step).sub_(last), alpha=outer[1])

    return forward


def _make_backward(
    pieces: list[_Piece], inner: tuple[float, float], outer: tuple[float, float]
) -> Callable[[Tensor, Tensor, Tensor], None]:
    first, last = pieces[0].start, pieces[-1].stop

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        step, bend = torch.empty_like(kept), torch.empty_like(kept)
        slope = torch.full_like(kept, inner[0])
        for piece in pieces:
            torch.clamp(kept, piece.start, piece.stop, out=step).sub_(piece.start)
            slope.addcmul_(step, torch.mul(step, 3 * piece.twist, out=bend).add_(2 * piece.bend))
        slope.add_(torch.lt(kept, first, out=step), alpha=outer[0] - inner[0])
        slope.add_(torch.gt(kept, last, out=step), alpha=outer[1] - inner[1])
        grad.mul_(slope)

    return backward


FACTORIES = (spline_sigmoid,)
