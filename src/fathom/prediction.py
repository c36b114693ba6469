"""What theory says of a run: from its settings and its input to a network that theory knows."""

import functools
import math
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.data.inputs import InputStatistics
from fathom.initializers import INITIALIZERS, Initializer, layer_initializers
from fathom.models.build import is_mlp
from fathom.models.mlp import layer_sizes
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig
from fathom.theory.explain import explain
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Nonlinearity, nonlinearity
from fathom.theory.predict import Prediction, predict, without_prediction
from fathom.threads import one_thread
from fathom.verdicts import Evidence

UNKNOWN_INPUT: Final = InputStatistics(1.0, 0.0)  # standardised features, unrelated inputs

_MEASURED_ENTRIES: Final = 1_000_000  # a user's own weights' variance to 0.15 %
_LARGEST_LOG10: Final = math.log10(torch.finfo(torch.float32).max)
_LOOKED_AT: Final = 64  # rows and columns that tell what kind of weights these are
_FEWEST_ENTRIES: Final = 256  # a single one is no sample of a mean
_MOST_DRAWN: Final = 10_000  # matrices; of tiny ones a million entries would take long
_FEWEST_DIRECTIONS: Final = 8  # of fewer, chance decides
_UNEVEN: Final = 2.0  # times what independent entries have, to within a few percent
_ORTHOGONAL: Final = 1e-6
_MEAN_SIGMAS: Final = 6.0  # a sample mean of 0 lies within, nearly always


@functools.lru_cache(maxsize=1024)
def predict_model(
    model: ModelConfig, num_features: int, inputs: InputStatistics, num_probes: int
) -> Prediction:
    """Predict every layer of a network before training.

    Args:
        model: Activations, widths and initializer.
        num_features: Entries of an input.
        inputs: Scale of the inputs, and how alike they are.
        num_probes: Inputs on which dead units are counted.
    """
    with one_thread():  # the threads of many small functions cost five times what they do
        try:
            network = network_of(model, num_features, inputs)
        except NotCoveredError as error:
            return without_prediction(max(1, model.depth), str(error))
        return predict(network, num_probes)


def explain_model(
    model: ModelConfig, num_features: int, inputs: InputStatistics, prediction: Prediction
) -> tuple[str, ...]:
    """Say why a network's prediction is what it is, and what would be better.

    Args:
        model: As in `predict_model`.
        num_features: As there.
        inputs: As there.
        prediction: What came of them.
    """
    if prediction.obstacle:
        return ()
    with one_thread():
        return explain(network_of(model, num_features, inputs), prediction)


class NotCoveredError(Exception):
    """A network of a kind that the theory does not know; the text says which."""


def network_of(model: ModelConfig, num_features: int, inputs: InputStatistics) -> Network:
    """Turn settings into what theory works on: one variance for each layer.

    Raises:
        NotCoveredError: If it is no mlp, there is no hidden layer, layers are normalised or
            skipped, or the weights have a mean other than 0 or are not independent.
    """
    if not is_mlp(model):
        raise NotCoveredError("theory covers multilayer perceptrons only")
    if not model.hidden:
        raise NotCoveredError("there is no hidden layer, through which a signal could fade")
    if model.norm != "none":
        raise NotCoveredError(f"normalised layers are not covered by theory (norm: {model.norm})")
    if model.skip != "none":
        raise NotCoveredError(f"skip connections are not covered by theory (skip: {model.skip})")
    sizes = layer_sizes(num_features, model.hidden, 1)[:-1]
    read = [model.activation[0], *model.activation[:-1]]
    laws = [_law(model.init, choice, *fans) for choice, fans in zip(read, sizes, strict=True)]
    return Network(
        activations=tuple(
            _in_layer(choice, *fans) for choice, fans in zip(model.activation, sizes, strict=True)
        ),
        widths=model.hidden,
        num_features=num_features,
        weight_scale=tuple(
            fan_in * law.variance for (fan_in, _), law in zip(sizes, laws, strict=True)
        ),
        bias_variance=tuple(law.bias_variance for law in laws),
        orthogonal=all(law.is_orthogonal for law in laws),
        input_square=inputs.mean_square,
        input_cosine=inputs.cosine,
    )


@functools.lru_cache(maxsize=256)
def _nonlinearity(choice: Choice) -> Nonlinearity:
    """Examine an activation once: each building of it makes other functions."""
    return nonlinearity(ACTIVATIONS.build(choice))


def _in_layer(choice: Choice, fan_in: int, fan_out: int) -> Nonlinearity:
    """Return an activation as a layer of these widths has it: some units may have to stay."""
    phi = _nonlinearity(choice)
    if phi.moves_units and ACTIVATIONS.build(choice).between(fan_in, fan_out).order is None:
        return replace(phi, moves_units=False)
    return phi


