"""The record that an initializer is, and the noise that all share.

Numbers are drawn in float64 and cast when they are stored. Initializers that differ in scale alone
therefore draw the same numbers from equal generators, in every precision: comparisons are paired.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fathom.activations import Activation
from fathom.registry import check_number

WeightFill = Callable[[Tensor, torch.Generator], None]
BiasFill = Callable[[Tensor, int, torch.Generator], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Initializer:
    """How the weights and biases of a layer start.

    Attributes:
        name: Name in the registry.
        weight: `weight(tensor, generator)` fills a weight in place, in the layout of `nn.Linear`
            `[O, I]` or of a convolution `[O, I, *kernel]`.
        bias: `bias(tensor, fan_in, generator)` fills a bias `[O]` in place.
        weight_variance: `weight_variance(fan_in, fan_out)` is the variance of one weight; the
            theory's s_w^2 is `fan_in` times it. NaN when unknown.
        bias_variance: `bias_variance(fan_in)` is the variance of one bias, s_b^2. NaN when unknown.
        for_activation: Makes the initializer of a layer from the activation that the layer reads;
            None where all layers start alike.
        source: Where the definition comes from.
    """

    name: str
    weight: WeightFill
    bias: BiasFill
    weight_variance: Callable[[int, int], float]
    bias_variance: Callable[[int], float]
    for_activation: "Callable[[Activation], Initializer] | None" = None
    source: str = ""


def layer_initializers(init: Initializer, activations: Sequence[Activation]) -> list[Initializer]:
    """Return the initializer of each linear layer, the output layer last.

    A layer reads the activation before it. The first one reads the data, and is started as if it
    read the first activation.

    Args:
        init: The network's initializer.
        activations: Of the hidden layers, at least one.
    """
    if init.for_activation is None:
        return [init] * (len(activations) + 1)
    return [init.for_activation(phi) for phi in (activations[0], *activations)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A distribution with mean 0 from which entries are drawn.

    Attributes:
        draw: `draw(shape, generator)` gives independent float64 entries.
        variance: Their variance.
    """

    draw: Callable[[Sequence[int], torch.Generator], Tensor]
    variance: float


def _draw_normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def _draw_uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return 2.0 * torch.rand(*shape, dtype=torch.float64, generator=generator) - 1.0


NORMAL: Final = Noise(draw=_draw_normal, variance=1.0)
UNIFORM: Final = Noise(draw=_draw_uniform, variance=1.0 / 3.0)  # on [-1, 1)


def fans(weight: Tensor) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight `[O, I]` or `[O, I, *kernel]`.

    >>> fans(torch.empty(64, 3, 5, 5))
    (75, 1600)
    """
    num_out, num_in, *kernel = weight.shape
    area = math.prod(kernel)
    return num_in * area, num_out * area


@torch.no_grad()
def store(tensor: Tensor, values: Tensor) -> None:
    """Write float64 values into a tensor or parameter of any precision and device."""
    tensor.copy_(values)


def normal_bias(std: float) -> tuple[BiasFill, Callable[[int], float]]:
    """Make the `bias` and `bias_variance` of an initializer whose biases are N(0, std^2).

    Raises:
        ValueError: If std is negative or not finite.
    """
    check_number("bias_std", std, minimum=0)

    def bias(tensor: Tensor, fan_in: int, generator: torch.Generator) -> None:
        # Adding 0 turns the -0.0 of a zero std into 0.0.
        store(tensor, std * NORMAL.draw(tensor.shape, generator) + 0.0)

    return bias, lambda fan_in: std * std


def independent(
    name: str,
    noise: Noise,
    weight_variance: Callable[[int, int], float],
    *,
    mean: float = 0.0,
    bias_std: float,
    source: str = "",
) -> Initializer:
    """Make an initializer with independent weights whose variance the fans decide.

    Args:
        name: Name in the registry.
        noise: Shape of the distribution.
        weight_variance: Variance of a weight from (fan_in, fan_out).
        mean: Mean of a weight.
        bias_std: Standard deviation of the normal biases, at least 0.
        source: Where the definition comes from.
    """
    bias, bias_variance = normal_bias(bias_std)

    def weight(tensor: Tensor, generator: torch.Generator) -> None:
        scale = math.sqrt(weight_variance(*fans(tensor)) / noise.variance)
        store(tensor, scale * noise.draw(tensor.shape, generator) + mean)

    return Initializer(
        name=name,
        weight=weight,
        bias=bias,
        weight_variance=weight_variance,
        bias_variance=bias_variance,
        source=source,
    )
