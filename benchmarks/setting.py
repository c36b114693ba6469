"""What every rival trains: the networks, their first weights and the order of the batches.

Nothing here depends on torch or JAX, so that both start from the same numbers.

Shapes: N samples, B batch, I in, O out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

ACTIVATIONS: Final = ("relu", "tanh", "gelu", "sigmoid")
MIXED: Final = "mixed"  # a cohort that trains all of ACTIVATIONS side by side
NUM_FEATURES: Final = 784
WIDTH: Final = 128
NUM_CLASSES: Final = 10
BATCH_SIZE: Final = 128
EPOCH_SAMPLES: Final = 60_000
EPOCH_STEPS: Final = EPOCH_SAMPLES / BATCH_SIZE  # every rival counts whole batches only
LEARNING_RATE: Final = 0.01


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: what is made of it is kept
class Samples:
    """The data of every rival: `images [N, 784]` in uint8 and `labels [N]` in int64."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


class LayerWeights(NamedTuple):
    """One linear layer in `nn.Linear`'s layout: `weight [O, I]`, `bias [O]`, float32."""

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Setting:
    """Networks of one depth.

    Attributes:
        depth: Hidden layers, at least 1.
        activation: One of ACTIVATIONS, or MIXED.
    """

    depth: int
    activation: str

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of each linear layer, the output layer last.

        >>> Setting(2, "relu").sizes
        [(784, 128), (128, 128), (128, 10)]
        """
        return list(pairwise([NUM_FEATURES, *[WIDTH] * self.depth, NUM_CLASSES]))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The activations that occur."""
        return ACTIVATIONS if self.activation == MIXED else (self.activation,)

    @property
    def step_flops(self) -> int:
        """Operations of one network's step on one batch.

        A multiply and an add per weight, forward, backward to the input and to the weight; nothing
        differentiates the data.
        """
        products = sum(i * o for i, o in self.sizes)
        return BATCH_SIZE * (6 * products - 2 * NUM_FEATURES * WIDTH)


def initial_weights(setting: Setting, activation: str, network: int) -> list[LayerWeights]:
    """Draw one network's weights.

    The variance is 2 / fan_in for the activations that cut off half of their input, else
    1 / fan_in: signals and gradients stay far from the denormal numbers at 50 layers, on which
    products would be slow.
    Source: He et al. 2015, arXiv:1502.01852, sec. 2.2; LeCun et al. 1998, Efficient BackProp.

    Args:
        setting: The architecture.
        activation: One of ACTIVATIONS.
        network: Number of the network among those of its activation; decides the draws.
    """
    gain = 2.0 if activation in {"relu", "gelu"} else 1.0
    draws = np.random.default_rng([ACTIVATIONS.index(activation), network])
    layers = []
    for fan_in, fan_out in setting.sizes:
        weight = draws.standard_normal((fan_out, fan_in)) * np.sqrt(gain / fan_in)
        layers.append(LayerWeights(weight.astype(np.float32), np.zeros(fan_out, np.float32)))
    return layers


def batches(num_samples: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the indices `[B]` of one batch after the other, without end.

    Every pass is a new permutation; what does not fill a batch is left out.
    """
    draws = np.random.default_rng(0)
    while True:
        order_N = draws.permutation(num_samples)
        for start in range(0, num_samples - BATCH_SIZE + 1, BATCH_SIZE):
            yield order_N[start : start + BATCH_SIZE]