class _Law(NamedTuple):
    """How the weights of a layer are distributed."""

    variance: float
    bias_variance: float
    is_orthogonal: bool


@functools.lru_cache(maxsize=1024)
def _law(init: Choice, reads: Choice, fan_in: int, fan_out: int) -> _Law:
    """Ask an initializer for its variances, and look at weights that it draws for the rest.

    Raises:
        NotCoveredError: If the weights' mean is not 0, or they are not independent.
    """
    phi = ACTIVATIONS.build(reads)
    initializer = layer_initializers(INITIALIZERS.build(init), [phi])[0]
    variance = initializer.weight_variance(fan_in, fan_out)
    if math.isnan(variance):  # a user's own function, which may ask for the shape
        drawn = _draw(initializer, fan_in, fan_out, _MEASURED_ENTRIES)
        variance = drawn.square().mean().item()
    else:
        shape = min(fan_in, _LOOKED_AT), min(fan_out, _LOOKED_AT)
        drawn = _draw(initializer, *shape, _FEWEST_ENTRIES)
    mean, sd = drawn.mean().item(), drawn.std(correction=0).item()
    if abs(mean) > _MEAN_SIGMAS * sd / math.sqrt(drawn.numel()):
        raise NotCoveredError(
            f"the weights of '{init.label}' have the mean {mean:.3g}; theory knows those of mean 0"
        )
    if _is_uneven(drawn[0]):
        raise NotCoveredError(
            f"a few directions hold most of the weights of '{init.label}'; theory knows "
            "independent and orthogonal ones"
        )
    return _Law(variance, initializer.bias_variance(fan_in), _is_orthogonal(drawn[0]))


def _draw(init: Initializer, fan_in: int, fan_out: int, num_entries: int) -> Tensor:
    """Draw as many matrices `[O, I]` as have so many entries, at least one."""
    count = min(-(-num_entries // (fan_in * fan_out)), _MOST_DRAWN)
    drawn = torch.empty(count, fan_out, fan_in, dtype=torch.float64)
    chance = torch.Generator().manual_seed(0)
    for matrix in drawn:
        init.weight(matrix, chance)
    return drawn


def _is_uneven(weight: Tensor) -> bool:
    """Tell whether the squared singular values differ by more than those of independent entries.

    Source: tr (W W^T)^2 / (tr W W^T)^2 is 1/O + 1/I for independent entries, which is the second
    moment of the law of Marchenko and Pastur; less for orthogonal ones, and 1 for one direction.
    """
    rows, columns = weight.shape
    gram = weight @ weight.T
    total = gram.trace().square()
    if min(rows, columns) < _FEWEST_DIRECTIONS or not total > 0:
        return False
    return bool(gram.square().sum() > _UNEVEN * (1 / rows + 1 / columns) * total)


def _is_orthogonal(weight: Tensor) -> bool:
    """Tell whether a few of the fewer vectors, rows or columns, are orthogonal."""
    vectors = (weight if weight.shape[0] <= weight.shape[1] else weight.T)[:_LOOKED_AT]
    if len(vectors) < 2:
        return False
    gram = vectors @ vectors.T
    size = gram.diagonal().mean()
    off = gram - size * torch.eye(len(gram), dtype=gram.dtype)
    return bool(size > 0) and bool(off.abs().max() < _ORTHOGONAL * size)


def expected_evidence(layers: pl.DataFrame, num_probes: int, num_classes: int) -> Evidence:
    """Return the numbers that the rules of `verdicts` look at, as theory expects them.

    Args:
        layers: Of one network before training, layer 1 first: columns as in
            `records.PREDICTION_COLUMNS`.
        num_probes: Inputs on which units are counted; 0 if not known.
        num_classes: Of the data; 0 if not known.
    """
    scale = layers["pre_log10"].to_numpy()
    with np.errstate(invalid="ignore"):  # beyond all numbers from the first layer on
        growth = 2 * float(scale[-1] - scale[0])
    return Evidence(
        is_finite=bool(scale.max() < _LARGEST_LOG10),
        gradient_span=layers["gradient_log10"][0],
        span_sd=layers["gradient_log10_sd"][0],
        scale_growth=growth,
        largest_rms=10 ** min(float(scale.max()), 300.0),
        cosine=layers["pre_cosine"][-1],
        num_probes=num_probes,
        num_classes=num_classes,
        dead_share=_largest_known(layers["dead_share"]),
        saturated_share=_largest_known(layers["saturated_share"]),
    )


def _largest_known(shares: pl.Series) -> float:
    """Return the largest number that there is: of some activations saturation is not defined."""
    return float(np.fmax.reduce(shares.to_numpy()))
