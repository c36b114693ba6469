"""An activation as theory sees it: where it breaks, where it diverges, and where it bends.

Nothing need be declared: kinks, jumps and poles are found from the functions themselves.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from fathom.activations.base import Activation, Elementwise

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]

NODES: Final = 16  # of Gauss and Legendre in each panel
LARGEST_ARGUMENT: Final = 1e6  # functions that a user brings may fail near infinity
_LIKE_POWER: Final = 1e-3  # how much the power may still change over the last factor of 2

# Breaks are looked for here. No point is a simple number, so that no break falls onto one.
_OFFSET: Final = 0.00123456789
_NEAR: Final = np.linspace(-16, 16, 8193) + _OFFSET
_FAR: Final = np.geomspace(16.01, 1e4, 400) + _OFFSET
_GRID: Final = np.concatenate([-_FAR[::-1], _NEAR, _FAR])
_SMOOTH: Final = 1e-6  # relative; what a smooth function may change over the last interval
_HALVINGS: Final = 44  # from 1/256 to the spacing of numbers near 1
_BESIDE: Final = 1e-6  # relative; how far from a break both sides are looked at
_DIVERGENT: Final = 0.45  # |x|^-1/2 has no second moment; a little less for rounding

# Panels to start from. An activation bends near 0, at its own scale.
_SCALES: Final = 2.0 ** np.arange(-6, 11)
_STARTS: Final = np.unique([0.0, *_SCALES, *-_SCALES, *np.arange(-8.0, 9.0)])
_SPLITS: Final = 32  # towards a pole; what is smooth needs few
_MOST_EDGES: Final = 600  # enough for a sine as far as the panels go
_RESOLVED: Final = 1e-13  # relative difference between a panel and its halves


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nonlinearity:
    """An activation phi in float64, with what quadrature and words need to know of it.

    Attributes:
        name: Name of the activation.
        value: phi, from an array to one of the same shape.
        slope: phi', likewise.
        kinks: Where phi or phi' breaks, in increasing order.
        jumps: Where phi itself breaks.
        edges: Ends of panels within which phi and phi' are smooth and resolved by 16 nodes.
        value_diverges: E phi^2 is infinite, because of a pole, or phi is NaN for some |h| < 16.
        slope_diverges: E phi'^2 is, or phi' is.
        slope_is_zero: phi' is 0 almost everywhere: no gradient passes.
        saturation_slope: |phi'| that saturation is measured against; `inf` where it is undefined.
        moves_units: It puts a layer's units in an order: what is said here is of one number alone.
    """

    name: str
    value: Function
    slope: Function
    kinks: tuple[float, ...]
    jumps: tuple[float, ...]
    edges: Floats
    value_diverges: bool
    slope_diverges: bool
    slope_is_zero: bool
    saturation_slope: float
    moves_units: bool = False


@functools.lru_cache(maxsize=256)
def nonlinearity(activation: Activation) -> Nonlinearity:
    """Examine an activation: find its kinks, jumps and poles, and panels that resolve it.

    Beyond |h| = 1e6 the function goes on as the power that it is there; one that is none is
    held at its last value.

    Not covered: breaks beyond |h| = 10,000, two breaks that lie closer than 1/256, and waves
    beyond |h| = 1024: there expectations of a sine are off by some percent.
    """
    value, slope = _in_numpy(activation.value), _in_numpy(activation.slope)
    with np.errstate(all="ignore"):
        value, slope = _continued(value), _continued(slope)
        jumps, kinks = _breaks(value), _breaks(slope)
        declared = [kink for kink in activation.kinks if abs(kink) <= LARGEST_ARGUMENT]
        found = tuple(sorted({*jumps, *kinks, *declared}))
        return Nonlinearity(
            name=activation.name,
            value=value,
            slope=slope,
            kinks=found,
            jumps=jumps,
            edges=_resolving_edges(value, slope, found),
            value_diverges=_diverges(value, found),
            slope_diverges=_diverges(slope, found),
            slope_is_zero=bool((slope(_GRID) == 0).all()),
            saturation_slope=activation.saturation_slope,
            moves_units=activation.order is not None,
        )


def _in_numpy(function: Elementwise) -> Function:
    def evaluate(x: Floats) -> Floats:
        clipped = np.clip(x, -LARGEST_ARGUMENT, LARGEST_ARGUMENT)
        with torch.inference_mode():
            result: Floats = function(torch.from_numpy(clipped)).numpy()
        return result

    return evaluate


def _continued(function: Function) -> Function:
    """Continue a function beyond the largest argument as a power of |h|, of its own on each side.

    A function that is no power there, such as a wave, is held at its last value.
    """
    ends = np.array([-1.0, 1.0]) * LARGEST_ARGUMENT
    last, before = (np.log2(function(x) / function(x / 2)) for x in (ends, ends / 2))
    powers = np.where(np.abs(last - before) < _LIKE_POWER, last, 0.0)

    def evaluate(x: Floats) -> Floats:
        inside = function(x)
        excess = np.abs(x) / LARGEST_ARGUMENT
        if excess.max(initial=0.0) <= 1:
            return inside
        power = np.where(x < 0, powers[0], powers[1])
        result: Floats = inside * np.maximum(excess, 1.0) ** power
        return result

    return evaluate


def _breaks(function: Function) -> tuple[float, ...]:
    """Find where a function jumps: halve every interval, keeping the half that changes more.

    Over a smooth stretch the change shrinks with the interval; over a break it stays.
    """
    left, right = _GRID[:-1], _GRID[1:]
    at_left, at_right = _finite(function(left)), _finite(function(right))
    for _ in range(_HALVINGS):
        suspect = ~_is_small(at_left, at_right)
        left, right = left[suspect], right[suspect]
        at_left, at_right = at_left[suspect], at_right[suspect]
        if not left.size:
            return ()
        middle = (left + right) / 2
        at_middle = _finite(function(middle))
        first = np.abs(at_middle - at_left) >= np.abs(at_right - at_middle)
        right, at_right = np.where(first, middle, right), np.where(first, at_middle, at_right)
        left, at_left = np.where(first, left, middle), np.where(first, at_left, at_middle)
    # The function may be infinite at a pole itself; infinite on one side of it is an overflow.
    beside = _BESIDE * np.maximum(1.0, np.abs(left))
    both_sides = np.isfinite(function(left - beside)) & np.isfinite(function(right + beside))
    remaining = ~_is_small(at_left, at_right) & both_sides
    places = (left[remaining] + right[remaining]) / 2
    return tuple(sorted({round(float(place), 12) + 0.0 for place in places}))


def _finite(values: Floats) -> Floats:
    return np.nan_to_num(values, nan=0.0, posinf=1e300, neginf=-1e300)


def _is_small(a: Floats, b: Floats) -> npt.NDArray[np.bool_]:
    size = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    small: npt.NDArray[np.bool_] = np.abs(b - a) <= _SMOOTH * size
    return small


def _diverges(function: Function, breaks: tuple[float, ...]) -> bool:
    undefined = bool(np.isnan(function(_NEAR)).any())  # further out it may be an overflow
    return undefined or any(_divergence(function, place) > _DIVERGENT for place in breaks)


def _divergence(function: Function, place: float) -> float:
    """Return the power a of |x - place|^-a by which a function grows towards a place; 0 if not."""
    near, far = 1e-8 * max(1.0, abs(place)), 1e-5 * max(1.0, abs(place))
    powers = []
    for side in (-1.0, 1.0):
        close, away = _finite(np.abs(function(place + side * np.array([near, far]))))
        if close > away > 0:
            powers.append(float(np.log(close / away) / np.log(far / near)))
    return max(powers, default=0.0)


def _resolving_edges(value: Function, slope: Function, kinks: tuple[float, ...]) -> Floats:
    """Split panels until 16 nodes integrate phi^2 and phi'^2 as 2 times 16 nodes do."""
    edges: Floats = np.unique([*_STARTS, *kinks])
    for _ in range(_SPLITS):
        middles = (edges[1:] + edges[:-1]) / 2
        both = np.sort(np.concatenate([edges, middles]))
        poor = np.zeros(len(middles), dtype=bool)
        for function in (value, slope):
            whole = _panel_integrals(function, edges)
            halves = _panel_integrals(function, both).reshape(-1, 2).sum(1)
            scale = halves + _inner_share(halves, edges)
            poor |= np.abs(whole - halves) > _RESOLVED * scale
        if not poor.any() or len(edges) > _MOST_EDGES:
            break
        edges = np.sort(np.concatenate([edges, middles[poor]]))
    return edges


