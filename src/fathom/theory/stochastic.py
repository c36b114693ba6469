"""Networks drawn without their matrices: the exact law of signal and gradient at any width.

What a network does to two inputs and one gradient needs few of its weights (`matrix_free`). So one
network costs as much as some L vectors of n numbers, and what an expansion in 1/n leaves out is
all there.

Shapes: G products of one or two inputs (`matrix_free`); S networks, L hidden layers, N units of
a layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from fathom.theory.correlation import propagate_correlation
from fathom.theory.finite_width import gradient_statistics
from fathom.theory.gaussian import Moments
from fathom.theory.matrix_free import (
    Chance,
    chance_from,
    dot,
    draw_backward,
    draw_forward,
    draw_normal,
    products,
)
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats

NUM_SAMPLES: Final = 1500  # the mean is then known to 1/39 of the standard deviation
_ELEMENTS_AT_ONCE: Final = 2**19  # 4 MB for each array: what caches hold
_NETWORKS_AT_ONCE: Final = 32  # of fewer, the calls take longer than the numbers
_MOST_ELEMENTS: Final = 2**22  # 32 MB for each array


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRatio:
    """Gradients and pre-activations over the networks that an initialiser draws, each `[L]`.

    Attributes:
        log10_ratio: Mean of log10(g_l / g_L), g = |d| / sqrt(n), d = dL/dh.
        log10_sd: Its standard deviation.
        log10_rms: Mean of log10(|h_l| / sqrt(n_l)).
        log10_rms_sd: Its standard deviation.
        cosine: Mean cosine of the angle between two inputs' pre-activations; NaN where unknown. Of
            the expansion: that of infinitely wide layers.
        blocked_share: Share of networks that let no gradient through, which the other numbers leave
            out, as they do networks whose signal overflows: narrow ReLU networks. Not known to the
            expansion, which says 0.
        method: Where the numbers come from.
        reason: Why the expansion in 1/n was not trusted; empty if it was, or was not asked.
    """

    log10_ratio: Floats
    log10_sd: Floats
    log10_rms: Floats
    log10_rms_sd: Floats
    cosine: Floats
    blocked_share: float
    method: Literal["expansion", "simulation"]
    reason: str = ""


def predicted_gradient_ratio(
    network: Network,
    q_L: Floats,
    moments_L: Sequence[Moments],
    *,
    num_samples: int = NUM_SAMPLES,
    generator: np.random.Generator | None = None,
) -> PredictedRatio:
    """Predict gradients and pre-activations, by the expansion in 1/n where it can be trusted.

    Args:
        network: The network.
        q_L: Variances of the pre-activations at infinite width, `[L]`, each > 0.
        moments_L: The moments of phi_l at q_l, one for each layer.
        num_samples: How many networks are simulated where it comes to that.
        generator: For the simulation; the same numbers on every call when omitted.
    """
    expansion = gradient_statistics(network, q_L, moments_L)
    if expansion.trustworthy:
        return PredictedRatio(
            log10_ratio=expansion.log10_ratio,
            log10_sd=expansion.log10_sd,
            log10_rms=expansion.log10_rms,
            log10_rms_sd=expansion.log10_rms_sd,
            cosine=propagate_correlation(network, q_L),
            blocked_share=0.0,
            method="expansion",
        )
    simulated = simulate_gradient_ratio(network, num_samples, generator or np.random.default_rng(0))
    return replace(simulated, reason=expansion.doubt)


def simulate_gradient_ratio(
    network: Network, num_samples: int, generator: np.random.Generator
) -> PredictedRatio:
    """Draw networks, and measure how two inputs and one gradient pass through each.

    Exact for Gaussian and for orthogonal weights, at any width. The gradient at the last hidden
    layer has a random direction. With N networks a mean is known to 1 / sqrt(N) of the spread, and
    the spread to 1 / sqrt(2 N) of itself where it is Gaussian.

    Source: derived for this project. The numbers are NaN where no network lets a gradient through;
    the cosine is the mean over networks in which neither input has become 0 or overflown.

    Args:
        network: The network.
        num_samples: How many networks, >= 1.
        generator: Where the randomness comes from.
    """
    chance = chance_from(generator)
    parts = [_draw(network, num, chance) for num in _parts(network, num_samples)]
    ratio_SL, rms_SL, cosine_SL = (np.concatenate(part) for part in zip(*parts, strict=True))
    open_S = np.isfinite(ratio_SL).all(1) & np.isfinite(rms_SL).all(1)
    overflown_S = ~(rms_SL < np.inf).all(1)
    log10_ratio, log10_sd = _mean_and_sd(ratio_SL[open_S])
    log10_rms, log10_rms_sd = _mean_and_sd(rms_SL[open_S])
    return PredictedRatio(
        log10_ratio=log10_ratio,
        log10_sd=log10_sd,
        log10_rms=log10_rms,
        log10_rms_sd=log10_rms_sd,
        cosine=_mean_of_known(cosine_SL[open_S]),
        blocked_share=float((~open_S & ~overflown_S).mean()),
        method="simulation",
    )


def _parts(network: Network, num_samples: int) -> list[int]:
    """Divide the networks into parts of about one size that caches hold."""
    elements = max(network.widths) * network.depth
    few = min(_NETWORKS_AT_ONCE, _MOST_ELEMENTS // elements)
    num_parts = -(-num_samples // max(1, few, _ELEMENTS_AT_ONCE // elements))
    return [len(part) for part in np.array_split(np.arange(num_samples), num_parts)]


def _mean_and_sd(x_SL: Floats) -> tuple[Floats, Floats]:
    num, depth = x_SL.shape
    return (x_SL.mean(0), x_SL.std(0)) if num else (np.full(depth, np.nan), np.full(depth, np.nan))


def _mean_of_known(x_SL: Floats) -> Floats:
    """Average what is not NaN; where there is nothing else, return NaN."""
    known_SL = ~np.isnan(x_SL)
    with np.errstate(invalid="ignore"):
        mean: Floats = x_SL.sum(0, where=known_SL) / known_SL.sum(0)
    return mean


class _Pass(NamedTuple):
    """What one layer keeps of an input's way up: W x without the bias, h with it, and phi(h)."""

    linear: Floats
    pre: Floats
    value: Floats


