"""Predicted against measured gradient span before training, of all runs."""

from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, Line, Panel, Points
from fathom.figures.evidence import BAND_SDS, measured, predicted
from fathom.figures.frames import SPAN_NOTE, FigureError, Frames, number_text, run_labels, varying
from fathom.figures.palette import category, style_of
from fathom.figures.prediction_by_layer import check_predicted
from fathom.verdicts import Evidence

MARGIN = 0.04  # of the span of all numbers, by which the edges lie beyond them


class Cloud(NamedTuple):
    """The runs of one colour; P runs.

    Attributes:
        name: Text of the legend; empty where all runs have one colour.
        colour: `#rrggbb`.
        labels: What sets each run apart, [P].
        predicted: Spans in decades, [P].
        sd: Standard deviation of them over initial weights, [P].
        measured: Spans in decades, [P]; infinite where a gradient is 0.
    """

    name: str
    colour: str
    labels: tuple[str, ...]
    predicted: Floats
    sd: Floats
    measured: Floats


class PredictionScatter(NamedTuple):
    """What the figure shows.

    Attributes:
        clouds: The runs with a prediction, by the setting that gives them a colour.
        low: Lower edge of both axes in decades; what lies below is shown there.
        high: Upper edge.
        rms_error: Rms of measured less predicted over the runs where both are finite, in decades.
        rms_deviation: The same in predicted standard deviations, where these are not 0.
        num_compared: How many runs those are.
        num_vanished: Runs measured as minus infinity: the first layer's gradient is 0.
        num_other: Predicted runs without a measured span.
        num_unpredicted: Runs without a prediction.
    """

    clouds: tuple[Cloud, ...]
    low: float
    high: float
    rms_error: float
    rms_deviation: float
    num_compared: int
    num_vanished: int
    num_other: int
    num_unpredicted: int


def numbers(frames: Frames) -> PredictionScatter:
    """Compare the measured gradient span of each run with the predicted one.

    Raises:
        FigureError: If no run has a prediction, or none of the predicted ones was measured.
    """
    check_predicted(frames)
    theory = {i: e for i, e in predicted(frames).items() if np.isfinite(e.gradient_span)}
    start = measured(frames, "start")
    clouds = _clouds(frames, theory, start)
    x, sd, y = (
        np.concatenate([getattr(cloud, name) for cloud in clouds] or [np.empty(0)])
        for name in ("predicted", "sd", "measured")
    )
    both = np.isfinite(y)
    if not both.any():
        raise FigureError("no run with a prediction has a finite gradient span before training")
    error = (y - x)[both]
    deviations = (error / np.where(sd[both] > 0, sd[both], np.nan))[sd[both] > 0]
    low, high = _edges(np.concatenate([x[both], y[both]]))
    return PredictionScatter(
        clouds,
        low,
        high,
        rms_error=_rms(error),
        rms_deviation=_rms(deviations),
        num_compared=int(both.sum()),
        num_vanished=int(np.isneginf(y).sum()),
        num_other=int((np.isnan(y) | np.isposinf(y)).sum()),
        num_unpredicted=frames.runs.height - len(theory),
    )


def _clouds(
    frames: Frames, theory: dict[str, Evidence], start: dict[str, Evidence]
) -> tuple[Cloud, ...]:
    settings = varying(frames)
    setting = "activation" if "activation" in settings else next(iter(settings), None)
    labels = run_labels(frames)
    found: dict[tuple[str, str], list[str]] = {}
    for row in frames.runs.iter_rows(named=True):
        look = ("", category(0)[0])
        if setting is not None:
            look = (number_text(row[setting]), style_of(frames, setting, row[setting])[0])
        if row["run_id"] in theory:
            found.setdefault(look, []).append(row["run_id"])
    return tuple(
        Cloud(
            name,
            colour,
            tuple(labels[i] for i in ids),
            np.array([theory[i].gradient_span for i in ids]),
            np.array([theory[i].span_sd for i in ids]),
            np.array([start[i].gradient_span for i in ids]),
        )
        for (name, colour), ids in found.items()
    )


def _edges(values: Floats) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * max(high - low, 1.0)
    return low - margin, high + margin


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def chart(numbers: PredictionScatter) -> Chart:
    """Draw a point for each run; what lies beyond an edge is a triangle there."""
    diagonal = np.array([numbers.low, numbers.high])
    panel = Panel(
        title=_subtitle(numbers),
        x=Axis(label="predicted gradient span [decades]"),
        y=Axis(label="measured gradient span [decades]"),
        lines=(Line(name="", x=diagonal, y=diagonal, colour="#7f7f7f", dash="dashed"),),
        points=tuple(points for cloud in numbers.clouds for points in _points(numbers, cloud)),
    )
    return Chart(
        title="Predicted and measured gradient span before training",
        panels=(panel,),
        columns=1,
        note=" ".join([
            SPAN_NOTE,
            "Whiskers: two predicted standard deviations (sd).",
            *_left_out(numbers),
        ]),
    )


def _subtitle(numbers: PredictionScatter) -> str:
    spread = numbers.rms_deviation
    in_sds = f" ({spread:.2g} sd)" if np.isfinite(spread) else ""
    return f"rms error {numbers.rms_error:.2g} decades{in_sds}, {numbers.num_compared} runs"


def _left_out(numbers: PredictionScatter) -> list[str]:
    counts = {
        "Triangles at the lower edge, a gradient of 0 in the first layer": numbers.num_vanished,
        "Not shown, the last layer's gradient is 0 or nothing was measured": numbers.num_other,
        "Without a prediction": numbers.num_unpredicted,
    }
    return [f"{what}: {count} of the runs." for what, count in counts.items() if count]


def _points(numbers: PredictionScatter, cloud: Cloud) -> tuple[Points, ...]:
    inside, below = np.isfinite(cloud.measured), np.isneginf(cloud.measured)
    reach = BAND_SDS * np.nan_to_num(cloud.sd)
    parts = []
    if inside.any():
        parts.append(
            Points(
                name=cloud.name,
                x=cloud.predicted[inside],
                y=cloud.measured[inside],
                x_low=(cloud.predicted - reach)[inside],
                x_high=(cloud.predicted + reach)[inside],
                colour=cloud.colour,
                labels=_chosen(cloud.labels, inside),
            )
        )
    if below.any():
        parts.append(
            Points(
                name=cloud.name,
                x=np.maximum(cloud.predicted[below], numbers.low),
                y=np.full(int(below.sum()), numbers.low),
                colour=cloud.colour,
                marker="down",
                labels=_chosen(cloud.labels, below),
            )
        )
    return tuple(parts)


def _chosen(
    labels: tuple[str, ...], keep: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> tuple[str, ...]:
    return tuple(label for label, kept in zip(labels, keep, strict=True) if kept)
