"""Prediction beside measurement in every layer: gradient, scale and cosine of single runs."""

from typing import Final, NamedTuple

from fathom.figures.charts import Chart
from fathom.figures.evidence import hidden_log10
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.figures.layer_maps import check_run_count
from fathom.figures.predicted_panels import Overlay, overlay, overlay_chart

MAX_RUNS: Final = 8


class PredictionByLayer(NamedTuple):
    """What the figure shows: one record for each run."""

    overlays: tuple[Overlay, ...]


def numbers(frames: Frames) -> PredictionByLayer:
    """Lay each run's measurements before training and at the end over its prediction.

    Raises:
        FigureError: If there are more than eight runs, or none of them has a prediction.
    """
    check_run_count(frames, MAX_RUNS)
    return PredictionByLayer(tuple(overlays(frames).values()))


def overlays(frames: Frames) -> dict[str, Overlay]:
    """Do so for any number of runs.

    Returns:
        By run id; a run without a prediction has its measurements alone.

    Raises:
        FigureError: If no run has a prediction.
    """
    check_predicted(frames)
    labels = run_labels(frames)
    tables = (frames.predictions, hidden_log10(frames, "start"), hidden_log10(frames, "end"))
    parts = [(table.partition_by("run_id", as_dict=True), table.clear()) for table in tables]
    return {
        run_id: overlay(labels[run_id], *(part.get((run_id,), none) for part, none in parts))
        for run_id in frames.runs["run_id"]
    }


def check_predicted(frames: Frames) -> None:
    """Refuse runs of which theory says nothing.

    Raises:
        FigureError: If none has a prediction; the message gives the reason of the first.
    """
    if frames.predictions.is_empty():
        reasons = (frames.obstacles.get(run_id) for run_id in frames.runs["run_id"])
        reason = next((reason for reason in reasons if reason), "none was made")
        raise FigureError(f"no run has a prediction: {reason}")


def chart(numbers: PredictionByLayer) -> Chart:
    """Draw a row of three panels for each run."""
    return overlay_chart(numbers.overlays, title="Prediction and measurement by layer")
