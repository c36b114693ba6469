"""The multilayer perceptron, as a list of layers.

Shapes: B batch, I in, O out, K classes.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from fathom.reference.activations import Activation
from fathom.reference.arrays import Array, Labels
from fathom.reference.layers import (
    BatchNorm,
    Elementwise,
    Layer,
    LayerNorm,
    Linear,
    Reordering,
    Residual,
    backward,
    forward,
    leaves,
    remembering_nothing,
)
from fathom.reference.losses import Loss

Norm = Literal["none", "layer_norm", "batch_norm"]
NORMS = {"layer_norm": LayerNorm, "batch_norm": BatchNorm}


class Weights(NamedTuple):
    """Parameters of one linear layer: `weight [I, O]`, the transpose of torch's, and `bias [O]`."""

    weight: Array
    bias: Array


def multilayer_perceptron(
    weights: Sequence[Weights],
    activations: Sequence[Activation],
    *,
    norm: Norm = "none",
    skip: bool = False,
) -> list[Layer]:
    """Chain linear layers with an activation between them.

    Args:
        weights: One entry for each linear layer, the output layer last; copied.
        activations: One fewer, such as `activation("relu")`. The order of a layer's inputs can be
            given to as many units only: where the width changes, `permute` moves none.
        norm: What stands between each hidden linear layer and its activation.
        skip: Whether a hidden block (linear, norm, activation) that keeps its width is added to its
            input instead of replacing it.

    Returns:
        The layers; their output is the logits.
    """
    layers: list[Layer] = []
    for (weight_IO, bias_O), phi in zip(weights[:-1], activations, strict=True):
        fan_in, fan_out = weight_IO.shape
        linear = Linear(weight_IO, bias_O)
        block: list[Layer] = [linear, Elementwise(phi)]
        if norm != "none":
            block.insert(1, NORMS[norm](fan_out))
        if phi.order == "own" or (phi.order == "input" and fan_in == fan_out):
            block.insert(-1, Reordering(linear if phi.order == "input" else None))
        layers += [Residual(block)] if skip and fan_in == fan_out else block
    return [*layers, Linear(*weights[-1])]


def he_weights(widths: Sequence[int], generator: np.random.Generator) -> list[Weights]:
    """Draw normal weights of variance 2 / fan_in; biases are 0.

    Source: He et al. 2015, arXiv:1502.01852, sec. 2.2.
    """
    return [
        Weights(generator.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)), np.zeros(fan_out))
        for fan_in, fan_out in pairwise(widths)
    ]


class LayerGradients(NamedTuple):
    """What backpropagation tells of one linear layer: `weight [I, O]`, `bias [O]`."""

    weight: Array
    bias: Array


def layer_gradients(
    layers: Sequence[Layer], loss: Loss, inputs_BI: Array, target_B: Labels
) -> list[LayerGradients]:
    """Return the gradient of the mean loss of a batch for each linear layer, the first one first.

    They are those of a training step: batch norm takes the batch's own mean and variance, and
    gradients flow through these. Nothing is trained, running averages included.
    """
    with remembering_nothing(layers):
        logits_BK = forward(layers, inputs_BI, training=True)
    backward(layers, loss(logits_BK, target_B).grad)
    linears = [layer for layer in leaves(layers) if isinstance(layer, Linear)]
    return [LayerGradients(**linear.gradients) for linear in linears]
