"""Which runs share a line: few runs stay apart, many are summarised by median and range."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.figures.charts import Dash, Floats, Line
from fathom.figures.frames import Frames, value_label, values, varying
from fathom.figures.palette import DASHES, category, style_of

MAX_LINES = 12  # more lines than this in one panel cannot be told apart

RANGE_NOTE = "Lines are medians, bands the range, over the finite values."
CARRY_NOTE = f"{RANGE_NOTE} A run that ended early keeps its last value."


class Group(NamedTuple):
    """Runs that are drawn as one line.

    Attributes:
        panel: Text over the panel; empty when all groups share one.
        name: Text of the legend.
        colour: `#rrggbb`.
        dash: How the line is broken.
        run_ids: The runs.
    """

    panel: str
    name: str
    colour: str
    dash: Dash
    run_ids: tuple[str, ...]


class Series(NamedTuple):
    """Median and range of one quantity over the runs of a group.

    Attributes:
        x: Positions, [P].
        median: [P]; NaN where no value is finite.
        low: Smallest finite value, [P].
        high: Largest finite value, [P].
    """

    x: Floats
    median: Floats
    low: Floats
    high: Floats


def split(frames: Frames, *, leave_out: Sequence[str] = ()) -> tuple[Group, ...]:
    """Put every run into a group.

    Up to 12 different cells are a line each. More are summarised: one line for each value of the
    first setting that varies, one panel for each value of the second.

    Args:
        frames: The chosen runs.
        leave_out: Settings that are not to be told apart, such as the one on the x axis.
    """
    settings = [s for s in varying(frames) if s not in leave_out]
    if not settings:
        ids = tuple(frames.runs["run_id"])
        name = "all runs" if len(ids) > 1 else str(frames.runs["name"][0])
        return (Group("", name, *category(0), ids),)
    cells = frames.runs.select(settings).unique().height
    if cells <= MAX_LINES or len(settings) == 1:
        return _one_panel(frames, settings)
    return _panels(frames, *_line_and_panel(frames, settings))


def _line_and_panel(frames: Frames, settings: Sequence[str]) -> tuple[str, str]:
    """Give lines to the first setting with a handful of values, panels to the next one."""
    few = [s for s in settings if len(values(frames.runs, s)) <= MAX_LINES] or list(settings)
    line = few[0]
    panel = next((s for s in few if s != line), "")
    return line, panel


def _one_panel(frames: Frames, settings: Sequence[str]) -> tuple[Group, ...]:
    groups = []
    for key, ids in _cells(frames, settings):
        name = ", ".join(value_label(s, v) for s, v in zip(settings, key, strict=True))
        colour, dash = style_of(frames, settings[0], key[0])
        if len(settings) > 1:
            dash = DASHES[values(frames.runs, settings[1]).index(key[1]) % len(DASHES)]
        groups.append(Group("", name, colour, dash, ids))
    if len({(g.colour, g.dash) for g in groups}) == len(groups):
        return tuple(groups)
    styles = [category(index) for index in range(len(groups))]
    return tuple(g._replace(colour=c, dash=d) for g, (c, d) in zip(groups, styles, strict=True))


def _panels(frames: Frames, line: str, panel: str) -> tuple[Group, ...]:
    return tuple(
        Group(
            value_label(panel, key[1]) if panel else "",
            value_label(line, key[0]),
            *style_of(frames, line, key[0]),
            ids,
        )
        for key, ids in _cells(frames, [line, panel] if panel else [line])
    )


def _cells(
    frames: Frames, settings: Sequence[str]
) -> list[tuple[tuple[object, ...], tuple[str, ...]]]:
    """Return each combination of values with its runs, in the order of the values."""
    found = frames.runs.group_by(settings, maintain_order=True).agg("run_id")
    orders = [values(frames.runs, setting) for setting in settings]
    rows = [(tuple(row[:-1]), tuple(row[-1])) for row in found.iter_rows()]
    return sorted(rows, key=lambda r: [o.index(v) for o, v in zip(orders, r[0], strict=True)])


def summarise(table: pl.DataFrame, group: Group, x: str, y: str) -> Series:
    """Take the median and the range of `y` at each `x` over the runs of a group."""
    finite = pl.col("value").filter(pl.col("value").is_finite())
    found = (
        table
        .filter(pl.col("run_id").is_in(list(group.run_ids)))
        .select(pl.col(x).alias("x"), pl.col(y).cast(pl.Float64).alias("value"))
        .group_by("x")
        .agg(median=finite.median(), low=finite.min(), high=finite.max())
        .sort("x")
    )
    return Series(*(_floats(found[name]) for name in ("x", "median", "low", "high")))


def carry_forward(epochs: pl.DataFrame) -> pl.DataFrame:
    """Let runs that ended early keep their last row up to the last epoch of all.

    Without this a median would jump where the worst runs drop out.
    """
    last = epochs.sort("epoch").group_by("run_id").last()
    later = last.join(epochs.select(later=pl.col("epoch").unique()), how="cross")
    later = later.filter(pl.col("later") > pl.col("epoch")).with_columns(epoch=pl.col("later"))
    return pl.concat([epochs, later.select(epochs.columns)])


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def line_of(group: Group, series: Series, *, markers: bool = False) -> Line:
    """Draw a series; a band only where there is more than one run."""
    several = len(group.run_ids) > 1
    return Line(
        name=group.name,
        x=series.x,
        y=series.median,
        low=series.low if several else None,
        high=series.high if several else None,
        colour=group.colour,
        dash=group.dash,
        markers=markers or len(series.x) == 1,
    )
