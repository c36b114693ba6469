"""Orthogonal weights."""

from typing import Final

import torch
from torch import Tensor

from fathom.initializers.base import NORMAL, Initializer, normal_bias, store
from fathom.registry import check_number
from fathom.threads import one_thread

_SOURCE: Final = (
    "Saxe et al. 2014, arXiv:1312.6120; uniform by Mezzadri 2007, arXiv:math-ph/0609050"
)


def orthogonal(gain: float = 1.0, bias_std: float = 0.0) -> Initializer:
    """Weights with orthonormal rows or columns, whichever are fewer, times a gain.

    A weight `[O, I, *kernel]` counts as a matrix of O rows. With gain 1 a ReLU network halves its
    signal in every layer; sqrt(2) keeps it.

    Source: Saxe et al. 2014, arXiv:1312.6120; the sign correction, without which the matrix is not
    uniform over all orthogonal ones, is Mezzadri 2007, arXiv:math-ph/0609050, sec. 5.

    Not covered: `weight_variance` of a convolution with fan_out above fan_in, as the fans do not
    tell how many rows there are.

    Args:
        gain: Factor of the orthonormal matrix, at least 0.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    check_number("gain", gain, minimum=0)
    bias, bias_variance = normal_bias(bias_std)

    def weight(tensor: Tensor, generator: torch.Generator) -> None:
        matrix = NORMAL.draw(tensor.flatten(1).shape, generator)
        store(tensor, gain * _orthonormalize(matrix).view(tensor.shape))

    return Initializer(
        name="orthogonal",
        weight=weight,
        bias=bias,
        # The squares add up to gain^2 for each of min(I, O) vectors, over I * O entries.
        weight_variance=lambda fan_in, fan_out: gain * gain / max(fan_in, fan_out),
        bias_variance=bias_variance,
        source=_SOURCE,
    )


def _orthonormalize(matrix: Tensor) -> Tensor:
    """Turn a matrix of normal draws into a uniformly distributed one with orthonormal vectors."""
    if matrix.shape[0] < matrix.shape[1]:
        return _orthonormalize(matrix.T).T
    with one_thread():  # the last bits of a QR depend on how many there are
        q, r = torch.linalg.qr(matrix)
    return torch.where(r.diagonal() < 0, -q, q)


FACTORIES: Final = (orthogonal,)
