"""Metrics over epochs: what the figures of loss and of accuracy have in common."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from fathom.errors import suggestion
from fathom.figures.charts import Axis, Chart, Panel, Scale, curve_scale, row_length
from fathom.figures.frames import FigureError, Frames
from fathom.figures.groups import (
    CARRY_NOTE,
    Group,
    Series,
    carry_forward,
    line_of,
    split,
    summarise,
)

Part = Literal["train", "validation", "test"]
PARTS: tuple[str, ...] = get_args(Part)
HIGHEST_LOSS = 10.0  # times the middle first loss: what is above is cut off


class Curve(NamedTuple):
    """One metric of one group on one part of the data."""

    part: str
    group: Group
    series: Series


class Curves(NamedTuple):
    """What a figure of curves shows.

    Attributes:
        metric: `loss` or `accuracy`.
        parts: The parts of the data that have values, in order.
        curves: One for each part and group.
    """

    metric: str
    parts: tuple[str, ...]
    curves: tuple[Curve, ...]


def curve_numbers(frames: Frames, metric: str, parts: Sequence[str]) -> Curves:
    """Summarise `<part>_<metric>` over the groups of runs.

    Raises:
        FigureError: If a part is unknown, or no run has a finite value on any part.
    """
    for part in parts:
        if part not in PARTS:
            raise FigureError(
                f"unknown part {part[:40]!r}.{suggestion(part, PARTS)} Known: {', '.join(PARTS)}"
            )
    present = tuple(p for p in parts if frames.epochs[f"{p}_{metric}"].is_finite().any())
    if not present:
        raise FigureError(f"no run has a finite {metric} on {' or '.join(parts)} data")
    extended = carry_forward(frames.epochs)
    curves = []
    for part in present:
        for group in split(frames):
            table = extended if len(group.run_ids) > 1 else frames.epochs
            curves.append(Curve(part, group, summarise(table, group, "epoch", f"{part}_{metric}")))
    return Curves(metric, present, tuple(curves))


def curve_chart(numbers: Curves, *, title: str, unit: str) -> Chart:
    """Lay out curves: a row of panels for each part; one row for all if groups share a panel."""
    columns = list(dict.fromkeys(curve.group.panel for curve in numbers.curves))
    y = Axis(label=f"{numbers.metric} [{unit}]")
    if numbers.metric == "loss":
        scale, high = _loss_range(numbers)
        y = replace(y, scale=scale, high=high)
    panels = [_panel(numbers, part, column, y) for part in numbers.parts for column in columns]
    several = any(len(curve.group.run_ids) > 1 for curve in numbers.curves)
    notes = [CARRY_NOTE] if several else []
    if y.high is not None:
        notes.append(f"Losses above {HIGHEST_LOSS:g} times the middle first loss are cut off.")
    return Chart(
        title=title,
        panels=tuple(panels),
        columns=len(numbers.parts) if len(columns) == 1 else row_length(len(columns)),
        note=" ".join(notes),
    )


def _loss_range(numbers: Curves) -> tuple[Scale, float | None]:
    """End the axis where losses are beyond reason, so that one diverging run hides nobody."""
    first = np.concatenate([curve.series.median[:1] for curve in numbers.curves])
    known = first[np.isfinite(first)]
    limit = HIGHEST_LOSS * float(np.median(known)) if known.size else np.inf
    every = [np.concatenate([c.series.median, c.series.low, c.series.high]) for c in numbers.curves]
    joined = np.concatenate(every)
    shown = joined[joined <= limit]
    is_cut = shown.size > 0 and bool((joined[np.isfinite(joined)] > limit).any())
    return curve_scale([shown]), 1.1 * float(shown.max()) if is_cut else None


def _panel(numbers: Curves, part: str, column: str, y: Axis) -> Panel:
    lines = [
        line_of(curve.group, curve.series)
        for curve in numbers.curves
        if curve.part == part and curve.group.panel == column
    ]
    title = f"{part}: {column}" if column else part
    return Panel(title=title, x=Axis(label="epoch"), y=y, lines=tuple(lines))
