"""One setting compared at each value of another: what two figures have in common."""

from typing import NamedTuple

import numpy as np
import polars as pl

from fathom.figures.charts import Axis, Bars, Chart, Panel, row_length
from fathom.figures.frames import FigureError, Frames, value_label, values
from fathom.figures.groups import CARRY_NOTE, Group, Series, carry_forward, line_of, summarise
from fathom.figures.palette import style_of

TARGET_SHARE = 0.9  # of the best training accuracy in the comparison


class Convergence(NamedTuple):
    """How soon a group reaches the target.

    Attributes:
        epochs: Median first epoch at or above the target; NaN if half of the runs never do.
        reached: Runs that get there.
        total: Runs.
    """

    epochs: float
    reached: int
    total: int


class Entry(NamedTuple):
    """One value of the compared setting at one value of the fixed setting."""

    group: Group
    accuracy: Series
    convergence: Convergence


class Comparison(NamedTuple):
    """What the figure shows.

    Attributes:
        target: Training accuracy that counts as arrived, a share.
        compared: Name of the compared setting.
        entries: Ordered by panel, then by value of the compared setting.
    """

    target: float
    compared: str
    entries: tuple[Entry, ...]


def compare(frames: Frames, *, compared: str, fixed: str, target: float | None) -> Comparison:
    """Summarise training accuracy and convergence for each pair of values.

    Raises:
        FigureError: If `compared` has one value only, or `target` is not in (0, 1].
    """
    if len(values(frames.runs, compared)) < 2:
        only = values(frames.runs, compared)[0]
        raise FigureError(f"needs at least two values of {compared}; all runs have {only}")
    if target is not None and not 0 < target <= 1:
        raise FigureError(f"target must be a share in (0, 1]; got {target}")
    trained = frames.epochs.filter(pl.col("epoch") > 0)
    if target is None:
        target = TARGET_SHARE * _best(trained)
    arrivals = _arrivals(frames, trained, target)
    extended = carry_forward(trained)
    entries = []
    for panel in values(frames.runs, fixed):
        for value in values(frames.runs, compared):
            found = frames.runs.filter((pl.col(fixed) == panel) & (pl.col(compared) == value))
            ids = tuple(found["run_id"])
            if not ids:
                continue
            colour, dash = style_of(frames, compared, value)
            name = value_label(compared, value)
            group = Group(value_label(fixed, panel), name, colour, dash, ids)
            accuracy = summarise(
                extended if len(ids) > 1 else trained, group, "epoch", "train_accuracy"
            )
            entries.append(Entry(group, accuracy, _converge([arrivals[i] for i in ids])))
    return Comparison(target, compared, tuple(entries))


def _best(trained: pl.DataFrame) -> float:
    finite = trained["train_accuracy"].filter(trained["train_accuracy"].is_finite())
    if finite.is_empty():
        raise FigureError("no run has a finite training accuracy")
    return float(finite.max())  # type: ignore[arg-type]


def _arrivals(frames: Frames, trained: pl.DataFrame, target: float) -> dict[str, float]:
    """Find the first epoch at or above the target for each run; infinity for never."""
    hits = trained.filter(
        pl.col("train_accuracy").is_finite() & (pl.col("train_accuracy") >= target)
    )
    first = dict(hits.group_by("run_id").agg(pl.col("epoch").min()).iter_rows())
    return {run_id: float(first.get(run_id, np.inf)) for run_id in frames.runs["run_id"]}


def _converge(arrivals: list[float]) -> Convergence:
    ordered = sorted(arrivals)
    # Of an even number the later one, so that a median of "never" stays never.
    middle = ordered[len(ordered) // 2]
    return Convergence(
        middle if np.isfinite(middle) else float("nan"),
        sum(np.isfinite(arrivals)),
        len(arrivals),
    )


def compare_chart(numbers: Comparison, *, title: str) -> Chart:
    """Draw training accuracy in the upper rows and epochs to the target below."""
    columns = list(dict.fromkeys(entry.group.panel for entry in numbers.entries))
    by_column = [[e for e in numbers.entries if e.group.panel == column] for column in columns]
    names = tuple(dict.fromkeys(entry.group.name for entry in numbers.entries))
    upper = [_accuracy_panel(entries) for entries in by_column]
    lower = [_convergence_panel(numbers, names, entries) for entries in by_column]
    several = any(len(entry.group.run_ids) > 1 for entry in numbers.entries)
    return Chart(
        title=title,
        panels=(*upper, *lower),
        columns=row_length(len(columns)),
        note="No bar: most runs never get there." + (f" {CARRY_NOTE}" if several else ""),
    )


def _accuracy_panel(entries: list[Entry]) -> Panel:
    return Panel(
        title=entries[0].group.panel,
        x=Axis(label="epoch"),
        y=Axis(label="train accuracy [share]"),
        lines=tuple(line_of(entry.group, entry.accuracy) for entry in entries),
    )


def _convergence_panel(numbers: Comparison, names: tuple[str, ...], entries: list[Entry]) -> Panel:
    by_name = {entry.group.name: entry for entry in entries}
    epochs = [by_name[n].convergence.epochs if n in by_name else float("nan") for n in names]
    colours = [by_name[n].group.colour if n in by_name else "#7f7f7f" for n in names]
    label = f"first epoch with train accuracy ≥ {numbers.target:.1%}"
    return Panel(
        title=entries[0].group.panel,
        x=Axis(label=numbers.compared, categories=names),
        y=Axis(label=label),
        bars=(Bars(name="", y=np.array(epochs), colours=tuple(colours)),),
    )
