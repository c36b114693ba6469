"""The multilayer perceptron as an ordinary module, and its initial weights for every engine."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fathom.activations import ACTIVATIONS, Activation
from fathom.initializers import INITIALIZERS, layer_initializers
from fathom.seeds import generator
from fathom.spec.grid import Run


class LayerWeights(NamedTuple):
    """Weights of one linear layer in `nn.Linear`'s layout: `weight [O, I]`, `bias [O]`."""

    weight: Tensor
    bias: Tensor


def layer_sizes(
    num_features: int, hidden: Sequence[int], num_outputs: int
) -> list[tuple[int, int]]:
    """Return (fan_in, fan_out) of each linear layer, the output layer last.

    >>> layer_sizes(784, [128, 64], 10)
    [(784, 128), (128, 64), (64, 10)]
    """
    widths = [num_features, *hidden, num_outputs]
    return list(pairwise(widths))


def num_parameters(num_features: int, hidden: Sequence[int], num_outputs: int) -> int:
    """Count the weights and biases.

    >>> num_parameters(784, [128], 10)
    101770
    """
    return sum((i + 1) * o for i, o in layer_sizes(num_features, hidden, num_outputs))


def initial_weights(run: Run, num_features: int, num_classes: int) -> list[LayerWeights]:
    """Draw the weights of every layer of a run's network in float64.

    The key names the study's seed, the replicate and the layer, and nothing else: networks
    that differ in activation, depth or initializer share their base draws layer by layer.
    """
    sizes = layer_sizes(num_features, run.model.hidden, num_classes)
    activations = [ACTIVATIONS.build(choice) for choice in run.model.activation]
    inits = layer_initializers(INITIALIZERS.build(run.model.init), activations)
    layers = []
    for index, ((fan_in, fan_out), init) in enumerate(zip(sizes, inits, strict=True)):
        weight = torch.empty(fan_out, fan_in, dtype=torch.float64)
        bias = torch.empty(fan_out, dtype=torch.float64)
        init.weight(weight, generator(run.study_seed, "weights", run.seed, index))
        init.bias(bias, fan_in, generator(run.study_seed, "bias", run.seed, index))
        layers.append(LayerWeights(weight, bias))
    return layers


class _Elementwise(torch.autograd.Function):
    """phi with the record's own slope as its derivative."""

    @staticmethod
    def forward(ctx, h: Tensor, phi: Activation) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as torch calls it
        ctx.save_for_backward(h)
        ctx.phi = phi
        return phi.value(h)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as torch calls it
        (h,) = ctx.saved_tensors
        return grad * ctx.phi.slope(h), None


class MLP(nn.Module):
    """Linear layers with an elementwise activation between them.

    Args:
        weights: One entry per linear layer; copied.
        activations: One fewer than the layers.
        dtype: Floating-point type of parameters and activations.

    Shape: `[B, I] -> [B, K]`, logits.
    """

    def __init__(
        self, weights: Sequence[LayerWeights], activations: Sequence[Activation], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.activations = tuple(activations)
        self.layers = nn.ModuleList()
        for weight, bias in weights:
            linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
            linear.load_state_dict({"weight": weight, "bias": bias})
            self.layers.append(linear)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch `[B, I]`."""
        for linear, phi in zip(self.layers, self.activations, strict=False):
            x = _Elementwise.apply(linear(x), phi)  # type: ignore[no-untyped-call]  # torch's
        return self.layers[-1](x)  # type: ignore[no-any-return]  # a module list forgets types
