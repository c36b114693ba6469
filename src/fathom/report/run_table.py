"""The page's table of runs and its settings."""

import math
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from fathom.figures.frames import Frames, final_metrics, gradient_spans, number_text, values
from fathom.figures.metric_tables import SHOWN_METRICS, metric_table
from fathom.figures.palette import style_of
from fathom.figures.training_summary import SUMMARISED, training_summary
from fathom.report.pack import METRICS

NO_DEPTH: Final = "–"  # of networks whose layers are not a setting

_RUN_FACTS = (
    *("run_id", "name", "outcome", "reason", "epochs_run", "diverged_step", "best_epoch"),
    "elapsed_s",
)
_BEST = tuple(f"best_epoch_{name}" for name in ("test_accuracy", "test_loss"))
_COURSE = (*(f"mean_{name}" for name in SUMMARISED), *_BEST, "converged_epoch")
_SCORED = {f"scored_{name}": name for name in SHOWN_METRICS}
MOMENTS: Final = ("predicted", "start", "end")
_JUDGED = (
    "span_predicted",
    "span_predicted_sd",
    *(f"verdict_{moment}" for moment in MOMENTS),
    "leaves_band_layer",
    "scale_leaves_band_layer",
    "trained",
)


def plain_number(value: Any) -> Any:  # noqa: ANN401 - any cell of a table
    """Shorten a float to six digits; write what JSON lacks as None, `inf` or `-inf`."""
    if not isinstance(value, float):
        return value
    if math.isfinite(value):
        return float(f"{value:.6g}")
    return None if math.isnan(value) else ("inf" if value > 0 else "-inf")


def setting_texts(frames: Frames, setting: str, num_layers: Sequence[int]) -> list[str]:
    """Write a setting of every run.

    The depth counts hidden layers of an mlp. Other networks have 0 there although they have layers;
    they get a dash.

    Args:
        frames: The measurements.
        setting: One of `frames.all_settings`.
        num_layers: How many layers were measured, for each run.
    """
    texts = [number_text(value) for value in frames.runs[setting]]
    if setting != "depth":
        return texts
    return [
        NO_DEPTH if text == "0" and count > 1 else text
        for text, count in zip(texts, num_layers, strict=True)
    ]


def run_table(
    frames: Frames, judged: pl.DataFrame, num_layers: Sequence[int]
) -> dict[str, list[Any]]:
    """Return the columns of the page's table; settings are texts under `settings.<name>`.

    Args:
        frames: The measurements.
        judged: Of `verdict_table`.
        num_layers: How many layers were measured, for each run.
    """
    metrics = metric_table(frames.runs, frames.scores)
    scored = metrics.select("run_id", **{ours: pl.col(name) for ours, name in _SCORED.items()})
    table = (
        frames.runs
        .select(_RUN_FACTS)
        .join(final_metrics(frames).drop("epoch"), on="run_id", maintain_order="left")
        .join(training_summary(frames), on="run_id", maintain_order="left")
        .join(gradient_spans(frames), on="run_id", maintain_order="left")
        .join(judged, on="run_id", maintain_order="left")
        .join(scored, on="run_id", how="left", maintain_order="left")
        .select(*_RUN_FACTS, *METRICS, *_COURSE, *_SCORED, "span_start", "span_end", *_JUDGED)
    )
    columns = {name: [plain_number(v) for v in table[name]] for name in table.columns}
    for setting in frames.all_settings:
        columns[f"settings.{setting}"] = setting_texts(frames, setting, num_layers)
    return columns


def setting_table(frames: Frames, num_layers: Sequence[int]) -> list[dict[str, Any]]:
    """Describe each setting: its values in order, each with its colour.

    The depth is left out where no run has one.

    Args:
        frames: The measurements.
        num_layers: How many layers were measured, for each run.
    """
    described = []
    for setting in frames.all_settings:
        used = set(setting_texts(frames, setting, num_layers))
        known = [
            {"label": number_text(value), "colour": style_of(frames, setting, value)[0]}
            for value in values(frames.runs, setting)
            if number_text(value) in used
        ]
        known += [{"label": NO_DEPTH}] if setting == "depth" and NO_DEPTH in used else []
        numeric = frames.runs[setting].dtype.is_numeric()
        if known != [{"label": NO_DEPTH}]:
            described.append({"name": setting, "numeric": numeric, "values": known})
    return described
