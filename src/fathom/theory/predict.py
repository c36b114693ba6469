"""What theory says of a network at initialisation, layer by layer."""

from dataclasses import dataclass
from typing import Literal

from fathom.theory.nonlinearity import Floats

Method = Literal["expansion", "simulation", "none"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Per-layer predictions of a network of L hidden layers, layer 1 first.

    Attributes:
        pre_rms: sqrt(q_l), rms of the pre-activations, `[L]`.
        pre_rms_sd: Standard deviation of it over initial weights, `[L]`.
        gradient_log10: Mean of log10 of the rms of dL/dh in a layer over that in layer L, `[L]`.
        gradient_log10_sd: Standard deviation of it over initial weights, `[L]`.
        pre_cosine: Cosine between two inputs' pre-activations, `[L]`; NaN when unknown.
        chi: Factor by which the mean square of the gradient changes in layer l on its way back
            through phi_l, of equal widths, `[L]`.
        map_slope: V'(q_l): how a deviation of q is passed on, `[L]`.
        dead_share: Share of units whose slope is 0 on all probe inputs, `[L]`.
        saturated_share: Share of pairs whose |slope| is below 5 % of its maximum, `[L]`; NaN where
            saturation is not defined.
        method: How the gradient was had: by the expansion in 1/n, by simulating where that fails,
            or not at all.
        obstacle: Why there is no prediction; empty when there is one.
    """

    pre_rms: Floats
    pre_rms_sd: Floats
    gradient_log10: Floats
    gradient_log10_sd: Floats
    pre_cosine: Floats
    chi: Floats
    map_slope: Floats
    dead_share: Floats
    saturated_share: Floats
    method: Method
    obstacle: str = ""
