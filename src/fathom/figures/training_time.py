"""Training time of the runs, as bars."""

from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.figures.charts import Axis, Bars, Chart, Floats, Panel
from fathom.figures.frames import FigureError, Frames, number_text, values, varying
from fathom.figures.groups import Group
from fathom.figures.palette import category, style_of


class TrainingTime(NamedTuple):
    """What the figure shows; C categories, G groups.

    Attributes:
        setting: What the categories are values of; empty when there is only one.
        categories: Texts, [C].
        groups: One series of bars each, [G].
        median_s: Median time of a run, [G, C]; NaN where there is none.
        low_s: Shortest time, [G, C].
        high_s: Longest time, [G, C].
        total_s: Time of all runs together.
    """

    setting: str
    categories: tuple[str, ...]
    groups: tuple[Group, ...]
    median_s: Floats
    low_s: Floats
    high_s: Floats
    total_s: float


def numbers(frames: Frames) -> TrainingTime:
    """Summarise the time of a run by depth (or another setting) and activation.

    Raises:
        FigureError: If no time was recorded.
    """
    timed = frames.runs.filter(pl.col("elapsed_s").is_finite())
    if timed.is_empty():
        raise FigureError("no run has a recorded time")
    settings = varying(frames)
    setting = "depth" if "depth" in settings else (settings[0] if settings else "")
    other = next((s for s in settings if s != setting), "")
    categories = values(frames.runs, setting) if setting else ("",)
    groups = _groups(frames, other)
    cells = [[_times(timed, g, setting, c) for c in categories] for g in groups]
    low, median, high = (
        np.array([[f(cell) if cell.size else np.nan for cell in row] for row in cells])
        for f in (np.min, np.median, np.max)
    )
    texts = tuple(number_text(c) for c in categories)
    total = float(timed["elapsed_s"].sum())
    return TrainingTime(setting, texts, groups, median, low, high, total)


def _groups(frames: Frames, setting: str) -> tuple[Group, ...]:
    if not setting:
        return (Group("", "all runs", *category(0), tuple(frames.runs["run_id"])),)
    return tuple(
        Group(
            "",
            number_text(value),
            *style_of(frames, setting, value),
            tuple(frames.runs.filter(pl.col(setting) == value)["run_id"]),
        )
        for value in values(frames.runs, setting)
    )


def _times(timed: pl.DataFrame, group: Group, setting: str, value: object) -> Floats:
    rows = timed.filter(pl.col("run_id").is_in(list(group.run_ids)))
    if setting:
        rows = rows.filter(pl.col(setting) == value)
    return rows["elapsed_s"].to_numpy().astype(np.float64)


def chart(numbers: TrainingTime) -> Chart:
    """Draw bars with whiskers from the shortest to the longest time."""
    bars = tuple(
        Bars(
            name=group.name if len(numbers.groups) > 1 else "",
            y=median,
            low=low,
            high=high,
            colours=(group.colour,) * len(numbers.categories),
        )
        for group, median, low, high in zip(
            numbers.groups, numbers.median_s, numbers.low_s, numbers.high_s, strict=True
        )
    )
    panel = Panel(
        title="",
        x=Axis(label=numbers.setting, categories=numbers.categories),
        y=Axis(label="time of one run [s]"),
        bars=bars,
    )
    return Chart(
        title="Training time",
        panels=(panel,),
        columns=1,
        note=f"Bars are medians, whiskers the range. All runs together: {numbers.total_s:,.0f} s.",
    )
