"""What theory says of one network before anything is trained."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import polars as pl
from torch import Tensor

from fathom.activations import ACTIVATIONS, Activation
from fathom.api.checks import check, named
from fathom.api.own import with_choices
from fathom.card import to_plain
from fathom.card.examination import examine
from fathom.card.text import sentence
from fathom.data.inputs import InputStatistics
from fathom.errors import FathomError
from fathom.prediction import expected_evidence, explain_model, predict_model
from fathom.spec import study as spec
from fathom.spec.grid import ModelConfig
from fathom.spec.nodes import from_plain
from fathom.theory.predict import Prediction
from fathom.threads import one_thread
from fathom.verdicts import Verdict, judge, no_prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        """Return all of it as values that JSON can hold, see `card.to_plain`."""
        return {
            "network": self.network,
            "verdict": self.verdict.name,
            "sentences": [self.verdict.sentence, *self.sentences],
            "layers": to_plain(self.layers.to_dicts()),
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
    network = {"data": "digits", "model": {"depth": depth, "width": width}}
    written = from_plain(network | with_choices(settings))
    runs = spec.Study.from_node(written, "predict").runs()
    if len(runs) != 1:
        raise FathomError(
            f"predict: these settings make {len(runs)} networks; give one, or use Study.predict"
        )
    model = runs[0].model
    found = describe(
        model,
        num_features=width if num_features is None else num_features,
        num_classes=num_classes,
        inputs=InputStatistics(input_mean_square, input_cosine),
        num_probes=num_probes,
    )
    return replace(found, sentences=(*found.sentences, *_faults(model)))


def _faults(model: ModelConfig) -> Iterator[str]:
    """Warn of a user's own function that is faulty in itself, whatever theory says of it."""
    for choice in dict.fromkeys(model.activation):
        if ACTIVATIONS.is_built_in(choice.name):
            continue
        with one_thread():
            faults = examine(ACTIVATIONS.build(choice)).faults
        if faults:
            more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
            told = f"{sentence(faults[0])}{more}"
            yield f"Fault of {choice.label} itself: {told} (see fathom activation)."


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
        layers=layer_table(prediction),
        verdict=judge_prediction(prediction, num_probes, num_classes),
        sentences=explain_model(model, num_features, inputs, prediction),
    )


def judge_prediction(prediction: Prediction, num_probes: int, num_classes: int) -> Verdict:
    """Apply the rules to a prediction; the other arguments are those of `expected_evidence`."""
    if prediction.obstacle:
        return no_prediction(prediction.obstacle)
    return judge(expected_evidence(layer_table(prediction), num_probes, num_classes))


def layer_table(prediction: Prediction) -> pl.DataFrame:
    """Return the columns that `NetworkPrediction.layers` has."""
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
