"""What the page knows about a study, as JSON, and how that enters a page safely."""

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fathom.figures import FIGURES, Frames, chart
from fathom.figures.charts import to_plain
from fathom.figures.frames import FigureError
from fathom.figures.metric_tables import METRICS_NOTE, SHOWN_METRICS
from fathom.figures.predicted_panels import Overlay, Profile, overlay_chart
from fathom.figures.prediction_by_layer import overlays
from fathom.figures.training_summary import BEST_NOTE, CONVERGED_NOTE
from fathom.figures.verdict_table import TRAINED_NOTE, forecast
from fathom.losses import LossStep, compare_steps
from fathom.losses.scales import FIRST_STEP_NOTE
from fathom.report.pack import LAYER_QUANTITIES, METRICS, Packed
from fathom.report.run_table import MOMENTS, plain_number, run_table, setting_table

MAX_LAYERS: Final = 25  # of one network in the page's charts of layers; the image files have all


def to_script(value: Any) -> str:  # noqa: ANN401 - any JSON value
    r"""Write JSON that cannot end the script element around it, nor start anything else.

    >>> print(to_script("</script><!--&"))
    "\u003c/script\u003e\u003c!--\u0026"
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))  # ASCII: U+2028 is escaped
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def compress(content: bytes) -> str:
    """Compress with gzip, without a date so that equal input gives equal text; write as base64."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def charts(frames: Frames) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Describe every figure that compares all runs.

    Returns:
        The charts, each with `name`, `description` and `chart`; and for each figure that makes no
        sense for this study the sentence that says why.
    """
    made, left_out = [], {}
    for spec in FIGURES.values():
        if spec.max_runs is not None:
            continue
        try:
            drawn = to_plain(chart(spec.name, frames))
        except FigureError as error:
            left_out[spec.name] = str(error)
            continue
        made.append({"name": spec.name, "description": spec.description, "chart": drawn})
    return made, left_out


def prediction_table(frames: Frames, judged: pl.DataFrame) -> dict[str, Any]:
    """Collect what the page tells of prediction beside measurement, apart from the numbers.

    Args:
        frames: The measurements.
        judged: Of `verdict_table`.

    Returns:
        `sentences` of each run's verdicts, in the order of the runs, and `overlays` by run id.
    """
    sentences = {moment: judged[f"sentence_{moment}"].to_list() for moment in MOMENTS}
    return {"sentences": sentences, "overlays": layer_overlays(frames)}


def layer_overlays(frames: Frames) -> dict[str, dict[str, Any]]:
    """Describe prediction and measurement by layer of each run; nothing where none is predicted.

    A page must stay small: of deep networks only some layers are shown, the first and the last
    among them, and numbers are rounded to what can be seen. The image files have all.
    """
    if frames.predictions.is_empty():
        return {}
    return {
        run_id: to_plain(overlay_chart((_for_screen(found),), title="Prediction by layer"))
        for run_id, found in overlays(frames).items()
    }


def _for_screen(found: Overlay) -> Overlay:
    count = len(found.layers)
    kept = np.unique(np.rint(np.linspace(0, count - 1, min(MAX_LAYERS, count))).astype(np.int64))
    return Overlay(
        found.label,
        found.layers[kept],
        *(_rounded(p, kept) for p in (found.gradient, found.scale, found.cosine)),
    )


def _rounded(profile: Profile, kept: NDArray[np.int64]) -> Profile:
    """Round to a two-hundredth of the panel's height or better."""
    numbers = np.concatenate(profile)
    finite = numbers[np.isfinite(numbers)]
    height = float(np.ptp(finite)) if finite.size else 0.0
    decimals = math.ceil(-math.log10(height / 200)) if height > 0 else 6
    return Profile(*(np.round(values[kept], decimals) + 0.0 for values in profile))  # no -0.0


def loss_table(steps: Sequence[LossStep]) -> dict[str, Any]:
    """Describe how far losses step, where there are several: rows and what they come to."""
    sentence = compare_steps(steps)
    rows = [step._asdict() | {"first_step": step.first_step} for step in steps if sentence]
    return {
        "rows": [{name: plain_number(value) for name, value in row.items()} for row in rows],
        "sentence": sentence,
        "note": FIRST_STEP_NOTE if sentence else "",
    }


def study_table(
    frames: Frames,
    packed: Packed,
    judged: pl.DataFrame,
    *,
    title: str,
    study_yaml: str,
    facts: Mapping[str, str],
    loss_steps: Sequence[LossStep],
    files: Mapping[str, list[str]],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """Collect what the page reads at once; the charts and the packed measurements come apart."""
    expected = forecast(frames, judged)
    return {
        "title": title,
        "facts": list(facts.items()),
        "yaml": study_yaml,
        "settings": setting_table(frames, packed.num_layers),
        "runs": run_table(frames, judged, packed.num_layers),
        "forecast": {
            "sentence": expected.sentence,
            "note": TRAINED_NOTE if expected.num_predicted else "",
        },
        "converged_note": CONVERGED_NOTE,
        "best_note": BEST_NOTE,
        "scored": {f"scored_{name}": title for name, title in SHOWN_METRICS.items()},
        "scored_note": METRICS_NOTE,
        "losses": loss_table(loss_steps),
        "files": dict(files),
        "left_out": list(left_out.items()),
        "packed": {
            "metrics": {name: list(codec) for name, codec in METRICS.items()},
            "layer_quantities": {name: list(codec) for name, codec in LAYER_QUANTITIES.items()},
            "epoch_lists": packed.epoch_lists,
            "epochs": packed.epochs,
            "map_epochs": packed.map_epochs,
            "num_layers": packed.num_layers,
        },
    }
