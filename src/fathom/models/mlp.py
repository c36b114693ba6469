"""The multilayer perceptron as an ordinary module, and its initial weights for every engine."""

from collections.abc import Sequence
from itertools import pairwise, zip_longest
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from fathom.activations import ACTIVATIONS, Activation
from fathom.activations.base import Order, unit_order
from fathom.architectures.base import Act, MeasuredLayer, Network, measured
from fathom.initializers import INITIALIZERS, layer_initializers
from fathom.seeds import generator
from fathom.spec.grid import Norm, Run, Skip

NORM_EPS: Final = 1e-5  # torch's defaults, in every engine
NORM_MOMENTUM: Final = 0.1


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


def num_parameters(
    num_features: int, hidden: Sequence[int], num_outputs: int, norm: Norm = "none"
) -> int:
    """Count the weights and biases, and the two numbers of each normalised unit.

    >>> num_parameters(784, [128], 10), num_parameters(784, [128], 10, "layer_norm")
    (101770, 102026)
    """
    affine = sum((i + 1) * o for i, o in layer_sizes(num_features, hidden, num_outputs))
    return affine + (0 if norm == "none" else 2 * sum(hidden))


def has_skip(skip: Skip, fan_in: int, fan_out: int) -> bool:
    """Tell whether a hidden layer's input is added to its output."""
    return skip == "residual" and fan_in == fan_out


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


class _BatchNorm(nn.Module):
    """torch's `BatchNorm1d` without its count of batches, which nothing depends on."""

    def __init__(self, num_units: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_units, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_units, dtype=dtype))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(num_units, dtype=dtype))
        self.register_buffer("running_var", torch.ones(num_units, dtype=dtype))

    def forward(self, h: Tensor) -> Tensor:
        return functional.batch_norm(
            h,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=NORM_MOMENTUM,
            eps=NORM_EPS,
        )


def _norm(norm: Norm, num_units: int, dtype: torch.dtype) -> nn.Module:
    if norm == "layer_norm":
        return nn.LayerNorm(num_units, eps=NORM_EPS, dtype=dtype)
    return _BatchNorm(num_units, dtype) if norm == "batch_norm" else nn.Identity()


def _moved(order: Order, h: Tensor, x: Tensor) -> Tensor:
    """Put the units of each sample of `h [B, O]` in order; autograd sends gradients back."""
    return h.gather(1, unit_order(order, h.detach().T, x.detach().T).T)


class MLP(Network):
    """Linear layers with an activation between them, as they are or with remedies.

    Its parameters are not set: they are drawn or loaded.

    Args:
        sizes: (fan_in, fan_out) of each linear layer.
        activations: One fewer than the layers; one with an order moves a layer's units.
        dtype: Floating-point type of parameters and activations.
        norm: What stands between a hidden linear layer and its activation.
        skip: `residual` adds a hidden layer's input to its activation where the widths are equal.

    Shape: `[B, I] -> [B, K]`, logits.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, int]],
        activations: Sequence[Activation],
        dtype: torch.dtype,
        norm: Norm = "none",
        skip: Skip = "none",
    ) -> None:
        super().__init__()
        self.skip: Skip = skip
        with torch.device("meta"):  # nothing is drawn that is overwritten
            linears = [nn.Linear(i, o, dtype=dtype) for i, o in sizes]
        self.layers = nn.ModuleList(linears).to_empty(device="cpu")
        self.norms = nn.ModuleList(_norm(norm, o, dtype) for _, o in sizes[:-1])
        phis = [phi.between(i, o) for phi, (i, o) in zip(activations, sizes, strict=False)]
        self.acts = nn.ModuleList(Act(phi) for phi in phis)
        self._orders = [phi.order for phi in phis]

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output."""
        pairs = zip_longest(self.layers, self.acts)
        return measured(self, list(pairs))  # type: ignore[arg-type]  # a module list forgets types

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch `[B, I]`."""
        hidden = zip(self.layers, self.norms, self._orders, self.acts, strict=False)
        for linear, norm, order, act in hidden:
            h = norm(linear(x))
            y = act(h if order is None else _moved(order, h, x))
            x = x + y if has_skip(self.skip, x.shape[1], y.shape[1]) else y
        return self.layers[-1](x)  # type: ignore[no-any-return]  # a module list forgets types
