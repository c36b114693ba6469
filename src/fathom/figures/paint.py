"""Paint one panel of a chart into matplotlib axes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator

from fathom.figures.charts import (
    Axis,
    Bars,
    Blocks,
    Dash,
    Floats,
    HeatMap,
    Line,
    Marker,
    Panel,
    Points,
    shortened,
)

COLOUR_MAP = "viridis"
LONGEST_CATEGORY = 24  # characters of a name at a tick

# What a heat-map has where its values are NaN; hatched where the legend tells it.
NOT_A_NUMBER = "#c8c8c8"
HATCHED: dict[str, Any] = {"facecolor": NOT_A_NUMBER, "edgecolor": "#8c8c8c", "hatch": "////"}

_SHADES = 1024  # of colours of its own that a heat-map has: smooth for several classes
LINE_STYLES: dict[Dash, Any] = {  # Any: matplotlib types a style as a union of literals
    "solid": "-",
    "dashed": (0, (5, 2)),
    "dotted": (0, (1, 1.5)),
    "dashdot": (0, (5, 2, 1, 2)),
}
MARKERS: dict[Marker, tuple[str, float]] = {  # shape and size in points
    "dot": ("o", 3.5),
    "ring": ("o", 5.5),  # to be seen around a dot
    "down": ("v", 4.5),
    "up": ("^", 4.5),
}


def clean(content: str, most: int = 60) -> str:
    """Make a text printable and short: no control characters, no endless lines."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in content)
    return shortened(shown, most)


def write(text: Text, content: str, *, most: int = 60) -> None:
    """Set a text that others wrote: a dollar sign in it begins no formula."""
    text.set_parse_math(False)
    text.set_text(clean(content, most))


def paint_panel(ax: Axes, panel: Panel, *, font_size: float) -> None:
    """Paint a panel.

    Args:
        ax: Fresh axes.
        panel: What to paint.
        font_size: Of titles and labels, in points.
    """
    ax.set_axisbelow(True)
    if panel.heat_map is None:
        ax.grid(True, color="#dddddd", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    _set_scales(ax, panel)
    for line in panel.lines:
        _paint_line(ax, line, log=panel.y.scale == "log", crowded=len(panel.lines) > 4)
    for points in panel.points:
        _paint_points(ax, points, log=panel.y.scale == "log")
    for index, bars in enumerate(panel.bars):
        _paint_bars(ax, bars, index, len(panel.bars))
    for blocks in panel.blocks:
        _paint_blocks(ax, blocks)
    if panel.heat_map is not None:
        _paint_heat_map(ax, panel.heat_map)
    if panel.equal:
        ax.set_aspect("equal")
    ax.tick_params(labelsize=font_size - 1)
    most = max(24, int(ax.get_window_extent().width / (0.85 * font_size)))
    write(ax.set_title("", fontsize=font_size, loc="left"), panel.title, most=most)
    for target, axis in ((ax.xaxis, panel.x), (ax.yaxis, panel.y)):
        write(target.label, axis.label)
        target.label.set_fontsize(font_size)
    if panel.x.categories:
        _name_categories(ax, panel.x)
    if panel.y.categories:
        ax.set_yticks(*_ticks(panel.y), parse_math=False)
        ax.set_ylim(len(panel.y.categories) - 0.5, -0.5)


def _set_scales(ax: Axes, panel: Panel) -> None:
    ax.set_xscale(panel.x.scale)
    ax.set_yscale(panel.y.scale)
    if panel.x.scale == "linear" and not panel.x.categories:
        positions = (*(line.x for line in panel.lines), *(points.x for points in panel.points))
        whole = all(bool((x == np.round(x)).all()) for x in positions)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=whole, steps=[1, 2, 5, 10]))


def _name_categories(ax: Axes, axis: Axis) -> None:
    places, names = _ticks(axis)
    turned = sum(map(len, names)) > 30
    ax.set_xticks(
        places,
        names,
        rotation=45 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor",
        parse_math=False,
    )
    ax.grid(False, axis="x")


def _ticks(axis: Axis) -> tuple[list[int], list[str]]:
    """Return the places of the named categories, and their names."""
    named = {place: name for place, name in enumerate(axis.categories) if name}
    return list(named), [clean(name, LONGEST_CATEGORY) for name in named.values()]


def shown(values: Floats, *, log: bool) -> Floats:
    """Replace what an axis cannot show by gaps."""
    visible = np.isfinite(values)
    return np.where(visible & (values > 0) if log else visible, values, np.nan)


def _paint_line(ax: Axes, line: Line, *, log: bool, crowded: bool) -> None:
    ax.plot(
        line.x,
        shown(line.y, log=log),
        color=line.colour,
        linestyle=LINE_STYLES[line.dash],
        linewidth=1.5,
        marker="o" if line.markers else None,
        markersize=3.5,
    )
    if line.low is not None and line.high is not None:
        low, high = shown(line.low, log=log), shown(line.high, log=log)
        alpha = 0.06 if crowded else 0.15
        ax.fill_between(line.x, low, high, color=line.colour, alpha=alpha, linewidth=0)


def _paint_points(ax: Axes, points: Points, *, log: bool) -> None:
    """Paint points over all lines; a ring is open, so that what lies below can be seen."""
    y = shown(points.y, log=log)
    if points.x_low is not None and points.x_high is not None:
        ax.hlines(y, points.x_low, points.x_high, color=points.colour, linewidth=0.7, alpha=0.5)
    shape, size = MARKERS[points.marker]
    ax.plot(
        points.x,
        y,
        color=points.colour,
        linestyle="none",
        marker=shape,
        markersize=size,
        markerfacecolor="none" if points.marker == "ring" else points.colour,
        markeredgecolor=points.rim or points.colour,
        markeredgewidth=0.4 if points.rim else 1.0,
        zorder=3,
    )


