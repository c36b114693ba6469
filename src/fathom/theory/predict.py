"""What theory says of a network at initialisation, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from fathom.theory.correlation import propagate_correlation
from fathom.theory.dead_units import dead_probability
from fathom.theory.gaussian import sample
from fathom.theory.meanfield import Propagation, propagate
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity
from fathom.theory.stochastic import PredictedRatio, predicted_gradient_ratio

Method = Literal["expansion", "simulation", "mean field", "none"]
NUM_SAMPLES: Final = 80  # where it simulates: 50 layers of 128 units in half a tenth of a second
_FEWEST_SAMPLES: Final = 50  # of networks so large that 80 would take many seconds
_MOST_ELEMENTS: Final = 10_000_000  # units of all simulated networks together
SATURATED_SLOPE: Final = 0.05  # of the largest slope; as the engines count


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Per-layer predictions of a network of L hidden layers, layer 1 first.

    Means and standard deviations are those over initial weights.

    Attributes:
        pre_log10: Mean of log10 of the rms of the pre-activations, `[L]`.
        pre_log10_sd: Standard deviation of it, `[L]`.
        gradient_log10: Mean of log10 of the rms of dL/dh in a layer over that in layer L, `[L]`.
        gradient_log10_sd: Standard deviation of it, `[L]`.
        pre_cosine: Mean cosine between two inputs' pre-activations, `[L]`; NaN when unknown. Of
            infinitely wide layers where it was not simulated.
        chi: Factor by which layer l+1's weights and phi_l change the mean square of the gradient on
            its way back, for equal widths, `[L]`; NaN in layer L.
        map_slope: V'(q_l), by which a deviation of q is passed on, `[L]`; NaN in layer L.
        dead_share: Share of units whose slope is 0 on all probe inputs, `[L]`.
        saturated_share: Share of pairs whose |slope| is below 5 % of its maximum, `[L]`, to about
            0.01; NaN where saturation is not defined.
        method: Where gradient and scale come from: the expansion in 1/n, a simulation where that
            fails, bare mean field (without standard deviations) where numbers end, or nowhere.
        doubt: Why it was simulated; empty where it was not.
        blocked_share: Share of simulated networks that let no gradient through, which gradient and
            scale leave out.
        obstacle: Why there is no prediction; empty when there is one.
    """

    pre_log10: Floats
    pre_log10_sd: Floats
    gradient_log10: Floats
    gradient_log10_sd: Floats
    pre_cosine: Floats
    chi: Floats
    map_slope: Floats
    dead_share: Floats
    saturated_share: Floats
    method: Method
    doubt: str = ""
    blocked_share: float = 0.0
    obstacle: str = ""


def predict(network: Network, num_probes: int) -> Prediction:
    """Predict a network layer by layer.

    Poles, infinite moments and slopes that are 0 have no number: they get an obstacle in words.

    Where 80 networks are simulated, means are known to 1/9 of the spread from network to network
    (one standard error) and the spread to 1/12 of itself; of 50 networks, where all together would
    have more than 10 million units: 1/7 and 1/10. The same network gets the same numbers.

    Args:
        network: The network.
        num_probes: Inputs on which a dead unit has to be dead, at least 1.
    """
    reason = obstacle(network)
    if reason:
        return without_prediction(network.depth, reason)
    infinite = propagate(network)
    finite = _at_finite_width(network, infinite)
    if finite is not None and finite.blocked_share > 0.5:
        return without_prediction(network.depth, _blocked(finite.blocked_share))
    cosine_L = propagate_correlation(network, infinite.q) if finite is None else finite.cosine

    def dead(phi: Nonlinearity, layers: list[int]) -> Floats:
        return dead_probability(phi, infinite.q[layers], cosine_L[layers], num_probes)

    def saturated(phi: Nonlinearity, layers: list[int]) -> Floats:
        return _saturated_share(phi, infinite.q[layers])

    with np.errstate(all="ignore"):
        rms_L = np.log10(infinite.q) / 2
    unknown = np.full(network.depth, np.nan)
    return Prediction(
        pre_log10=rms_L if finite is None else finite.log10_rms,
        pre_log10_sd=unknown if finite is None else finite.log10_rms_sd,
        gradient_log10=infinite.gradient_log10 if finite is None else finite.log10_ratio,
        gradient_log10_sd=unknown if finite is None else finite.log10_sd,
        pre_cosine=cosine_L,
        chi=np.append(infinite.chi, np.nan),
        map_slope=np.append(infinite.map_slope, np.nan),
        dead_share=_by_activation(network, dead),
        saturated_share=_by_activation(network, saturated),
        method="mean field" if finite is None else finite.method,
        doubt="" if finite is None else finite.reason,
        blocked_share=0.0 if finite is None else finite.blocked_share,
    )


