"""The reasons for a prediction, in sentences that carry their numbers."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from fathom.theory.correlation import fixed_correlation
from fathom.theory.critical import Recommendation, recommend
from fathom.theory.fate import Fate, fate
from fathom.theory.meanfield import propagate
from fathom.theory.network import Network
from fathom.theory.predict import Prediction
from fathom.theory.spectrum import jacobian_spread

TRAINABLE_DEPTHS: Final = 6.0  # depth scales xi_c, Schoenholz et al. 2017, fig. 5
_COSINE_DECIMALS: Final = 6
_DECIMALS: Final = 4  # of decades; what is smaller is rounding


def explain(network: Network, prediction: Prediction) -> tuple[str, ...]:
    """Say why a network's layers come out as predicted, and what start would be best.

    Args:
        network: The network.
        prediction: What `theory.predict.predict` says of it.
    """
    return tuple(_sentences(network, prediction))


def _sentences(network: Network, prediction: Prediction) -> Iterator[str]:
    if network.depth > 1:
        yield _gradient(prediction, network.depth)
    if _repeats(network):
        found = _fate(network)
        yield f"Signal, were layers infinitely wide: {found.sentence}"
        yield from _correlation(network, prediction, found)
    spread = float(jacobian_spread(network, propagate(network).q)[-1])
    if math.isfinite(spread):
        yield (
            f"Directions: the squared singular values from input to layer {network.depth} have a "
            f"relative variance of {spread:.3g} (0 would treat all directions alike)."
        )
    for phi in dict.fromkeys(network.activations):
        yield _best_start(recommend(phi))


def _best_start(best: Recommendation) -> str:
    if not best.weight_scale > 0:
        return f"Best start for {best.phi}: there is none; {best.reason}."
    return (
        f"Best start for {best.phi} (init: critical): s_w^2 = {best.weight_scale:.5g}, s_b^2 = "
        f"{best.bias_variance:.4g}; {best.reason}."
    )


def _gradient(prediction: Prediction, depth: int) -> str:
    span, sd = float(prediction.gradient_log10[0]), float(prediction.gradient_log10_sd[0])
    if not math.isfinite(span):
        return _lost(prediction)
    how = {
        "expansion": "to first order in 1/width",
        "simulation": f"simulated, since {prediction.doubt}",
        "mean field": "for infinite width, since numbers end before the last layer",
        "none": "",
    }[prediction.method]
    band = "" if math.isnan(sd) else f" ± {round(sd, _DECIMALS):.2g}"
    told = (
        f"Gradient: {round(span, _DECIMALS) + 0.0:+.3g}{band} decades from layer {depth} back to "
        f"layer 1, {how}."
    )
    if prediction.blocked_share > 0:
        told += (
            f" {prediction.blocked_share:.0%} of the simulated networks let no gradient through; "
            "these are the numbers of the others."
        )
    return told


def _lost(prediction: Prediction) -> str:
    """Say that the gradient has no number, and where the signal lost its own."""
    scale = prediction.pre_log10
    lost = np.flatnonzero(~np.isfinite(scale))
    if not lost.size:
        return "Gradient: none comes back to layer 1."
    what = "has died out" if scale[lost[0]] < 0 else "is beyond all numbers"
    return f"Gradient: without a number, since the signal {what} in layer {lost[0] + 1}."


def _repeats(network: Network) -> bool:
    """Tell whether all layers behind the first are of one kind, so that depth has a limit."""
    kinds = zip(
        network.activations, network.weight_scale[1:], network.bias_variance[1:], strict=False
    )
    return network.depth > 1 and len(set(kinds)) == 1 and len(set(network.activations)) == 1


def _fate(network: Network) -> Fate:
    start = network.weight_scale[0] * network.input_square + network.bias_variance[0]
    return fate(network.activations[0], network.weight_scale[1], network.bias_variance[1], start)


def _correlation(network: Network, prediction: Prediction, found: Fate) -> Iterator[str]:
    last = float(prediction.pre_cosine[-1])
    if not math.isfinite(last):
        return
    text = (
        f"Inputs: two of cosine {network.input_cosine:.3g} come to "
        f"{round(last, _COSINE_DECIMALS):.4g} in layer {network.depth}"
    )
    if 0 < found.q < math.inf:
        end = fixed_correlation(
            network.activations[0], found.q, network.weight_scale[1], network.bias_variance[1]
        )
        if 0 < end.depth_scale < math.inf:
            text += (
                f" and end at {round(end.correlation, _COSINE_DECIMALS):.3g}, with the depth scale "
                f"{end.depth_scale:.3g}: "
                f"{_trainable(TRAINABLE_DEPTHS * end.depth_scale)}"
            )
    yield text + "."


def _trainable(depth: float) -> str:
    if depth < 2:
        return "too short for such a network to train at any depth"
    return f"such networks train down to about {depth:.0f} layers"
