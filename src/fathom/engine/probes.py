"""Measurements of one network state on the probe batch, from plain tensors.

Both engines hand over the same `LayerView`s, so that a number means the same thing whichever engine
trained the run. Everything is computed in float64: a gradient of 1e-25 squared is zero in float32.

Shapes: R runs, B batch, I in, O out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SOFT_DEAD_SHARE = 0.01  # a unit that is active on fewer inputs than this is soft-dead
SATURATED_SLOPE = 0.05  # of the activation's largest slope
HISTOGRAM_BINS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """One layer of R networks on the probe batch.

    Attributes:
        pre: Pre-activations h `[R, B, O]`.
        act: Activations phi(h) `[R, B, O]`; None for the output layer.
        slope: phi'(h) `[R, B, O]`; None for the output layer.
        saturation_slope: Largest |phi'| of each run's activation `[R]`, `inf` where not defined.
        grad_pre: dL/dh `[R, B, O]`.
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
    pre, grad_pre = view.pre.double(), view.grad_pre.double()
    grad_weight = view.grad_weight.double()
    return {
        **_moments("pre", pre),
        "pre_cosine": mean_cosine(pre),
        "grad_norm": _norm(grad_weight),
        "grad_mean_abs": grad_weight.abs().mean((1, 2)),
        "grad_pre_rms": _rms(grad_pre),
        "weight_norm": _norm(view.weight.double()),
        **_activation_columns(view),
    }


def _activation_columns(view: LayerView) -> dict[str, Tensor]:
    if view.act is None or view.slope is None or view.saturation_slope is None:
        absent = torch.full((view.pre.shape[0],), float("nan"), dtype=torch.float64)
        shares = ["dead_share", "soft_dead_share", "saturated_share"]
        return dict.fromkeys(["act_mean", "act_std", "act_rms", *shares], absent)
    alive_share_RO = (view.slope != 0).double().mean(1)
    bound_R11 = (SATURATED_SLOPE * view.saturation_slope.double()).view(-1, 1, 1)
    saturated_R = (view.slope.double().abs() < bound_R11).double().mean((1, 2))
    return {
        **_moments("act", view.act.double()),
        "dead_share": (alive_share_RO == 0).double().mean(1),
        "soft_dead_share": (alive_share_RO < SOFT_DEAD_SHARE).double().mean(1),
        # Not defined for an activation that does not level off.
        "saturated_share": torch.where(view.saturation_slope.isinf(), float("nan"), saturated_R),
    }


def _moments(prefix: str, x: Tensor) -> dict[str, Tensor]:
    mean = x.mean((1, 2))
    centred = x - mean.view(-1, 1, 1)
    return {f"{prefix}_mean": mean, f"{prefix}_std": _rms(centred), f"{prefix}_rms": _rms(x)}


def _rms(x: Tensor) -> Tensor:
    return x.square().mean((1, 2)).sqrt()


def _norm(x: Tensor) -> Tensor:
    return x.square().sum((1, 2)).sqrt()


def mean_cosine(pre_RBO: Tensor) -> Tensor:
    """Average the cosine between the vectors of two different inputs, over all pairs.

    With unit vectors u_a, the sum of u_a.u_b over a != b is |sum u_a|^2 - B; no B x B matrix is
    formed.

    Returns:
        `[R]`; NaN where an input's vector is zero, for which no angle is defined, or where B is 1.
    """
    num = pre_RBO.shape[1]
    unit = pre_RBO / pre_RBO.norm(dim=2, keepdim=True)
    pairs = num * (num - 1) if num > 1 else float("nan")
    return torch.div(unit.sum(1).square().sum(1) - num, pairs)


def relative_change(before: Tensor, after: Tensor) -> Tensor:
    """Return the L2 norm of `after - before` over that of `before`, `[R]` in float64."""
    start = before.double()
    return _norm(after.double() - start) / _norm(start)


def histograms(views: Sequence[LayerView]) -> list[Mapping[str, Tensor]]:
    """Count values in equal bins between each run's smallest and largest, layer by layer.

    Returns:
        One mapping per layer from quantity to `[R, HISTOGRAM_BINS + 2]`: low edge, high edge,
        counts. A run with a non-finite value has NaN edges and zero counts.
    """
    tables: list[Mapping[str, Tensor]] = []
    for view in views:
        quantities = {"pre_activation": view.pre, "grad_weight": view.grad_weight}
        if view.act is not None:
            quantities["activation"] = view.act
        tables.append({name: _histogram_rows(x) for name, x in quantities.items()})
    return tables


def _histogram_rows(x: Tensor) -> Tensor:
    rows = torch.zeros(x.shape[0], HISTOGRAM_BINS + 2, dtype=torch.float64)
    for run, values in enumerate(x.double().flatten(1)):
        if not torch.isfinite(values).all():
            rows[run, :2] = float("nan")
            continue
        low, high = values.aminmax()
        rows[run, 0], rows[run, 1] = low, high
        rows[run, 2:] = torch.histc(values, HISTOGRAM_BINS, low.item(), high.item())
    return rows
