"""Networks drawn without their matrices: the exact law of gradients at any width.

What a network does to one input and one gradient needs few of its weights. Given x, W x is a
Gaussian vector of known variance. Given both, W^T d is known along x, where it is (W x) . d / |x|,
and Gaussian at right angles to x. So one network costs as much as L vectors of n numbers, and
what an expansion in 1/n leaves out is all there.

Shapes: S networks, L hidden layers, O units of a layer, I units of the layer before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from fathom.theory.finite_width import gradient_statistics
from fathom.theory.gaussian import Moments
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats

NUM_SAMPLES: Final = 1500  # the mean is then known to 1/39 of the standard deviation
_ELEMENTS_AT_ONCE: Final = 2**18  # 2 MB for each array: what caches hold
_NETWORKS_AT_ONCE: Final = 32  # of fewer, the calls take longer than the numbers
_MOST_ELEMENTS: Final = 2**22  # 32 MB for each array
_TINY: Final = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedRatio:
    """Gradients and pre-activations over the networks that an initialiser draws, each `[L]`.

    Attributes:
        log10_ratio: Mean of log10(g_l / g_L), g = |d| / sqrt(n), d = dL/dh.
        log10_sd: Its standard deviation.
        log10_rms: Mean of log10(|h_l| / sqrt(n_l)).
        log10_rms_sd: Its standard deviation.
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
            blocked_share=0.0,
            method="expansion",
        )
    simulated = simulate_gradient_ratio(network, num_samples, generator or np.random.default_rng(0))
    return replace(simulated, reason=expansion.doubt)


def simulate_gradient_ratio(
    network: Network, num_samples: int, generator: np.random.Generator
) -> PredictedRatio:
    """Draw networks, and measure how one input and one gradient pass through each.

    Exact for Gaussian and for orthogonal weights, at any width. The gradient at the last hidden
    layer has a random direction.

    Source: derived for this project. The numbers are NaN where no network lets a gradient through.

    Args:
        network: The network.
        num_samples: How many networks, >= 1.
        generator: Where the randomness comes from.
    """
    elements = max(network.widths) * network.depth
    few = min(_NETWORKS_AT_ONCE, _MOST_ELEMENTS // elements)
    at_once = max(1, few, _ELEMENTS_AT_ONCE // elements)
    parts = [
        _draw(network, min(at_once, num_samples - start), generator)
        for start in range(0, num_samples, at_once)
    ]
    ratio_SL, rms_SL = (np.concatenate(part) for part in zip(*parts, strict=True))
    open_S = np.isfinite(ratio_SL).all(1) & np.isfinite(rms_SL).all(1)
    overflown_S = ~(rms_SL < np.inf).all(1)
    log10_ratio, log10_sd = _mean_and_sd(ratio_SL[open_S])
    log10_rms, log10_rms_sd = _mean_and_sd(rms_SL[open_S])
    return PredictedRatio(
        log10_ratio=log10_ratio,
        log10_sd=log10_sd,
        log10_rms=log10_rms,
        log10_rms_sd=log10_rms_sd,
        blocked_share=float((~open_S & ~overflown_S).mean()),
        method="simulation",
    )


def _mean_and_sd(x_SL: Floats) -> tuple[Floats, Floats]:
    num, depth = x_SL.shape
    return (x_SL.mean(0), x_SL.std(0)) if num else (np.full(depth, np.nan), np.full(depth, np.nan))


class _Pass(NamedTuple):
    """What one layer keeps of the forward pass: W x without the bias, and phi(h), phi'(h)."""

    linear: Floats
    value: Floats
    slope: Floats


def _draw(network: Network, num: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return log10(g_l / g_L) and log10(|h_l| / sqrt(n_l)) of some networks, each `[S, L]`."""
    rms_SL = np.empty((num, network.depth))
    ratio_SL = np.zeros((num, network.depth))
    passes: list[_Pass] = []
    square_S = np.full(num, network.num_features * network.input_square)
    with np.errstate(all="ignore"):
        for layer, phi in enumerate(network.activations):
            linear = _forward(network, layer, square_S, generator)
            h = linear + _bias(network, layer, linear.shape, generator)
            passes.append(_Pass(linear, phi.value(h), phi.slope(h)))
            rms_SL[:, layer] = np.log10(_squares(h) / network.widths[layer]) / 2
            square_S = _squares(passes[-1].value)
        # Of length 1 in every layer, so that nothing underflows.
        grad = _of_length_1(generator.standard_normal((num, network.widths[-1])))[0]
        for layer in reversed(range(network.depth - 1)):
            below, above = passes[layer], passes[layer + 1]
            back = _backward(network, layer + 1, below.value, above.linear, grad, generator)
            grad, length_S = _of_length_1(back * below.slope)
            units = network.widths[layer + 1] / network.widths[layer]
            ratio_SL[:, layer] = ratio_SL[:, layer + 1] + np.log10(length_S) + np.log10(units) / 2
    return ratio_SL, rms_SL


def _bias(
    network: Network, layer: int, shape: tuple[int, ...], generator: np.random.Generator
) -> Floats | float:
    variance = network.bias_variance[layer]
    return np.sqrt(variance) * generator.standard_normal(shape) if variance else 0.0


def _forward(
    network: Network, layer: int, square_S: Floats, generator: np.random.Generator
) -> Floats:
    """Draw W x `[S, O]` for vectors x of known |x|^2."""
    num_in, num_out = _fans(network, layer)
    image_SO = generator.standard_normal((len(square_S), num_out))
    if not network.orthogonal:
        variance_S = network.weight_scale[layer] / num_in * square_S
        return image_SO * np.sqrt(variance_S)[:, None]
    lost_S = generator.chisquare(num_in - num_out, len(square_S)) if num_in > num_out else 0.0
    stretch_S = _gain_square(network, layer) * square_S / (_squares(image_SO) + lost_S)
    return image_SO * np.sqrt(stretch_S)[:, None]


def _backward(
    network: Network,
    layer: int,
    x_SI: Floats,
    linear_SO: Floats,
    grad_SO: Floats,
    generator: np.random.Generator,
) -> Floats:
    """Draw W^T d `[S, I]` for vectors d of length 1, given x and W x."""
    num_in, num_out = _fans(network, layer)
    square_S = np.maximum(_squares(x_SI), _TINY)  # x may be 0: then W x is, too
    along_S = np.einsum("so,so->s", linear_SO, grad_SO) / square_S
    across_SI = generator.standard_normal(x_SI.shape)
    overlap_S = np.einsum("si,si->s", x_SI, across_SI) / square_S
    if not network.orthogonal:
        scale_S = np.full(len(x_SI), np.sqrt(network.weight_scale[layer] / num_in))
    else:
        left_S = _gain_square(network, layer) - along_S**2 * square_S
        free_S = _squares(across_SI) - overlap_S**2 * square_S
        if num_out > num_in:
            free_S += generator.chisquare(num_out - num_in, len(x_SI))
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


def _squares(x_SN: Floats) -> Floats:
    squares: Floats = np.einsum("sn,sn->s", x_SN, x_SN)
    return squares


def _of_length_1(x_SN: Floats) -> tuple[Floats, Floats]:
    length_S = np.sqrt(_squares(x_SN))
    return x_SN / length_S[:, None], length_S