def _inner_share(integrals: Floats, edges: Floats) -> Floats:
    """Return what a panel would hold if all that lies nearer to 0 were spread evenly.

    What lies further out does not count: it may be huge, and is not seen at small variances.
    """
    reach = np.maximum(np.abs(edges[1:]), np.abs(edges[:-1]))
    order = np.argsort(reach, kind="stable")
    inner = np.empty_like(integrals)
    inner[order] = np.cumsum(integrals[order])
    share: Floats = inner * np.diff(edges) / (2 * reach)
    return share


def _panel_integrals(function: Function, edges: Floats) -> Floats:
    nodes, weights = legendre(edges)
    integrals: Floats = (weights * _finite(function(nodes)) ** 2).reshape(-1, NODES).sum(1)
    return integrals


_NODES_AND_WEIGHTS: Final = np.polynomial.legendre.leggauss(NODES)


def legendre(edges: Floats) -> tuple[Floats, Floats]:
    """Return nodes and weights of Gauss and Legendre in every panel.

    Args:
        edges: `[..., P+1]` in increasing order; panels without width are allowed.

    Returns:
        Nodes and weights, each `[..., P * NODES]`.
    """
    inside, shares = _NODES_AND_WEIGHTS
    half = np.diff(edges) / 2
    centre = edges[..., :-1] + half
    shape = (*edges.shape[:-1], -1)
    nodes = (centre[..., None] + half[..., None] * inside).reshape(shape)
    weights = (half[..., None] * shares).reshape(shape)
    return nodes, weights
