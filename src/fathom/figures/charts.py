"""What is drawn, as data: one description for the image files and for the page.

A figure turns its numbers into a `Chart`; `draw.py` paints a chart with matplotlib and the page's
`charts.js` with plotly. Texts are plain text: no renderer may read markup in them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scale = Literal["linear", "log"]
Dash = Literal["solid", "dashed", "dotted", "dashdot"]
Marker = Literal["dot", "ring", "down", "up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis.

    Attributes:
        label: Quantity with its unit in brackets; none for a pure number.
        scale: Spacing of the numbers.
        categories: Names at the positions 0, 1, ..., where an empty one gets no tick; none for an
            axis of numbers. On the y axis they stand from top to bottom, as the rows of a table.
        high: Where the axis ends; None for the largest value.
        shared: Whether panels with the same label have the same range.
    """

    label: str
    scale: Scale = "linear"
    categories: tuple[str, ...] = ()
    high: float | None = None
    shared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A curve, optionally with a band.

    Attributes:
        name: Text of the legend; equal names share one entry.
        x: Positions, [P].
        y: Values, [P]; what is not finite is a gap.
        low: Lower edge of the band, [P], or None.
        high: Upper edge of the band, [P], or None.
        colour: `#rrggbb`.
        dash: How the line is broken.
        markers: Whether the points are marked.
    """

    name: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    colour: str
    dash: Dash = "solid"
    markers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Points that no line joins, optionally with whiskers to the left and right.

    Attributes:
        name: Text of the legend; equal names share one entry.
        x: Positions, [P].
        y: Values, [P]; what is not finite is left out.
        x_low: Left end of the whisker, [P], or None.
        x_high: Right end of the whisker, [P], or None.
        colour: `#rrggbb`.
        marker: Its shape.
        rim: `#rrggbb` of a thin line around each point, to be seen on colours; empty for none.
        labels: What each point stands for, which the page tells when asked; may be empty.
    """

    name: str
    x: Floats
    y: Floats
    x_low: Floats | None = None
    x_high: Floats | None = None
    colour: str
    marker: Marker = "dot"
    rim: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """One series of bars over the categories of the x axis.

    Attributes:
        name: Text of the legend.
        y: Heights, one for each category; NaN for no bar.
        low: Lower end of the whisker, or None.
        high: Upper end of the whisker, or None.
        colours: `#rrggbb` of each bar.
    """

    name: str
    y: Floats
    low: Floats | None = None
    high: Floats | None = None
    colours: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """One series of rectangles, such as one part of bars that stand on each other.

    Attributes:
        name: Text of the legend; equal names share one entry.
        left: Left edges, [P].
        right: Right edges, [P].
        low: Lower edges, [P].
        high: Upper edges, [P].
        colour: `#rrggbb`.
    """

    name: str
    left: Floats
    right: Floats
    low: Floats
    high: Floats
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatMap:
    """A matrix of colours.

    Attributes:
        x: Centres of the columns, [X].
        y: Centres of the rows, [Y].
        z: Values, [Y, X]; NaN is grey.
        label: Quantity with its unit.
        scale: Spacing of the colours.
        low: Value of the first colour; anything below has it too.
        high: Value of the last colour; anything above has it too.
        stops: Colours as `(share of the scale, #rrggbb)`, from 0 to 1, mixed in between; equal
            shares make a jump. Empty for the usual colours.
        ticks: Names beside the scale, as `(value, name)`; numbers if empty.
        missing: Text of the legend for NaN, which is then hatched, too; may be empty.
    """

    x: Floats
    y: Floats
    z: Floats
    label: str
    scale: Scale
    low: float
    high: float
    stops: tuple[tuple[float, str], ...] = ()
    ticks: tuple[tuple[float, str], ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes with what lies in it.

    Attributes:
        title: Text over it.
        x: Axis across.
        y: Axis up.
        lines: Curves.
        points: Points.
        bars: Bars side by side.
        blocks: Rectangles; the y axis then goes from 0 to 1.
        heat_map: A matrix of colours below all of these.
        equal: Whether a unit is as long across as up; `heat_map` then fills the panel.
    """

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    points: tuple[Points, ...] = ()
    bars: tuple[Bars, ...] = ()
    blocks: tuple[Blocks, ...] = ()
    heat_map: HeatMap | None = None
    equal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A whole figure.

    Attributes:
        title: Title of the figure.
        panels: Row by row. Panels with equal y labels share the range of the axis, unless it says
            otherwise, and heat-maps with equal labels share one colour scale.
        columns: Panels in a row.
        note: One sentence under the figure; may be empty.
    """

    title: str
    panels: tuple[Panel, ...]
    columns: int
    note: str = field(default="")


def curve_scale(series: Sequence[Floats]) -> Scale:
    """Choose logarithmic spacing for positive values that span a factor of 30 or more."""
    finite = [s[np.isfinite(s)] for s in series]
    joined = np.concatenate([*finite, np.empty(0)])
    if joined.size == 0 or joined.min() <= 0:
        return "linear"
    return "log" if joined.max() / joined.min() >= 30 else "linear"


def shortened(text: str, most: int) -> str:
    """Cut the middle out of a text that is too long: what sets names apart is often at their end.

    >>> shortened("leaky_relu(slope=0.1), depth 5, lr 100", 22)
    'leaky_relu(sl…, lr 100'
    """
    tail = most * 2 // 5
    return text if len(text) <= most else f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def columns_for(num_panels: int, *, most: int = 6) -> int:
    """Choose how many panels stand in a row so that the figure is a little wider than tall.

    >>> [columns_for(n) for n in (1, 2, 4, 5, 24)]
    [1, 2, 4, 3, 6]
    """
    if num_panels <= 4:
        return max(1, num_panels)
    return min(most, math.ceil(math.sqrt(1.4 * num_panels)))


def row_length(num_columns: int) -> int:
    """Keep one column of panels for each value, unless the row would be too long to read."""
    return num_columns if num_columns <= 8 else columns_for(num_columns)


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any part of a chart goes in, any JSON value comes out
    """Turn a chart or a part of it into values that JSON can hold; what is not finite becomes None.

    Numbers keep four significant digits, which is more than a screen shows.
    """
    if isinstance(value, np.ndarray):
        return [to_plain(item) for item in value.tolist()]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        plain = {name: to_plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return {key: item for key, item in plain.items() if item not in (None, [], "")}
    return value
