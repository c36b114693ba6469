"""Networks for the tests of the theory, and networks that are drawn whole, with their matrices.

Shapes: R draws, S settings, L hidden layers, O units of a layer, I units of the layer before.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.registry import Choice, Value
from fathom.theory.gaussian import Moments, moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity, nonlinearity

Law = Literal["gaussian", "uniform"]
WEIGHTS_AT_ONCE = 5e7  # 200 MB of them


def phi(name: str, **params: Value) -> Nonlinearity:
    return nonlinearity(ACTIVATIONS.build(Choice(name, tuple(sorted(params.items())))))


def plain(
    activation: Nonlinearity,
    weight_scale: float,
    *,
    width: int,
    depth: int = 50,
    bias_variance: float = 0.0,
    input_square: float = 1.0,
    orthogonal: bool = False,
) -> Network:
    """Make a network whose layers are all alike."""
    return Network(
        activations=(activation,) * depth,
        widths=(width,) * depth,
        num_features=width,
        weight_scale=(weight_scale,) * depth,
        bias_variance=(bias_variance,) * depth,
        orthogonal=orthogonal,
        input_square=input_square,
    )


def layer_moments(network: Network) -> tuple[Floats, list[Moments]]:
    """Iterate q_1 = s_w^2 x^2 + s_b^2, q_{l+1} = s_w^2 m_2(q_l) + s_b^2."""
    square, variances, rows = network.input_square, [], []
    for activation, scale, bias in zip(
        network.activations, network.weight_scale, network.bias_variance, strict=True
    ):
        variances.append(scale * square + bias)
        rows.append(moments(activation, variances[-1]))
        square = float(rows[-1].square[0])
    return np.array(variances), rows


class Ensemble(NamedTuple):
    """What was measured in R draws of S networks, each `[R, S, L]`.

    Attributes:
        log10_ratio: log10(g_l / g_L), g = |d| / sqrt(n).
        log10_rms: log10(|h_l| / sqrt(n_l)).
        variance: qhat_l = s_w^2 |phi(h_{l-1})|^2 / n_{l-1} + s_b^2.
    """

    log10_ratio: Floats
    log10_rms: Floats
    variance: Floats


def draw(networks: Sequence[Network], num: int, seed: int, *, law: Law = "gaussian") -> Ensemble:
    """Draw networks of one shape; all settings use the same random numbers, scaled.

    Vectors are of length 1 when they meet a matrix, so that float32 is enough there.
    """
    shape = networks[0]
    fans = list(zip((shape.num_features, *shape.widths), shape.widths, strict=False))
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, int(WEIGHTS_AT_ONCE / sum(math.prod(fan) for fan in fans)))
    parts = []
    for start in range(0, num, at_once):
        count = min(at_once, num - start)
        weights = [_weights(count, *fan, shape.orthogonal, law, generator) for fan in fans]
        parts.append(_measure(networks, weights, generator))
    return Ensemble(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _weights(
    num: int, fan_in: int, fan_out: int, orthogonal: bool, law: Law, generator: torch.Generator
) -> Tensor:
    """Draw matrices `[R, O, I]` with fan_in times the variance of an entry equal to 1."""
    if orthogonal:
        tall = torch.empty(num, max(fan_in, fan_out), min(fan_in, fan_out))
        q, r = torch.linalg.qr(tall.normal_(generator=generator))
        q *= r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
        q *= math.sqrt(max(fan_in, fan_out) / fan_in)
        return q if fan_out >= fan_in else q.mT.contiguous()
    weight = torch.empty(num, fan_out, fan_in)
    if law == "uniform":
        limit = math.sqrt(3 / fan_in)
        return weight.uniform_(-limit, limit, generator=generator)
    return weight.normal_(0, 1 / math.sqrt(fan_in), generator=generator)


def _measure(
    networks: Sequence[Network], weights: Sequence[Tensor], generator: torch.Generator
) -> tuple[Floats, Floats, Floats]:
    num, depth = len(weights[0]), len(weights)
    rms, ratio, variance = (np.zeros((num, len(networks), depth)) for _ in range(3))

    def normal(units: int) -> Floats:
        drawn = torch.empty(num, units, 1, dtype=torch.float64).normal_(generator=generator)
        return drawn.expand(-1, -1, len(networks)).numpy()

    input_rms = np.sqrt([network.input_square for network in networks])
    start = normal(weights[0].shape[2])
    act = start / np.sqrt(np.mean(start**2, 1, keepdims=True)) * input_rms
    slopes = []
    for layer, weight in enumerate(weights):
        scale = np.array([network.weight_scale[layer] for network in networks])
        bias = np.array([network.bias_variance[layer] for network in networks])
        variance[:, :, layer] = scale * np.mean(act**2, 1) + bias
        h = np.sqrt(scale) * _times(weight, act)
        if bias.any():
            h = h + np.sqrt(bias) * normal(weight.shape[1])
        rms[:, :, layer] = np.log10(np.mean(h**2, 1)) / 2
        act, slope = np.empty_like(h), np.empty_like(h)
        for s, network in enumerate(networks):
            column = np.ascontiguousarray(h[:, :, s])
            act[:, :, s] = network.activations[layer].value(column)
            slope[:, :, s] = network.activations[layer].slope(column)
        slopes.append(slope)
    grad = normal(weights[-1].shape[1])
    grad = grad / np.sqrt(np.mean(grad**2, 1, keepdims=True))
    for layer in reversed(range(depth - 1)):
        scale = np.array([network.weight_scale[layer + 1] for network in networks])
        grad = slopes[layer] * np.sqrt(scale) * _times(weights[layer + 1].mT, grad)
        mean_square = np.mean(grad**2, 1, keepdims=True)
        grad = grad / np.sqrt(mean_square)
        ratio[:, :, layer] = ratio[:, :, layer + 1] + np.log10(mean_square[:, 0]) / 2
    return ratio, rms, variance


def _times(weight: Tensor, vectors: Floats) -> Floats:
    length = np.sqrt(np.sum(vectors**2, 1, keepdims=True))
    product: Floats = torch.bmm(weight, torch.from_numpy(vectors / length).float()).numpy()
    return product * length