def _draw(network: Network, num: int, chance: Chance) -> tuple[Floats, Floats, Floats]:
    """Return log10(g_l / g_L), log10(|h_l| / sqrt(n_l)) and the cosine, each `[S, L]`."""
    with np.errstate(all="ignore"):
        passes, rms_SL, cosine_SL = _up(network, num, chance)
        return _down(network, passes, chance), rms_SL, cosine_SL


def _up(network: Network, num: int, chance: Chance) -> tuple[list[_Pass], Floats, Floats]:
    """Pass the inputs; a second one only where its angle to the first one is known."""
    rms_SL, cosine_SL = np.empty((2, num, network.depth))
    passes: list[_Pass] = []
    square_S = np.full(num, network.num_features * network.input_square)
    is_pair = not np.isnan(network.input_cosine)
    products_GS = np.array([square_S, network.input_cosine * square_S, square_S])
    products_GS = products_GS if is_pair else products_GS[:1]
    for layer, phi in enumerate(network.activations):
        linear = draw_forward(network, layer, products_GS, chance)
        pre = _biased(linear, network.bias_variance[layer], chance)
        values = [phi.value(h) for h in pre]
        passes.append(_Pass(linear[0], pre[0], values[0]))
        of_h_GS, products_GS = products(pre), products(values)
        rms_SL[:, layer] = np.log10(of_h_GS[0] / network.widths[layer]) / 2
        cosine_SL[:, layer] = _cosine(of_h_GS) if is_pair else np.nan
    return passes, rms_SL, cosine_SL


def _cosine(products_GS: Floats) -> Floats:
    length_S, other_S = np.sqrt(products_GS[0]), np.sqrt(products_GS[2])
    cosine_S = np.clip(products_GS[1] / length_S / other_S, -1, 1)
    return np.where(np.isfinite(products_GS).all(0), cosine_S, np.nan)


def _down(network: Network, passes: list[_Pass], chance: Chance) -> Floats:
    """Pass a gradient of random direction, of length 1 in every layer: nothing underflows."""
    num = len(passes[0].value)
    ratio_SL = np.zeros((num, network.depth))
    grad = _of_length_1(draw_normal((num, network.widths[-1]), chance))[0]
    above = passes.pop()
    for layer in reversed(range(network.depth - 1)):
        below = passes.pop()  # what nobody holds is written over while caches hold it
        back = draw_backward(network, layer + 1, below.value, above.linear, grad, chance)
        back *= network.activations[layer].slope(below.pre)
        grad, length_S = _of_length_1(back)
        units = network.widths[layer + 1] / network.widths[layer]
        ratio_SL[:, layer] = ratio_SL[:, layer + 1] + np.log10(length_S) + np.log10(units) / 2
        above = below
    return ratio_SL


def _biased(linear: list[Floats], variance: float, chance: Chance) -> list[Floats]:
    """Add the bias, which is the same for both inputs."""
    if not variance:
        return linear
    bias = np.sqrt(variance) * draw_normal(linear[0].shape, chance)
    return [image + bias for image in linear]


def _of_length_1(x_SN: Floats) -> tuple[Floats, Floats]:
    length_S = np.sqrt(dot(x_SN, x_SN))
    return x_SN / length_S[:, None], length_S
