"""What theory says before anything is trained: of one network, and of every run of a study."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import polars as pl
from torch import Tensor

from fathom.activations import Activation
from fathom.api.checks import check, named
from fathom.api.description import read_model, setting_columns
from fathom.api.own import with_choices
from fathom.data.config import DataConfig
from fathom.data.datasets import is_at_hand, measure
from fathom.data.inputs import InputStatistics, input_statistics
from fathom.data.splits import prepare
from fathom.errors import ComponentError, FathomError
from fathom.prediction import (
    UNKNOWN_INPUT,
    expected_evidence,
    explain_model,
    predict_model,
)
from fathom.records import PREDICTION_COLUMNS
from fathom.spec import study as spec
from fathom.spec.grid import ModelConfig, Run
from fathom.theory.predict import Prediction, without_prediction
from fathom.verdicts import Verdict, judge, no_prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPrediction:
    """What theory says of one network before training.

    Attributes:
        network: The network in words.
        layers: One row for each hidden layer: `records.PREDICTION_COLUMNS` without the run, and
            `chi` and `map_slope`, see `fathom.theory.predict.Prediction`.
        verdict: By the rules of `fathom.verdicts`.
        sentences: Why, and what to do about it.
    """

    network: str
    layers: pl.DataFrame
    verdict: Verdict
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.network, self.verdict.sentence, *self.sentences])

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as values that JSON can hold; what is not finite becomes None."""
        return {
            "network": self.network,
            "verdict": self.verdict.name,
            "sentences": [self.verdict.sentence, *self.sentences],
            "layers": [
                {key: value if math.isfinite(value) else None for key, value in row.items()}
                for row in self.layers.iter_rows(named=True)
            ],
        }

    def figure(self) -> "Figure":
        """Draw gradient, scale and cosine of every layer with their bands."""
        from fathom.figures.draw import draw
        from fathom.figures.predicted_layers import chart, numbers

        return draw(chart(numbers(self.layers, self.network)))


def predict(
    activation: str | dict[str, Any] | Activation | Callable[[Tensor], Tensor],
    init: str | dict[str, Any] = "he_normal",
    *,
    depth: int = 50,
    width: int = 128,
    num_features: int | None = None,
    num_classes: int = 10,
    input_mean_square: float = 1.0,
    input_cosine: float = 0.0,
    num_probes: int = 256,
) -> NetworkPrediction:
    """Predict whether a network can be trained, without training it.

    Args:
        activation: A name, a mapping with parameters, or your own function of a tensor.
        init: An initializer's name, or a mapping with parameters.
        depth: Hidden layers, at least 1.
        width: Units of each.
        num_features: Entries of an input; as many as a layer has units when omitted.
        num_classes: Of the data; 2 and fewer have no rule about inputs that collapse.
        input_mean_square: Mean square of the inputs' entries, such as 1 for standardised data.
        input_cosine: Mean cosine between two inputs.
        num_probes: Inputs on which a dead unit has to be dead.

    Raises:
        FathomError: If a setting is wrong; the text lists all problems.
    """
    if num_features is not None:
        check("num_features", num_features, minimum=1, whole=True)
    check("num_classes", num_classes, minimum=1, whole=True)
    check("input_mean_square", input_mean_square, above=0)
    check("input_cosine", input_cosine, minimum=-1, maximum=1)
    check("num_probes", num_probes, minimum=1, whole=True)
    settings = {"activation": named(activation), "init": init}
    study = spec.Study(
        data="digits", model={"depth": depth, "width": width}, **with_choices(settings)
    )
    runs = study.runs()
    if len(runs) != 1:
        raise FathomError(
            f"predict: these settings make {len(runs)} networks; give one, or use Study.predict"
        )
    return describe(
        runs[0].model,
        num_features=width if num_features is None else num_features,
        num_classes=num_classes,
        inputs=InputStatistics(input_mean_square, input_cosine),
        num_probes=num_probes,
    )


def describe(
    model: ModelConfig,
    *,
    num_features: int,
    num_classes: int,
    inputs: InputStatistics,
    num_probes: int,
) -> NetworkPrediction:
    """Predict one network, and say it in words; the arguments are those of `predict_model`."""
    prediction = predict_model(model, num_features, inputs, num_probes)
    return NetworkPrediction(
        network=_in_words(model, inputs),
        layers=_layer_table(prediction),
        verdict=_verdict(prediction, num_probes, num_classes),
        sentences=explain_model(model, num_features, inputs, prediction),
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
        verdict = _verdict(prediction, probes, sizes.num_classes)
        rows.append((
            run.id,
            run.name,
            float(prediction.gradient_log10[0]),
            float(prediction.gradient_log10_sd[0]),
            verdict.name,
            verdict.sentence,
            inputs is None,
        ))
    return pl.DataFrame(rows, schema=PREDICTED_COLUMNS, orient="row").with_columns(
        pl.Series(name, values, strict=False) for name, values in setting_columns(runs).items()
    )


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
        prediction = _predict_recorded(row, config)
        tables.append(prediction_rows(run_id, prediction))
        if prediction.obstacle:
            obstacles[run_id] = prediction.obstacle
    return pl.concat(tables), obstacles


def _predict_recorded(row: Mapping[str, Any], config: Mapping[str, Any]) -> Prediction:
    model = read_model(config["model"])
    if row["num_features"] is None or row["input_mean_square"] is None:
        reason = "an earlier version of Fathom trained it and did not record its input"
        return without_prediction(model.depth, reason)
    inputs = InputStatistics(row["input_mean_square"], row["input_cosine"])
    try:
        return predict_model(model, row["num_features"], inputs, config["record"]["probe_size"])
    except ComponentError as error:  # such as a function of a module that is not allowed here
        return without_prediction(model.depth, str(error))


def prediction_rows(run_id: str, prediction: Prediction) -> pl.DataFrame:
    """Return a run's rows of `records.PREDICTION_COLUMNS`; none where there is no prediction."""
    table = _layer_table(prediction).with_columns(run_id=pl.lit(run_id))
    table = table.select([column.name for column in PREDICTION_COLUMNS])
    return table.clear() if prediction.obstacle else table


def _verdict(prediction: Prediction, num_probes: int, num_classes: int) -> Verdict:
    if prediction.obstacle:
        return no_prediction(prediction.obstacle)
    return judge(expected_evidence(prediction, num_probes, num_classes))


def _layer_table(prediction: Prediction) -> pl.DataFrame:
    columns = {
        name: getattr(prediction, name)
        for name in (
            "pre_log10",
            "pre_log10_sd",
            "gradient_log10",
            "gradient_log10_sd",
            "pre_cosine",
            "dead_share",
            "saturated_share",
            "chi",
            "map_slope",
        )
    }
    layers = range(1, len(prediction.gradient_log10) + 1)
    return pl.DataFrame({"layer": pl.Series(layers, dtype=pl.Int64), **columns})


def _in_words(model: ModelConfig, inputs: InputStatistics) -> str:
    kinds = _distinct(phi.label for phi in model.activation)
    widths = _distinct(str(width) for width in model.hidden)
    remedies = "".join(f", {name}" for name in (model.norm, model.skip) if name != "none")
    return (
        f"{kinds}, {model.init.label}, {model.depth} hidden layer{_s(model.depth)} of {widths} "
        f"unit{_s(max(model.hidden))}{remedies}; "
        f"inputs of mean square {inputs.mean_square:.3g} and cosine {inputs.cosine:.3g}"
    )


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _distinct(texts: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(texts))
