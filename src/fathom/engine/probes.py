"""Measurements of one network state on the probe batch, from plain tensors.

Both engines hand over the same `LayerView`s, so that a number means the same thing whichever engine
trained the run. Everything is computed in float64: a gradient of 1e-25 squared is zero in float32.

Shapes: R runs, B batch, I in, O out. Units lie before samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.data.inputs import mean_cosine

SOFT_DEAD_SHARE = 0.01  # a unit that is active on fewer inputs than this is soft-dead
SATURATED_SLOPE = 0.05  # of the activation's largest slope
HISTOGRAM_BINS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """One layer of R networks on the probe batch.

    Attributes:
        pre: Pre-activations h `[R, O, B]`.
        act: Activations phi(n) `[R, O, B]`, where n is h, normalised if the network does so;
            None for the output layer.
        slope: phi'(n) `[R, O, B]`; None for the output layer.
        saturation_slope: Largest |phi'| of each run's activation `[R]`, `inf` where not defined.
        grad_pre: dL/dh `[R, O, B]`.
        grad_weight: dL/dW `[R, I, O]`.
        weight: W `[R, I, O]`.
    """

    pre: Tensor
    act: Tensor | None
    slope: Tensor | None
    saturation_slope: Tensor | None
    grad_pre: Tensor
    grad_weight: Tensor
    weight: Tensor


def measure_layer(view: LayerView) -> dict[str, Tensor]:
    """Compute the layer columns of `records` except `update_ratio`, each `[R]` in float64."""
    grad_weight = _flat(view.grad_weight)
    return {
        **_moments("pre", _flat(view.pre)),
        "pre_cosine": mean_cosine(view.pre.double()),
        "grad_norm": _norm(grad_weight),
        "grad_mean_abs": grad_weight.abs().mean(1),
        "grad_pre_rms": _rms(_flat(view.grad_pre)),
        "weight_norm": _norm(_flat(view.weight)),
        **_activation_columns(view),
    }


def _activation_columns(view: LayerView) -> dict[str, Tensor]:
    if view.act is None or view.slope is None or view.saturation_slope is None:
        absent = torch.full((len(view.pre),), float("nan"), dtype=torch.float64)
        shares = ["dead_share", "soft_dead_share", "saturated_share"]
        return dict.fromkeys(["act_mean", "act_std", "act_rms", *shares], absent)
    alive_share_RO = (view.slope != 0).double().mean(2)
    steepest_R = view.saturation_slope.to(view.slope.device)
    bound_R1 = (SATURATED_SLOPE * steepest_R.double())[:, None]
    saturated_R = (_flat(view.slope).abs() < bound_R1).double().mean(1)
    return {
        **_moments("act", _flat(view.act)),
        "dead_share": (alive_share_RO == 0).double().mean(1),
        "soft_dead_share": (alive_share_RO < SOFT_DEAD_SHARE).double().mean(1),
        # Not defined for an activation that does not level off.
        "saturated_share": torch.where(steepest_R.isinf(), float("nan"), saturated_R),
    }


def _flat(x: Tensor) -> Tensor:
    """Return each run's numbers as a row in float64, so that sums do not depend on the layout."""
    return x.flatten(1).double()


def _moments(prefix: str, x_RN: Tensor) -> dict[str, Tensor]:
    mean = x_RN.mean(1)
    centred = x_RN - mean[:, None]
    return {f"{prefix}_mean": mean, f"{prefix}_std": _rms(centred), f"{prefix}_rms": _rms(x_RN)}


def _rms(x_RN: Tensor) -> Tensor:
    return x_RN.square().mean(1).sqrt()


def _norm(x_RN: Tensor) -> Tensor:
    return x_RN.square().sum(1).sqrt()


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """Return the L2 norm of `after - before` over that of `before`, `[R]` in float64."""
    start = _flat(before)
    return _norm(_flat(after) - start) / _norm(start)


def histograms(view: LayerView) -> Mapping[str, Tensor]:
    """Count values in equal bins between each run's smallest and largest.

    Returns:
        From quantity to `[R, HISTOGRAM_BINS + 2]`: low edge, high edge, counts. A run with a
        non-finite value has NaN edges and zero counts.
    """
    quantities = {"pre_activation": view.pre, "grad_weight": view.grad_weight}
    if view.act is not None:
        quantities["activation"] = view.act
    return {name: _histogram_rows(x.cpu()) for name, x in quantities.items()}


def _histogram_rows(x: Tensor) -> Tensor:
    rows = torch.zeros(x.shape[0], HISTOGRAM_BINS + 2, dtype=torch.float64)
    for run, values in enumerate(_flat(x)):
        if not torch.isfinite(values).all():
            rows[run, :2] = float("nan")
            continue
        low, high = values.aminmax()
        rows[run, 0], rows[run, 1] = low, high
        rows[run, 2:] = torch.histc(values, HISTOGRAM_BINS, low.item(), high.item())
    return rows
