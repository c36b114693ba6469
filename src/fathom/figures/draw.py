"""Lay out and save a chart with matplotlib: no global state, equal bytes for equal charts."""

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fathom.figures.charts import Bars, Blocks, Chart, HeatMap, Line, Panel, Points
from fathom.figures.paint import (
    HATCHED,
    LINE_STYLES,
    LONGEST_CATEGORY,
    MARKERS,
    clean,
    colour_map,
    colour_norm,
    label_ends,
    paint_panel,
    set_y_range,
    write,
)
from fathom.store.commit import writing

# What would otherwise differ from call to call: dates and versions.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
FORMATS = tuple(_METADATA)

_LEFT, _TOP = 0.8, 0.75  # margins in inches; names of categories widen the left one

# What the legend may have a handle for.
_Named = Line | Points | Bars | Blocks | HeatMap


class _Layout:
    """Sizes in inches, from the number of panels and what stands around them."""

    def __init__(self, chart: Chart) -> None:
        dense = chart.columns > 4 or len(chart.panels) > 8
        width, height = (5.2, 3.6) if len(chart.panels) <= 2 else (3.6, 2.5)
        self.panel = (2.1, 1.6) if dense else (width, height)
        if any(panel.y.categories for panel in chart.panels):
            self.panel = (2.6, 2.6) if dense else (3.2, 3.2)  # a row is as wide as a column
        if any(panel.equal for panel in chart.panels):
            width = 2.4 if dense else 3.6 if len(chart.panels) > 1 else 4.8
            self.panel = (width, width * max(map(_shape, chart.panels)))
        self.left = _LEFT + max(map(_names_width, chart.panels))
        self.font_size = 8.0 if dense else 9.0
        self.rows = -(-len(chart.panels) // chart.columns)
        self.entries = _legend_entries(chart)
        self.direct = _can_label_lines(chart)
        longest = max((len(clean(name)) for name in self.entries), default=1)
        self.right = 0.25
        if any(panel.heat_map is not None for panel in chart.panels):
            self.right = 1.1
        elif self.direct:
            self.right = 0.3 + 0.08 * min(longest, 28)
        ticks = max(map(_tick_height, chart.panels))
        inner_ticks = max(map(_tick_height, chart.panels[: -chart.columns]), default=0.0)
        gap = 0.35 if dense and not _has_mixed_rows(chart) else 0.75
        gap = self.right + 0.5 if self.direct else gap
        self.gaps = (gap, (0.55 if dense else 0.75) + inner_ticks)
        self.width = max(self.left + _extent(chart.columns, self.panel[0], gap) + self.right, 5.5)
        self.legend_columns = max(1, int((self.width - 0.3) / (0.75 + 0.075 * longest)))
        legend_rows = 0 if self.direct else -(-len(self.entries) // self.legend_columns)
        self.note = textwrap.fill(clean(chart.note, 400), int(14.5 * self.width))
        self.note_height = 0.15 + 0.15 * (self.note.count("\n") + 1 if chart.note else 0)
        self.bottom = 0.5 + ticks + self.note_height + 0.2 * legend_rows
        self.height = _TOP + _extent(self.rows, self.panel[1], self.gaps[1]) + self.bottom

    def margins(self) -> dict[str, float]:
        return {
            "left": self.left / self.width,
            "right": 1 - self.right / self.width,
            "bottom": self.bottom / self.height,
            "top": 1 - _TOP / self.height,
            "wspace": self.gaps[0] / self.panel[0],
            "hspace": self.gaps[1] / self.panel[1],
        }


def _tick_height(panel: Panel) -> float:
    """Estimate how far down the names of the categories reach when they are turned."""
    lengths = [len(clean(category, LONGEST_CATEGORY)) for category in panel.x.categories]
    return 0.052 * max(lengths) if sum(lengths) > 30 else 0.0


def _names_width(panel: Panel) -> float:
    """Estimate how far to the left the names of the categories reach, beyond numbers."""
    lengths = [len(clean(category, LONGEST_CATEGORY)) for category in panel.y.categories]
    return max(0.0, 0.065 * max(lengths, default=0) - 0.3)


def _shape(panel: Panel) -> float:
    """Return height over width of a panel with equal units; what is beyond reason is cut."""
    if not panel.equal or panel.heat_map is None:
        return 0.4
    height, width = np.ptp(panel.heat_map.y), np.ptp(panel.heat_map.x)
    return float(np.clip(height / width, 0.4, 1.6))


def _has_mixed_rows(chart: Chart) -> bool:
    """Tell whether neighbours show different quantities, so that each needs its own label."""
    neighbours = zip(chart.panels, chart.panels[1:], strict=False)
    return any(
        left.y.label != right.y.label
        for index, (left, right) in enumerate(neighbours, 1)
        if index % chart.columns
    )


def _extent(count: int, size: float, gap: float) -> float:
    return count * size + (count - 1) * gap


def _can_label_lines(chart: Chart) -> bool:
    """Names stand beside the lines where there is room; elsewhere in a legend."""
    most = max(len(panel.lines) for panel in chart.panels)
    others = any(p.bars or p.blocks or p.points or p.heat_map for p in chart.panels)
    return len(chart.panels) <= 2 and 2 <= most <= 8 and not others


def draw(chart: Chart) -> Figure:
    """Paint a chart.

    Returns:
        A figure with an Agg canvas; show it, change it, or give it to `save`.
    """
    size = _Layout(chart)
    figure = Figure(figsize=(size.width, size.height))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(size.rows, chart.columns, **size.margins())
    axes = []
    for index, panel in enumerate(chart.panels):
        ax = figure.add_subplot(grid[index // chart.columns, index % chart.columns])
        paint_panel(ax, panel, font_size=size.font_size)
        axes.append(ax)
    _share_ranges(chart, axes)
    _hide_inner_labels(chart, axes)
    if size.direct:
        gap = 1.5 * size.font_size / 72 / size.panel[1]
        for ax, panel in zip(axes, chart.panels, strict=True):
            label_ends(ax, panel, font_size=size.font_size, gap=gap)
    elif size.entries:
        _draw_legend(figure, size)
    _draw_colour_bars(figure, chart, size)
    left = 0.15 / size.width
    write(figure.text(left, 1 - 0.3 / size.height, "", fontsize=12), chart.title)
    note = figure.text(left, 0.12 / size.height, "", fontsize=8, color="#555555")
    note.set_text(size.note)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF by the path's suffix.

    Raises:
        StoreError: If the file cannot be written.
    """
    kind, content = path.suffix[1:].lower(), io.BytesIO()
    with quietly(), matplotlib.rc_context({"svg.hashsalt": "fathom"}):
        figure.savefig(content, format=kind, dpi=150, metadata=_METADATA[kind])
    with writing(path, content.tell()):
        path.write_bytes(content.getvalue())


@contextmanager
def quietly() -> Iterator[None]:
    """Pass over characters that the font lacks: a box in a label is not worth a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def _share_ranges(chart: Chart, axes: Sequence[Axes]) -> None:
    """Give the y axes of panels with the same label the same range."""
    both = zip(axes, chart.panels, strict=True)
    sharing = [(ax, panel.y) for ax, panel in both if panel.heat_map is None and panel.y.shared]
    limits = {axis.label: axis.high for _, axis in sharing}
    for label, limit in limits.items():
        same = [ax for ax, axis in sharing if axis.label == label]
        ranges = [ax.get_ylim() for ax in same if ax.has_data()]
        if ranges:
            low, high = min(lo for lo, _ in ranges), max(hi for _, hi in ranges)
            for ax in same:
                set_y_range(ax, low, high if limit is None else limit)


def _hide_inner_labels(chart: Chart, axes: Sequence[Axes]) -> None:
    """Keep a label only where the neighbour to the left or below does not say the same."""
    for index, (ax, panel) in enumerate(zip(axes, chart.panels, strict=True)):
        left = chart.panels[index - 1] if index % chart.columns else None
        if left is not None and left.y.label == panel.y.label:
            ax.set_ylabel("")
            named = bool(panel.y.categories) and left.y.categories == panel.y.categories
            ax.tick_params(labelleft=panel.heat_map is not None and not named)
        below = index + chart.columns
        if below < len(chart.panels) and chart.panels[below].x.label == panel.x.label:
            ax.set_xlabel("")


def _legend_entries(chart: Chart) -> dict[str, _Named]:
    entries: dict[str, _Named] = {}
    for panel in chart.panels:
        items: tuple[Line | Points | Bars | Blocks, ...]
        items = (*panel.lines, *panel.points, *panel.bars, *panel.blocks)
        for item in items:
            if item.name:
                entries.setdefault(item.name, item)
    for panel in chart.panels:
        if panel.heat_map is not None and panel.heat_map.missing:
            entries.setdefault(panel.heat_map.missing, panel.heat_map)
    return entries


def _draw_legend(figure: Figure, size: _Layout) -> None:
    handles = [_handle(item) for item in size.entries.values()]
    legend = figure.legend(
        handles,
        [str(index) for index in range(len(handles))],  # replaced below, where no markup is read
        loc="lower left",
        bbox_to_anchor=(0.05 / size.width, size.note_height / size.height),
        ncols=size.legend_columns,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0,
        columnspacing=1.2,
        handlelength=3,
    )
    for text, name in zip(legend.get_texts(), size.entries, strict=True):
        write(text, name)


def _handle(item: _Named) -> Line2D | Patch:
    if isinstance(item, HeatMap):
        return Patch(linewidth=0, **HATCHED)
    if isinstance(item, Bars):
        return Patch(color=item.colours[0])
    if isinstance(item, Blocks):
        return Patch(color=item.colour)
    if isinstance(item, Points):
        shape, size = MARKERS[item.marker]
        return Line2D(
            [],
            [],
            color=item.colour,
            linestyle="none",
            marker=shape,
            markersize=size,
            markerfacecolor="none" if item.marker == "ring" else item.colour,
        )
    marker = "o" if item.markers else ""
    style = LINE_STYLES[item.dash]
    return Line2D([], [], color=item.colour, linestyle=style, marker=marker, markersize=3.5)


def _draw_colour_bars(figure: Figure, chart: Chart, size: _Layout) -> None:
    """Draw one scale beside the panels for each label of the heat-maps."""
    maps = {p.heat_map.label: p.heat_map for p in chart.panels if p.heat_map is not None}
    for label, heat_map in maps.items():
        left = 1 - (size.right - 0.2) / size.width
        top, bottom = 1 - _TOP / size.height, size.bottom / size.height
        height = min(top - bottom, 5.0 / size.height)
        place = figure.add_axes((left, top - height, 0.16 / size.width, height))
        shades = ScalarMappable(colour_norm(heat_map), colour_map(heat_map))
        bar = figure.colorbar(shades, cax=place)
        if heat_map.ticks:
            names = [clean(name, 8) for _, name in heat_map.ticks]
            bar.ax.set_yticks([value for value, _ in heat_map.ticks], names, parse_math=False)
        bar.ax.tick_params(labelsize=8)
        write(bar.ax.yaxis.label, label)
        bar.ax.yaxis.label.set_fontsize(8.5)
