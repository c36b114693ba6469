"""What theory says of many runs: of every run of a study, and of those that were trained."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from fathom.api.description import read_model, setting_columns
from fathom.api.predicted import judge_prediction, layer_table
from fathom.data.config import DataConfig
from fathom.data.datasets import is_at_hand, measure
from fathom.data.inputs import InputStatistics, input_statistics
from fathom.data.splits import prepare
from fathom.errors import ComponentError
from fathom.prediction import UNKNOWN_INPUT, predict_model
from fathom.records import PREDICTION_COLUMNS
from fathom.spec.grid import Run
from fathom.theory.predict import Prediction, without_prediction

# Columns of `predict_runs` beside the settings.
PREDICTED_COLUMNS: Final = (
    "run_id",
    "name",
    "gradient_span",
    "gradient_span_sd",
    "verdict",
    "sentence",
    "assumed_input",
)
ASSUMED_INPUT: Final = (
    "The data are not on this machine and nothing is downloaded for a plan: inputs are taken as "
    "standardised and unlike each other."
)


def predict_runs(runs: Sequence[Run], folders: Sequence[Path]) -> pl.DataFrame:
    """Predict every run of a study; nothing is trained or downloaded.

    Args:
        runs: All of them.
        folders: The user's data folders.

    Returns:
        One row for each run: `run_id`, `name`, `gradient_span` and `gradient_span_sd` in decades,
        `verdict`, `sentence`, `assumed_input`, true where the data are not on this machine, and its
        settings.

    Raises:
        FathomError: If data that are there cannot be used.
    """

    @cache
    def inputs_of(config: DataConfig, probe_size: int) -> InputStatistics | None:
        if not is_at_hand(config, folders):
            return None
        return input_statistics(prepare(config, folders), probe_size)

    rows = []
    for run in runs:
        sizes = measure(run.data, folders)
        probes = min(run.record.probe_size, sizes.num_train)
        inputs = inputs_of(run.data, run.record.probe_size)
        prediction = predict_model(run.model, sizes.num_features, inputs or UNKNOWN_INPUT, probes)
        verdict = judge_prediction(prediction, probes, sizes.num_classes)
        rows.append((
            run.id,
            run.name,
            *_span(prediction),
            verdict.name,
            verdict.sentence,
            inputs is None,
        ))
    return pl.DataFrame(rows, schema=PREDICTED_COLUMNS, orient="row").with_columns(
        pl.Series(name, values, strict=False) for name, values in setting_columns(runs).items()
    )


def _span(prediction: Prediction) -> tuple[float, float]:
    """Return the gradient span and its standard deviation; NaN where nothing is predicted."""
    if prediction.obstacle:
        return math.nan, math.nan
    return float(prediction.gradient_log10[0]), float(prediction.gradient_log10_sd[0])


def predict_recorded(
    runs: pl.DataFrame, configs: Mapping[str, Any]
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Predict runs that were trained, from the input that was recorded with them.

    Args:
        runs: `records.RUN_COLUMNS`.
        configs: By run id what `spec.grid.to_plain` made of the run.

    Returns:
        `records.PREDICTION_COLUMNS`, and why there is no prediction by run id.
    """
    tables, obstacles = [], {}
    for row in runs.iter_rows(named=True):
        run_id, config = row["run_id"], configs[row["run_id"]]
        prediction = _recorded(row, config)
        tables.append(prediction_rows(run_id, prediction))
        if prediction.obstacle:
            obstacles[run_id] = prediction.obstacle
    return pl.concat(tables), obstacles


def _recorded(row: Mapping[str, Any], config: Mapping[str, Any]) -> Prediction:
    model = read_model(config["model"])
    if row["num_features"] is None or row["input_mean_square"] is None:
        reason = "an earlier version of Fathom trained it and did not record its input"
        return without_prediction(max(1, model.depth), reason)
    inputs = InputStatistics(row["input_mean_square"], row["input_cosine"])
    num_probes = row["num_probes"] or config["record"]["probe_size"]  # not in earlier folders
    try:
        return predict_model(model, row["num_features"], inputs, num_probes)
    except ComponentError as error:  # such as a function of a module that is not allowed here
        return without_prediction(max(1, model.depth), str(error))


def prediction_rows(run_id: str, prediction: Prediction) -> pl.DataFrame:
    """Return a run's rows of `records.PREDICTION_COLUMNS`; none where there is no prediction."""
    table = layer_table(prediction).with_columns(run_id=pl.lit(run_id))
    table = table.select([column.name for column in PREDICTION_COLUMNS])
    return table.clear() if prediction.obstacle else table