def _paint_bars(ax: Axes, bars: Bars, index: int, count: int) -> None:
    width = 0.8 / count
    x = np.arange(len(bars.y)) + (index - (count - 1) / 2) * width
    drawn = np.isfinite(bars.y)
    colours = [colour for colour, keep in zip(bars.colours, drawn, strict=True) if keep]
    ax.bar(x[drawn], bars.y[drawn], width=width * 0.95, color=colours)
    if bars.low is not None and bars.high is not None:
        ax.vlines(x[drawn], bars.low[drawn], bars.high[drawn], color="#444444", linewidth=0.8)
    ax.set_xlim(-0.6, len(bars.y) - 0.4)


def _paint_blocks(ax: Axes, blocks: Blocks) -> None:
    """Paint rectangles with hard edges: neighbours of one colour show no seam."""
    left, right, low, high = blocks.left, blocks.right, blocks.low, blocks.high
    corners = np.stack([left, low, left, high, right, high, right, low], 1).reshape(-1, 4, 2)
    painted = PolyCollection(
        list(corners), facecolors=blocks.colour, linewidths=0, antialiaseds=False
    )
    ax.add_collection(painted)
    ax.autoscale_view()
    ax.set_ylim(0, 1)
    ax.xaxis.grid(False)


def edges(centres: Floats) -> Floats:
    """Return the borders of cells from their centres: half-way between neighbours.

    >>> edges(np.array([0.0, 1.0, 4.0])).tolist()
    [-0.5, 0.5, 2.5, 5.5]
    >>> edges(np.array([7.0])).tolist()
    [6.5, 7.5]
    """
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def colour_norm(heat_map: HeatMap) -> Normalize:
    """Return the mapping from values to shares of the colour scale."""
    kind = LogNorm if heat_map.scale == "log" else Normalize
    return kind(heat_map.low, heat_map.high)


def colour_map(heat_map: HeatMap) -> Colormap | str:
    """Return the colours of a heat-map."""
    if not heat_map.stops:
        return COLOUR_MAP
    return LinearSegmentedColormap.from_list("", list(heat_map.stops), N=_SHADES)


def _paint_heat_map(ax: Axes, heat_map: HeatMap) -> None:
    ax.patch.set(**HATCHED) if heat_map.missing else ax.set_facecolor(NOT_A_NUMBER)
    for axis, places, most in ((ax.xaxis, heat_map.x, 6), (ax.yaxis, heat_map.y, 5)):
        whole = bool((places == np.round(places)).all())
        axis.set_major_locator(MaxNLocator(most, integer=whole, steps=[1, 2, 5, 10]))
    if heat_map.z.size == 0:
        return
    # Zero has no logarithm but a colour: the first one, as for anything else below the scale.
    z = np.where(np.isnan(heat_map.z), np.nan, np.clip(heat_map.z, heat_map.low, heat_map.high))
    x, y = edges(heat_map.x), edges(heat_map.y)
    norm, colours = colour_norm(heat_map), colour_map(heat_map)
    if _is_even(x) and _is_even(y):  # an image: small, and quick to write
        box = (x[0], x[-1], y[0], y[-1])
        image = ax.imshow(z, extent=box, origin="lower", aspect="auto", norm=norm, cmap=colours)
        image.set_interpolation("none")
    else:
        ax.pcolormesh(x, y, z, rasterized=True, norm=norm, cmap=colours)


def _is_even(places: Floats) -> bool:
    """Tell whether neighbours are equally far apart, but for rounding."""
    steps = np.diff(places)
    return bool(np.ptp(steps) <= 1e-9 * steps.mean())


def set_y_range(ax: Axes, low: float, high: float) -> None:
    """Set the range of the y axis; over more than two decades only decades get a tick."""
    ax.set_ylim(low, high)
    if ax.get_yscale() == "log" and high / low > 100:
        ax.yaxis.set_major_locator(LogLocator(numticks=6))
        ax.yaxis.minorticks_off()


def label_ends(ax: Axes, panel: Panel, *, font_size: float, gap: float) -> None:
    """Write each line's name beside its last point, at least `gap` of the axes' height apart."""
    placed = []
    for line in panel.lines:
        y = shown(line.y, log=panel.y.scale == "log")
        known = np.flatnonzero(np.isfinite(y))
        if known.size:
            place = ax.transAxes.inverted().transform(ax.transData.transform((0, y[known[-1]])))
            placed.append((float(place[1]), line))
    placed.sort(key=lambda item: item[0])
    heights = spread([height for height, _ in placed], gap)
    for height, (_, line) in zip(heights, placed, strict=True):
        text = ax.text(1.02, height, "", transform=ax.transAxes, va="center", fontsize=font_size)
        text.set_color(line.colour)
        write(text, line.name, most=28)


def spread(heights: list[float], gap: float) -> list[float]:
    """Move ascending heights apart to at least `gap`, as little as one pass up and one down can.

    >>> spread([0.0, 0.0, 1.0], 0.25)
    [0.0, 0.25, 1.0]
    """
    apart: list[float] = []
    for height in heights:
        apart.append(max(height, apart[-1] + gap) if apart else height)
    top = 1.0
    for index in range(len(apart) - 1, -1, -1):
        apart[index] = min(apart[index], top)
        top = apart[index] - gap
    return apart
