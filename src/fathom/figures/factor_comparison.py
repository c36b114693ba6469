"""A numeric parameter of the initializer, such as He's factor, against accuracy and gradients."""

import re
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from fathom.errors import ComponentError, suggestion
from fathom.figures.charts import Axis, Chart, Panel, curve_scale, row_length
from fathom.figures.frames import SPAN_NOTE, FigureError, Frames, final_metrics, gradient_spans
from fathom.figures.groups import RANGE_NOTE, Group, Series, line_of, split, summarise

# Key and number inside a label such as `he_normal(factor=0.5, mode=fan_in)`.
_NUMBER = re.compile(r"(?<=[(\s])(\w+)=([-+]?\d[\d.]*(?:e[-+]?\d+)?)(?=[,)])")

_QUANTITIES = {  # title and label of the y axis
    "train_accuracy": ("train", "final accuracy [share]"),
    "test_accuracy": ("test", "final accuracy [share]"),
    "span_start": ("before training", "gradient span [decades]"),
    "span_end": ("at the end", "gradient span [decades]"),
}


class FactorCurve(NamedTuple):
    """One quantity of one group; the positions are values of the parameter."""

    quantity: str
    group: Group
    series: Series


class FactorComparison(NamedTuple):
    """What the figure shows.

    Attributes:
        parameter: Name of the initializer's parameter.
        curves: One for each quantity and group.
    """

    parameter: str
    curves: tuple[FactorCurve, ...]


def numbers(frames: Frames, *, parameter: str | None = None) -> FactorComparison:
    """Summarise accuracy and gradient span over the values of an initializer's parameter.

    Args:
        frames: The chosen runs.
        parameter: Name of the parameter; None for `factor` or else the first one that is swept.

    Raises:
        FigureError: If no numeric parameter of an initializer takes two values.
    """
    swept = _swept(frames)
    if not swept:
        raise FigureError("needs a numeric parameter of the initializer with two values or more")
    if parameter is None:
        parameter = "factor" if "factor" in swept else swept[0]
    if parameter not in swept:
        raise FigureError(
            f"no initializer is swept over {parameter[:40]!r}.{suggestion(parameter, swept)} "
            f"Swept: {', '.join(swept)}"
        )
    chosen = _with_parameter(frames, parameter)
    table = (
        chosen.runs
        .select("run_id", "value")
        .join(final_metrics(chosen), on="run_id")
        .join(gradient_spans(chosen), on="run_id")
    )
    groups = split(chosen)
    return FactorComparison(
        parameter,
        tuple(
            FactorCurve(quantity, group, summarise(table, group, "value", quantity))
            for quantity in _QUANTITIES
            for group in groups
        ),
    )


def _parameters(label: str) -> dict[str, float]:
    return {key: float(number) for key, number in _NUMBER.findall(label)}


def _swept(frames: Frames) -> list[str]:
    """Return the parameters that take two values or more, a default counting as a value."""
    labels = frames.runs["init"].unique(maintain_order=True).to_list()
    keys = dict.fromkeys(key for label in labels for key in _parameters(label))
    return [key for key in keys if len({_value(label, key) for label in labels} - {None}) > 1]


def _value(label: str, parameter: str) -> float | None:
    """Return the parameter's value in a label, or the initializer's default if none is written."""
    written = _parameters(label)
    if parameter in written:
        return written[parameter]
    from fathom.initializers import INITIALIZERS  # loads torch, which drawing does not need

    try:
        default = INITIALIZERS.parameters(label.partition("(")[0])[parameter].default
    except (ComponentError, KeyError):
        return None
    return float(default) if isinstance(default, int | float) else None


def _base(label: str, parameter: str) -> str:
    """Take the parameter out of a label.

    >>> _base("he_normal(factor=0.5, mode=fan_out)", "factor")
    'he_normal(mode=fan_out)'
    >>> _base("he_normal(factor=1)", "factor")
    'he_normal'
    """
    without = re.sub(rf"(?<=[(\s]){re.escape(parameter)}=[^,)]*(, )?", "", label)
    return without.replace(", )", ")").replace("()", "")


def _with_parameter(frames: Frames, parameter: str) -> Frames:
    """Split `init` into the initializer without the parameter and the parameter's value."""
    labels = frames.runs["init"].to_list()
    runs = frames.runs.with_columns(
        value=pl.Series([_value(label, parameter) for label in labels], dtype=pl.Float64),
        init=pl.Series([_base(label, parameter) for label in labels]),
    ).filter(pl.col("value").is_not_null())
    several = runs.group_by("init").agg(pl.col("value").n_unique()).filter(pl.col("value") > 1)
    return replace(
        frames,
        runs=runs.filter(pl.col("init").is_in(several["init"].implode())),
        study_runs=None,
    )


def chart(numbers: FactorComparison) -> Chart:
    """Draw four rows: both accuracies, then the gradient span before and after training."""
    columns = list(dict.fromkeys(curve.group.panel for curve in numbers.curves))
    scale = curve_scale([curve.series.x for curve in numbers.curves])
    panels = tuple(
        Panel(
            title=f"{title}: {column}" if column else title,
            x=Axis(label=f"{numbers.parameter} of the initializer", scale=scale),
            y=Axis(label=label),
            lines=tuple(
                line_of(curve.group, curve.series, markers=True)
                for curve in numbers.curves
                if curve.quantity == quantity and curve.group.panel == column
            ),
        )
        for quantity, (title, label) in _QUANTITIES.items()
        for column in columns
    )
    return Chart(
        title=f"Initializers by their {numbers.parameter}",
        panels=panels,
        columns=2 if len(columns) == 1 else row_length(len(columns)),
        note=f"{SPAN_NOTE} {RANGE_NOTE}",
    )
