"""What random matrices make of a few vectors, drawn without the matrices.

Given x, W x is a Gaussian vector of known variance, and for a second input the pair has the Gram
matrix of both. Given x and W x, W^T d is known along x, where it is (W x) . d / |x|, and Gaussian
at right angles to x. Orthogonal matrices keep angles instead: they turn orthonormal vectors into
others that are uniform, of which a layer narrower than its input sees the first entries.

Source: derived for this project.

Shapes: G products of one or two inputs: |x_1|^2, and with a second x_1 . x_2 and |x_2|^2; S
networks, O units of a layer, I units of the layer before, N of either.
"""

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch

from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats

_TINY: Final = np.finfo(np.float64).tiny


class Chance(NamedTuple):
    """Where randomness comes from: torch draws normal numbers at a third of NumPy's time."""

    normal: torch.Generator
    chi_square: np.random.Generator


def chance_from(generator: np.random.Generator) -> Chance:
    """Make both sources out of one.

    Args:
        generator: Decides on all numbers.
    """
    seed = int(generator.integers(2**63))
    return Chance(torch.Generator().manual_seed(seed), generator)


def draw_normal(shape: tuple[int, ...], chance: Chance) -> Floats:
    """Draw standard normal numbers, to 24 bits: more than any number of networks can show.

    Args:
        shape: Of the result.
        chance: Where the randomness comes from.
    """
    drawn: Floats = torch.empty(shape).normal_(generator=chance.normal).double().numpy()
    return drawn


def products(vectors: Sequence[Floats]) -> Floats:
    """Return the scalar products of each network's vectors, `[G, S]`.

    Args:
        vectors: One vector of each network, or two, each `[S, N]`.
    """
    pairs = itertools.combinations_with_replacement(vectors, 2)
    return np.array([dot(one, other) for one, other in pairs])


def dot(x_SN: Floats, y_SN: Floats) -> Floats:
    """Multiply vector by vector, `[S]`.

    Args:
        x_SN: Vectors `[S, N]`.
        y_SN: As many.
    """
    product: Floats = np.einsum("sn,sn->s", x_SN, y_SN)
    return product


def draw_forward(network: Network, layer: int, products_GS: Floats, chance: Chance) -> list[Floats]:
    """Draw W x for one or two vectors x, of which only the scalar products matter.

    The second vector is taken apart into what lies along the first one and what does not, so that
    equal vectors have equal images to the last bit.

    Args:
        network: The network.
        layer: Index of the layer that is reached, from 0.
        products_GS: Scalar products of the layer's inputs, `[G, S]`.
        chance: Where the randomness comes from.

    Returns:
        As many as there are inputs, each `[S, O]`.
    """
    first_SO = _image(network, layer, products_GS[0], chance)
    if len(products_GS) == 1:
        return [first_SO]
    along_S = products_GS[1] / np.maximum(products_GS[0], _TINY)  # x_1 may be 0
    across_S = np.sqrt(np.maximum(products_GS[2] - along_S * products_GS[1], 0.0))
    second_SO = _image_beside(network, layer, products_GS[0], first_SO, chance)
    second_SO *= across_S[:, None]
    second_SO += along_S[:, None] * first_SO
    return [first_SO, second_SO]


def _image(network: Network, layer: int, square_S: Floats, chance: Chance) -> Floats:
    """Draw W x `[S, O]` for vectors x of known |x|^2."""
    num_in, num_out = _fans(network, layer)
    image_SO = draw_normal((len(square_S), num_out), chance)
    if network.orthogonal:
        lost_S = _chi_square(num_in - num_out, len(square_S), chance)
        stretch_S = _gain_square(network, layer) * square_S / (dot(image_SO, image_SO) + lost_S)
    else:
        stretch_S = network.weight_scale[layer] / num_in * square_S
    image_SO *= np.sqrt(stretch_S)[:, None]
    return image_SO


def _image_beside(
    network: Network, layer: int, square_S: Floats, image_SO: Floats, chance: Chance
) -> Floats:
    """Draw W e `[S, O]` for vectors e of length 1 at right angles to x, given W x.

    Orthogonal: a Gaussian vector z loses what lies along the image u of x / |x|, and is brought
    to length 1. Of both, a layer narrower than its input sees the first entries. Of the others only
    their part along the hidden part of u, and their length beside it, matter.
    """
    num_in, num_out = _fans(network, layer)
    normal_SO = draw_normal(image_SO.shape, chance)
    if not network.orthogonal:
        normal_SO *= np.sqrt(network.weight_scale[layer] / num_in)
        return normal_SO
    gain_square = _gain_square(network, layer)
    seen_SO = image_SO / np.sqrt(np.maximum(gain_square * square_S, _TINY))[:, None]
    along_S, square_S = dot(normal_SO, seen_SO), dot(normal_SO, normal_SO)
    if num_in > num_out:
        hidden_S = draw_normal(square_S.shape, chance)
        along_S += hidden_S * np.sqrt(np.maximum(1 - dot(seen_SO, seen_SO), 0.0))
        square_S += hidden_S**2 + _chi_square(num_in - num_out - 1, len(square_S), chance)
    length_S = np.sqrt(np.maximum(square_S - along_S**2, _TINY))  # 0 if there is but one unit
    beside_SO: Floats = (normal_SO - along_S[:, None] * seen_SO) / length_S[:, None]
    beside_SO *= np.sqrt(gain_square)
    return beside_SO


def draw_backward(
    network: Network,
    layer: int,
    x_SI: Floats,
    image_SO: Floats,
    grad_SO: Floats,
    chance: Chance,
) -> Floats:
    """Draw W^T d `[S, I]` for vectors d of length 1, given x and W x.

    Args:
        network: The network.
        layer: Index of the layer from which the gradient comes, from 0.
        x_SI: Inputs of the layer, `[S, I]`.
        image_SO: W x without bias, `[S, O]`.
        grad_SO: d, `[S, O]`.
        chance: Where the randomness comes from.
    """
    num_in, num_out = _fans(network, layer)
    square_S = np.maximum(dot(x_SI, x_SI), _TINY)  # x may be 0: then W x is, too
    along_S = dot(image_SO, grad_SO) / square_S
    across_SI = draw_normal(x_SI.shape, chance)
    overlap_S = dot(across_SI, x_SI) / square_S
    if not network.orthogonal:
        scale_S = np.full(len(x_SI), np.sqrt(network.weight_scale[layer] / num_in))
    else:
        left_S = _gain_square(network, layer) - along_S**2 * square_S
        free_S = dot(across_SI, across_SI) - overlap_S**2 * square_S
        free_S += _chi_square(num_out - num_in, len(x_SI), chance)
        scale_S = np.sqrt(left_S / free_S)
    across_SI *= scale_S[:, None]
    across_SI += (along_S - overlap_S * scale_S)[:, None] * x_SI
    return across_SI


def _fans(network: Network, layer: int) -> tuple[int, int]:
    return (network.num_features, *network.widths)[layer], network.widths[layer]


def _gain_square(network: Network, layer: int) -> float:
    """Return the factor by which an orthogonal matrix changes squared lengths where it keeps all.

    Rows or columns, whichever are fewer, are orthogonal and have one length.
    """
    num_in, num_out = _fans(network, layer)
    return network.weight_scale[layer] * max(num_in, num_out) / num_in


def _chi_square(degrees: int, num: int, chance: Chance) -> Floats:
    return chance.chi_square.chisquare(degrees, num) if degrees > 0 else np.zeros(num)
