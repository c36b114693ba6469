"""Final accuracy against the number of hidden layers: how deep each combination still trains."""

from typing import NamedTuple

from fathom.figures.charts import Axis, Chart, Panel, row_length
from fathom.figures.frames import FigureError, Frames, final_metrics, values
from fathom.figures.groups import RANGE_NOTE, Group, Series, line_of, split, summarise

PARTS = ("train", "test")


class DepthCurve(NamedTuple):
    """Final accuracy of one group on one part of the data; the positions are depths."""

    part: str
    group: Group
    series: Series


class AccuracyByDepth(NamedTuple):
    """What the figure shows: one curve for each part and group."""

    curves: tuple[DepthCurve, ...]


def numbers(frames: Frames) -> AccuracyByDepth:
    """Summarise the last epoch's accuracy over the runs of each depth.

    Raises:
        FigureError: If there is only one depth.
    """
    depths = values(frames.runs, "depth")
    if len(depths) < 2:
        raise FigureError(f"needs at least two depths; all runs have depth {depths[0]}")
    table = final_metrics(frames).join(frames.runs.select("run_id", "depth"), on="run_id")
    groups = split(frames, leave_out=["depth"])
    return AccuracyByDepth(
        tuple(
            DepthCurve(part, group, summarise(table, group, "depth", f"{part}_accuracy"))
            for part in PARTS
            for group in groups
        )
    )


def chart(numbers: AccuracyByDepth) -> Chart:
    """Draw a row for the training part and a row for the test part, or two panels in one row."""
    columns = list(dict.fromkeys(curve.group.panel for curve in numbers.curves))
    panels = tuple(
        Panel(
            title=f"{part}: {column}" if column else part,
            x=Axis(label="depth [hidden layers]"),
            y=Axis(label="final accuracy [share]"),
            lines=tuple(
                line_of(curve.group, curve.series, markers=True)
                for curve in numbers.curves
                if curve.part == part and curve.group.panel == column
            ),
        )
        for part in PARTS
        for column in columns
    )
    several = any(len(c.group.run_ids) > len(c.series.x) for c in numbers.curves)
    return Chart(
        title="Final accuracy against depth",
        panels=panels,
        columns=len(PARTS) if len(columns) == 1 else row_length(len(columns)),
        note=RANGE_NOTE if several else "",
    )