def _blocked(share: float) -> str:
    return (
        f"no gradient: in {share:.0%} of simulated networks all units of some layer are flat, and "
        "nothing passes back"
    )


def without_prediction(depth: int, reason: str) -> Prediction:
    """Return a prediction that says nothing but why."""
    unknown = np.full(depth, np.nan)
    return Prediction(
        pre_log10=unknown,
        pre_log10_sd=unknown,
        gradient_log10=unknown,
        gradient_log10_sd=unknown,
        pre_cosine=unknown,
        chi=unknown,
        map_slope=unknown,
        dead_share=unknown,
        saturated_share=unknown,
        method="none",
        obstacle=reason,
    )


def obstacle(network: Network) -> str:
    """Say in words why there is no number for a network; empty where there is one."""
    for phi in dict.fromkeys(network.activations):
        if phi.moves_units:
            return f"{phi.name} mixes units; no mean-field limit is known here"
        if np.isnan(phi.value(_WIDE)).any() or np.isnan(phi.slope(_WIDE)).any():
            return f"no mean-field limit: {phi.name} is not defined for some inputs within 16 of 0"
        if phi.value_diverges:
            return f"no mean-field limit: {phi.name} has poles, and sums of its values no variance"
        if phi.slope_is_zero:
            return f"no gradient: the slope of {phi.name} is 0 almost everywhere"
        if phi.slope_diverges:
            return f"no mean-field limit: the slope of {phi.name} has poles and no variance"
        if not np.isfinite(phi.value(_USUAL)).all() or not np.isfinite(phi.slope(_USUAL)).all():
            return f"no mean-field limit: {phi.name} is not finite for some inputs between -4 and 4"
    if network.weight_scale[0] * network.input_square + network.bias_variance[0] == 0:
        return "no signal: the weights of the first layer or all inputs are 0"
    for layer, scale in enumerate(network.weight_scale[1:], start=2):
        if scale == 0:
            return f"no gradient: the weights of layer {layer} are 0"
    return ""


# Beside breaks at simple numbers.
_USUAL: Final = np.linspace(-4, 4, 101) + 0.00123456789
_WIDE: Final = np.linspace(-16, 16, 401) + 0.00123456789


def _at_finite_width(network: Network, infinite: Propagation) -> PredictedRatio | None:
    """Correct for the width; None where q, or a network that is drawn, leaves what numbers hold."""
    if infinite.lost_at is not None:
        return None
    affordable = _MOST_ELEMENTS // sum(network.widths)
    num_samples = min(NUM_SAMPLES, max(_FEWEST_SAMPLES, affordable))
    with np.errstate(all="ignore"):
        found = predicted_gradient_ratio(
            network, infinite.q, infinite.moments, num_samples=num_samples
        )
    numbers = (found.log10_ratio, found.log10_sd, found.log10_rms, found.log10_rms_sd)
    usable = found.blocked_share > 0.5 or all(np.isfinite(number).all() for number in numbers)
    return found if usable else None


def _by_activation(network: Network, share: Callable[[Nonlinearity, list[int]], Floats]) -> Floats:
    """Ask once for all layers of an activation."""
    shares = np.full(network.depth, np.nan)
    for phi in dict.fromkeys(network.activations):
        layers = [layer for layer, other in enumerate(network.activations) if other is phi]
        shares[layers] = share(phi, layers)
    return shares


def _saturated_share(phi: Nonlinearity, q_Q: Floats) -> Floats:
    shares = np.full(len(q_Q), np.nan)
    known = np.isfinite(q_Q) & (q_Q > 0)
    if np.isfinite(phi.saturation_slope) and known.any():
        at = sample(phi, q_Q[known])
        limit = SATURATED_SLOPE * phi.saturation_slope
        shares[known] = at.mean((np.abs(at.slope) < limit).astype(np.float64))
    return shares
