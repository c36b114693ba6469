"""From a run's settings to its network, whatever the architecture: built, drawn, counted."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from fathom import architectures
from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES
from fathom.architectures.base import (
    Act,
    Architecture,
    ImageShape,
    Network,
    image_shape,
    reset,
    torch_seeded,
)
from fathom.architectures.count import Counts, count
from fathom.code_digest import digest_code
from fathom.errors import FathomError
from fathom.initializers import INITIALIZERS, fans, layer_initializers
from fathom.models.mlp import MLP, layer_sizes, num_parameters
from fathom.registry import Choice, Registry
from fathom.seeds import derive_seed, generator
from fathom.spec.grid import ModelConfig, Run

EVALUATION_BATCH: Final = 256  # large enough for the product, small enough to stay in cache
EVALUATION_NUMBERS: Final = 2**25  # kept for backward by the samples of a batch, if it were trained


def is_mlp(model: ModelConfig) -> bool:
    """Tell whether a network is a multilayer perceptron, which has layers as settings."""
    return architectures.is_mlp(model.name)


def changed_code(model: ModelConfig) -> str | None:
    """Name a user's function that is not what it was when the settings were read; None if all are.

    Raises:
        ComponentError: If one is of a module that is not allowed here, or is gone.
    """
    used: list[tuple[Registry[Any], Choice]] = [(ACTIVATIONS, phi) for phi in model.activation]
    for registry, choice in (*used, (INITIALIZERS, model.init), (ARCHITECTURES, model.name)):
        is_own = choice.code and registry.is_foreign(choice.name)
        if is_own and digest_code(registry.factory(choice.name)) != choice.code:
            return f"{registry.kind} '{choice.name}'"
    return None


def _new_network(
    model: ModelConfig,
    sample_shape: Sequence[int],
    num_classes: int,
    dtype: torch.dtype,
    *,
    seeds: tuple[int, int],
) -> Network:
    """Build a network whose parameters are still to be drawn or loaded.

    Args:
        model: Its settings.
        sample_shape: Shape of a sample of the data.
        num_classes: Number of logits.
        dtype: Floating-point type of parameters and activations.
        seeds: The study's seed and the replicate; they key what a user's own module draws by
            itself while it is built.

    Returns:
        A module `[B, I] -> [B, K]`; an image network takes `[B, C, H, W]` as well.

    Raises:
        FathomError: If the data do not fit the architecture, or a user's own module cannot be used.
    """
    activations = [ACTIVATIONS.build(choice) for choice in model.activation]
    architecture = ARCHITECTURES.build(model.name)
    if architecture.build is None:
        sizes = layer_sizes(math.prod(sample_shape), model.hidden, num_classes)
        return MLP(sizes, activations, dtype, model.norm, model.skip)
    shape = _image_shape(architecture, sample_shape)
    (phi,) = activations
    device = torch.device("cpu" if architecture.own else "meta")
    own = derive_seed(seeds[0], "own", seeds[1])
    with _explained(architecture), torch_seeded(own), device:
        network = architecture.build(shape, num_classes, lambda: Act(phi))
    network.register_forward_pre_hook(functools.partial(_as_images, shape))
    return (network if architecture.own else network.to_empty(device="cpu")).to(dtype)


def _as_images(
    shape: ImageShape, _network: nn.Module, args: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    (x,) = args
    return (x.view(len(x), *shape) if x.dim() == 2 else x,)


def initial_network(
    run: Run, sample_shape: Sequence[int], num_classes: int, dtype: torch.dtype
) -> Network:
    """Build a run's network with its initial weights.

    The weights of every measured layer are drawn by the run's initializer, in float64. The key of
    their generator names the study's seed, the replicate and the layer, and nothing else: networks
    that differ in activation, depth or initializer share their base draws layer by layer. All else
    of a user's own module is drawn as the module draws it, in float32, keyed likewise.

    Raises:
        FathomError: If the data do not fit the architecture.
    """
    seeds = (run.study_seed, run.seed)
    network = _new_network(run.model, sample_shape, num_classes, dtype, seeds=seeds)
    if not ARCHITECTURES.build(run.model.name).own:
        reset(network, generator(run.study_seed, "learned", run.seed))
    layers = network.measured()
    phis = [ACTIVATIONS.build(choice) for choice in run.model.activation]
    if not is_mlp(run.model):
        phis *= len(layers) - 1
    inits = layer_initializers(INITIALIZERS.build(run.model.init), phis)
    for index, (layer, init) in enumerate(zip(layers, inits, strict=True)):
        weight, bias = layer.linear.weight, layer.linear.bias
        init.weight(weight, generator(run.study_seed, "weights", run.seed, index))
        if bias is not None:
            fan_in, _ = fans(weight)
            init.bias(bias, fan_in, generator(run.study_seed, "bias", run.seed, index))
    return network


def rebuilt_network(
    model: ModelConfig,
    weights: Mapping[str, Tensor],
    sample_shape: Sequence[int],
    num_classes: int,
    dtype: torch.dtype,
    *,
    seeds: tuple[int, int],
) -> Network:
    """Build the network that a run trained, in evaluation mode.

    What a user's own module draws and keeps out of its `state_dict`, such as a mask or frequencies
    that are plain attributes, is drawn again from the run's seeds, as it was for training.

    Not covered: what a module changes while it trains, and keeps out of its `state_dict`.

    Args:
        model: Its settings.
        weights: Its `state_dict`.
        sample_shape: Shape of a sample of the data.
        num_classes: Number of logits.
        dtype: Floating-point type of parameters and activations.
        seeds: The study's seed and the run's replicate.

    Raises:
        FathomError: If the data do not fit the architecture, or a user's own module cannot be used.
    """
    network = _new_network(model, sample_shape, num_classes, dtype, seeds=seeds)
    network.load_state_dict(weights)
    return network.eval()


def count_network(model: ModelConfig, sample_shape: Sequence[int], num_classes: int) -> Counts:
    """Count a network's parameters and layers, and what one sample takes to pass it.

    Raises:
        FathomError: If the data do not fit the architecture.
    """
    architecture = ARCHITECTURES.build(model.name)
    if architecture.build is not None:
        shape = _image_shape(architecture, sample_shape)
        with _explained(architecture):
            return count(model.name, shape, num_classes)
    num_features = math.prod(sample_shape)
    sizes = layer_sizes(num_features, model.hidden, num_classes)
    return Counts(
        parameters=num_parameters(num_features, model.hidden, num_classes, model.norm),
        flops=sum(2 * fan_in * fan_out for fan_in, fan_out in sizes),
        activation_numbers=num_features + sum(model.hidden),
        num_layers=len(sizes),
    )


@contextmanager
def _explained(architecture: Architecture) -> Iterator[None]:
    """Name the architecture where data do not fit it.

    Raises:
        FathomError: In place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise FathomError(f"model '{architecture.name}': {error}") from error


def evaluation_batch(model: ModelConfig, sample_shape: Sequence[int], num_classes: int) -> int:
    """Return how many samples a network is evaluated on at once: fewer where these are large.

    Raises:
        FathomError: If the data do not fit the architecture.
    """
    if is_mlp(model):
        return EVALUATION_BATCH
    numbers = count_network(model, sample_shape, num_classes).activation_numbers
    return max(1, min(EVALUATION_BATCH, EVALUATION_NUMBERS // numbers))


def _image_shape(architecture: Architecture, sample_shape: Sequence[int]) -> ImageShape:
    with _explained(architecture):
        return image_shape(sample_shape)
