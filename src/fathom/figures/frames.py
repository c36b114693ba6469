"""What a figure reads: the data frames of one study, and how runs are chosen from them."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from fathom.errors import FathomError, suggestion
from fathom.records import (
    HISTOGRAM_COLUMNS,
    PREDICTION_COLUMNS,
    SCORE_COLUMNS,
    UNIT_COLUMNS,
    Column,
)
from fathom.surfaces import Surface

REPLICATE = "seed"  # repeats of one cell: summarised by median and range
BASIC = ("activation", "init", "depth")  # columns that the runs always have, swept or not

SPAN_NOTE = (
    "Gradient span: log10 of rms dL/dh in the first hidden layer over that in the last; 0 is ideal."
)


class FigureError(FathomError):
    """A figure that makes no sense for a study, or an option that it does not take."""


def _empty(columns: tuple[Column, ...]) -> pl.DataFrame:
    kinds = {"text": pl.String, "int": pl.Int64, "float": pl.Float64}
    return pl.DataFrame(schema={c.name: kinds[c.kind] for c in columns})


def _no_predictions() -> pl.DataFrame:
    return _empty(PREDICTION_COLUMNS)


def _no_scores() -> pl.DataFrame:
    return _empty(SCORE_COLUMNS)


def _no_histograms() -> pl.LazyFrame:
    return _empty(HISTOGRAM_COLUMNS).lazy()


def _no_units() -> pl.LazyFrame:
    return _empty(UNIT_COLUMNS).lazy()


def _no_surfaces(runs: Collection[str]) -> Mapping[str, Surface]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The measurements of one study.

    Attributes:
        runs: One row for each run: `records.RUN_COLUMNS`, the columns `activation`, `init` and
            `depth`, and one column for each swept setting.
        epochs: `records.EPOCH_COLUMNS`.
        layers: `records.LAYER_COLUMNS`.
        settings: Names of the swept settings, columns of `runs`.
        predictions: `records.PREDICTION_COLUMNS`; a run without rows has no prediction.
        obstacles: Why, for each such run id.
        scores: `records.SCORE_COLUMNS` of the runs that recorded them.
        histograms: `records.HISTOGRAM_COLUMNS` of the runs that recorded them, read when collected,
            for there may be a lot of them.
        units: `records.UNIT_COLUMNS` likewise.
        surfaces: Reads the decision surfaces of the runs with the given ids, by run id; a run
            without one is left out.
        study_runs: All runs of the study when `runs` is a choice of them, so that a value keeps its
            colour whatever is chosen.
    """

    runs: pl.DataFrame
    epochs: pl.DataFrame
    layers: pl.DataFrame
    settings: tuple[str, ...]
    predictions: pl.DataFrame = field(default_factory=_no_predictions)
    obstacles: Mapping[str, str] = field(default_factory=dict)
    scores: pl.DataFrame = field(default_factory=_no_scores)
    histograms: pl.LazyFrame = field(default_factory=_no_histograms)
    units: pl.LazyFrame = field(default_factory=_no_units)
    surfaces: Callable[[Collection[str]], Mapping[str, Surface]] = _no_surfaces
    study_runs: pl.DataFrame | None = None

    @property
    def all_settings(self) -> tuple[str, ...]:
        """The basic settings first, then whatever else is swept; replicates last."""
        others = tuple(s for s in self.settings if s not in (*BASIC, REPLICATE))
        last = (REPLICATE,) if REPLICATE in self.settings else ()
        return (*BASIC, *others, *last)


def values(table: pl.DataFrame, setting: str) -> tuple[Any, ...]:
    """Return the values of a setting: numbers in ascending order, texts in order of appearance."""
    column = table[setting].unique(maintain_order=True).drop_nulls()
    return tuple(column.sort() if column.dtype.is_numeric() else column)


def varying(frames: Frames) -> tuple[str, ...]:
    """Return the settings with two or more values among the runs, replicates left out."""
    return tuple(
        setting
        for setting in frames.all_settings
        if setting != REPLICATE and len(values(frames.runs, setting)) > 1
    )


def value_label(setting: str, value: object) -> str:
    """Write one value of a setting so that it can stand alone: texts as they are, numbers named.

    >>> value_label("init", "he_normal"), value_label("depth", 30)
    ('he_normal', 'depth 30')
    """
    return value if isinstance(value, str) else f"{setting} {number_text(value)}"


