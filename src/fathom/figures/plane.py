"""What one network answers over the plane, as a panel: shares, boundary, test points.

Shapes: G points of a side of the grid, K classes, P points of a boundary.
"""

from typing import Final

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray

from fathom.figures.charts import Axis, Floats, HeatMap, Line, Marker, Panel, Points
from fathom.figures.palette import category
from fathom.surfaces import Surface, logits_of, shares_of

MAX_POINTS: Final = 200  # of the test part; more would hide what lies below
NOTHING: Final = "no number"

_BOUNDARY_COLOUR: Final = "#1a1a1a"
_MARKERS: Final[tuple[Marker, ...]] = ("dot", "up", "down", "ring")
_UNDECIDED: Final = "#f7f7f7"
_STRENGTH: Final = 0.6  # of a class's colour where its share is 1: test points are to be seen on it
_EDGE: Final = 0.02  # of a class's part of the scale: rounding must not reach its neighbour's


def panel(
    surface: Surface, place: int, title: str, *, may_lack_numbers: bool | None = None
) -> Panel:
    """Describe what a network answers after one of the epochs.

    Args:
        surface: All that was kept of the run.
        place: Which epoch, by its place among them; -1 is the last.
        title: Text over the panel.
        may_lack_numbers: Whether the legend tells how a missing answer is shown; by default where
            one is missing.
    """
    odds = surface.log_odds[place]
    shares = shares_of(odds)
    x, y = boundary(surface.across, surface.up, logits_of(odds))
    name = "boundary: share 0.5" if surface.num_classes == 2 else "boundary"
    missing = bool(np.isnan(shares).any()) if may_lack_numbers is None else may_lack_numbers
    return Panel(
        title=title,
        x=Axis(label="x1"),
        y=Axis(label="x2"),
        lines=(Line(name=name, x=x, y=y, colour=_BOUNDARY_COLOUR),),
        points=class_points(surface),
        heat_map=_heat_map(surface, shares, NOTHING if missing else ""),
        equal=True,
    )


def boundary(across: Floats, up: Floats, logits: Floats) -> tuple[Floats, Floats]:
    """Find the lines on which the most likely class changes.

    With two classes that is where the share of each is 0.5. Between neighbouring points of the grid
    the differences of logits are taken as linear, and not the shares: these jump from 0 to 1 in a
    network that is sure of itself, which would make steps of every slope. Of an affine network the
    line is exact, to the rounding of the logits.

    Args:
        across: `[G]`, see `Surface`.
        up: `[G]`.
        logits: `[G, G, K]`; nothing is drawn beside NaN.

    Returns:
        Both coordinates, `[P]` each, with NaN between the pieces; empty if one class wins all over.
    """
    pieces = [np.empty((0, 2))]
    # Each border has an earlier class on one of its sides, so the last needs no turn.
    for label in range(logits.shape[-1] - 1):
        others = np.delete(logits, label, axis=-1).max(-1)
        lead = np.ma.masked_invalid(logits[..., label] - others)
        generator = contour_generator(across, up, lead, line_type=LineType.Separate)
        for line in generator.lines(0.0):
            pieces += [np.asarray(line), np.full((1, 2), np.nan)]
    joined = np.concatenate(pieces)[:-1]
    return joined[:, 0], joined[:, 1]


def colour_values(shares: Floats) -> Floats:
    """Turn shares into places on the scale of colours.

    Args:
        shares: `[G, G, K]`.

    Returns:
        `[G, G]`: the share of class 1 of two; of more, the number of the winner k plus how sure the
        network is of it, from 0 where all shares are equal to 1. NaN where a share is.
    """
    num_classes = shares.shape[-1]
    if num_classes == 2:
        return shares[..., 1]
    known = ~np.isnan(shares).any(-1)
    winner = shares.argmax(-1)
    sure = (shares.max(-1) * num_classes - 1) / (num_classes - 1)
    return np.where(known, winner + _EDGE + (1 - 2 * _EDGE) * np.clip(sure, 0, 1), np.nan)


def class_points(surface: Surface) -> tuple[Points, ...]:
    """Describe the test samples, a colour and a shape for each class."""
    points, labels = surface.points[:MAX_POINTS], surface.labels[:MAX_POINTS]
    return tuple(
        Points(
            name=f"test, class {label}",
            x=points[labels == label, 0],
            y=points[labels == label, 1],
            colour=category(label)[0],
            marker=_MARKERS[label % len(_MARKERS)],
            rim="" if _MARKERS[label % len(_MARKERS)] == "ring" else "#ffffff",
        )
        for label in range(surface.num_classes)
    )


def _heat_map(surface: Surface, shares: Floats, missing: str) -> HeatMap:
    num_classes = shares.shape[-1]
    two = num_classes == 2
    return HeatMap(
        x=surface.across,
        y=surface.up,
        z=colour_values(shares),
        label="share of class 1" if two else "most likely class; pale where not sure",
        scale="linear",
        low=0.0,
        high=1.0 if two else float(num_classes),
        stops=scale_colours(num_classes),
        ticks=() if two else tuple((label + 0.5, str(label)) for label in range(num_classes)),
        missing=missing,
    )


def scale_colours(num_classes: int) -> tuple[tuple[float, str], ...]:
    """Return the stops of the scale: both classes' colours with pale grey between, or a ramp each.

    Raises:
        ValueError: If there are fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"{num_classes} classes have no boundary")
    ends = [class_colour(label) for label in range(num_classes)]
    if num_classes == 2:
        return (0.0, ends[0]), (0.5, _UNDECIDED), (1.0, ends[1])
    borders = [label / num_classes for label in range(num_classes + 1)]
    return tuple(
        stop
        for label, end in enumerate(ends)
        for stop in ((borders[label], _UNDECIDED), (borders[label + 1], end))
    )


def class_colour(label: int) -> str:
    """Return the colour of the plane where a class's share is 1."""
    parts = _parts(category(label)[0]), _parts(_UNDECIDED)
    red, green, blue = (np.round(_STRENGTH * parts[0] + (1 - _STRENGTH) * parts[1])).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _parts(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], dtype=np.float64)