def number_text(value: object) -> str:
    """Write a number shortly; anything else as its text."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def run_labels(frames: Frames) -> dict[str, str]:
    """Name each run by the settings that differ among the runs, or by its own name if unclear.

    Replicates are told apart by their seed.

    Returns:
        Label by run id.
    """
    settings = varying(frames)
    replicate = [REPLICATE] if REPLICATE in frames.runs.columns else []
    for chosen in (settings, (*settings, *replicate)):
        labels = {
            row["run_id"]: ", ".join(value_label(s, row[s]) for s in chosen)
            for row in frames.runs.iter_rows(named=True)
        }
        if chosen and len(set(labels.values())) == len(labels) > 1:
            return labels
    return dict(frames.runs.select("run_id", "name").iter_rows())


def select(frames: Frames, **wanted: object) -> Frames:
    """Keep the runs with the wanted values.

    Args:
        frames: The study.
        **wanted: `runs` (ids or names) or any setting, each one value or several; None keeps all.

    Returns:
        The chosen runs with their epochs and layers.

    Raises:
        FigureError: If a value occurs nowhere; the message lists what does.
    """
    table = frames.runs
    for key, given in wanted.items():
        if given is None:
            continue
        chosen = _as_list(given)
        table = table.filter(_matches(frames.runs, key, chosen))
    if table.is_empty():
        raise FigureError("no run has this combination of values; choose fewer conditions")
    ids = table["run_id"].implode()
    return replace(
        frames,
        runs=table,
        epochs=frames.epochs.filter(pl.col("run_id").is_in(ids)),
        layers=frames.layers.filter(pl.col("run_id").is_in(ids)),
        predictions=frames.predictions.filter(pl.col("run_id").is_in(ids)),
        scores=frames.scores.filter(pl.col("run_id").is_in(ids)),
        histograms=frames.histograms.filter(pl.col("run_id").is_in(ids)),
        units=frames.units.filter(pl.col("run_id").is_in(ids)),
        study_runs=frames.study_runs if frames.study_runs is not None else frames.runs,
    )


def _as_list(given: object) -> list[Any]:
    several = isinstance(given, Iterable) and not isinstance(given, str)
    return list(given) if several else [given]  # type: ignore[call-overload]


def _matches(runs: pl.DataFrame, key: str, chosen: Sequence[Any]) -> pl.Expr:
    columns = ("run_id", "name") if key == "runs" else (key,)
    known = [value for column in columns for value in values(runs, column)]
    for value in chosen:
        if value not in known:
            near = suggestion(str(value), map(str, known))
            some = ", ".join(str(v) for v in values(runs, columns[-1])[:12])
            raise FigureError(f"no run with {key} {str(value)[:80]!r}.{near} There are: {some}")
    # The column's own values, since 100 and 100.0 are one value to Python and two types to polars.
    return pl.any_horizontal(
        pl.col(column).is_in([v for v in values(runs, column) if v in chosen]) for column in columns
    )


def in_order(frames: Frames) -> Frames:
    """Sort the runs by their settings, so that neighbours in a figure differ by one value."""
    orders = {setting: values(frames.runs, setting) for setting in frames.all_settings}

    def place(row: dict[str, object]) -> list[int]:
        return [
            order.index(row[setting]) if row[setting] in order else len(order)
            for setting, order in orders.items()
        ]

    rows = list(frames.runs.select(frames.all_settings).iter_rows(named=True))
    ranking = sorted(range(len(rows)), key=lambda index: place(rows[index]))
    return replace(frames, runs=frames.runs[ranking])


def final_metrics(frames: Frames) -> pl.DataFrame:
    """Return the metrics of each run's last epoch.

    Returns:
        One row for each run in the order of `runs`: `run_id`, then the columns of `epochs`. Null
        where a run has no epoch at all.
    """
    last = frames.epochs.sort("epoch").group_by("run_id").last()
    return frames.runs.select("run_id").join(last, on="run_id", how="left", maintain_order="left")


def gradient_spans(frames: Frames) -> pl.DataFrame:
    """Measure how many decades the gradient loses or gains on its way to the first layer.

    The span is log10 of the root mean square of dL/dh in the first hidden layer over that in the
    last hidden layer: 0 is ideal, -3 means that the first layer sees a thousandth (vanishing), +3
    that it sees a thousandfold (exploding). The output layer is left out: it has no activation.

    Returns:
        One row for each run in the order of `runs`: `run_id`, `span_start` at the first recorded
        epoch and `span_end` at the last, in decades; -inf where the first layer's gradient is 0.
    """
    layer, epoch = pl.col("layer"), pl.col("epoch")
    per_run = frames.layers.with_columns(last=layer.max().over("run_id"))
    hidden = per_run.filter((layer < pl.col("last")) | (pl.col("last") == 1))
    spans = (
        hidden
        .sort("run_id", "epoch", "layer")
        .group_by("run_id", "epoch", maintain_order=True)
        .agg(span=_log10(pl.col("grad_pre_rms").first() / pl.col("grad_pre_rms").last()))
        .group_by("run_id")
        .agg(
            span_start=pl.col("span").sort_by(epoch).first(),
            span_end=pl.col("span").sort_by(epoch).last(),
        )
    )
    return frames.runs.select("run_id").join(spans, on="run_id", how="left", maintain_order="left")


def _log10(ratio: pl.Expr) -> pl.Expr:
    return ratio.log() / math.log(10)
