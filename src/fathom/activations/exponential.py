"""Activations with an exponential tail to the left and growth to the right."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.activations.base import Activation, FastPath
from fathom.registry import check_number

ATEN = torch.ops.aten

# The fixed point with mean 0 and variance 1 under unit Gaussian pre-activations.
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

# torch's softplus is h itself above a threshold. Its default, 20, is too low for float64; at 40 the
# missing log(1 + e^-40) is below the rounding of 40, and e^40 is far from overflow in float32.
SOFTPLUS_THRESHOLD = 40.0


def elu(alpha: float = 1.0) -> Activation:
    """Exponential linear unit: h to the right, saturating at -alpha to the left.

    Args:
        alpha: Limit's magnitude, from 0 to 1e6; at 1 the function has no kink.
    """
    check_number("alpha", alpha, minimum=0, maximum=1e6)
    return _exponential_linear(
        "elu",
        scale=1.0,
        alpha=float(alpha),
        formula="h if h > 0 else alpha * (e^h - 1)",
        source="Clevert et al. 2015, arXiv:1511.07289",
    )


def selu() -> Activation:
    """Scaled exponential linear unit, which keeps mean 0 and variance 1."""
    return _exponential_linear(
        "selu",
        scale=SELU_SCALE,
        alpha=SELU_ALPHA,
        formula="1.0507 * (h if h > 0 else 1.6733 * (e^h - 1))",
        source="Klambauer et al. 2017, arXiv:1706.02515",
    )


def _exponential_linear(
    name: str, *, scale: float, alpha: float, formula: str, source: str
) -> Activation:
    def value(h: Tensor) -> Tensor:
        return scale * F.elu(h, alpha)

    def slope(h: Tensor) -> Tensor:
        left = scale * alpha * torch.exp(h.clamp_max(0))
        return torch.where(h > 0, torch.full_like(h, scale), left)

    def forward(h: Tensor, kept: Tensor) -> None:
        ATEN.elu.out(h, alpha, scale, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.elu_backward.grad_input(grad, alpha, scale, 1, True, act, grad_input=grad)

    return Activation(
        name=name,
        value=value,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward, keeps=False),
        kinks=() if alpha == 1 else (0.0,),
        max_slope=scale * max(1.0, alpha),
        formula=formula,
        source=source,
    )


def softplus() -> Activation:
    """Smooth rectifier, always positive."""

    def value(h: Tensor) -> Tensor:
        return F.softplus(h, threshold=SOFTPLUS_THRESHOLD)

    def forward(h: Tensor, kept: Tensor) -> None:
        kept.copy_(h)
        ATEN.softplus.out(h, 1, SOFTPLUS_THRESHOLD, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.softplus_backward.grad_input(grad, kept, 1, SOFTPLUS_THRESHOLD, grad_input=grad)

    return Activation(
        name="softplus",
        value=value,
        slope=torch.sigmoid,
        fast=FastPath(forward=forward, backward=backward),
        max_slope=1.0,
        formula="log(1 + e^h)",
        source="Dugas et al. 2000, Incorporating second-order functional knowledge",
    )


def exp() -> Activation:
    """Exponential function."""
    return Activation(
        name="exp",
        value=torch.exp,
        slope=torch.exp,
        formula="e^h",
        source="elementary function",
    )


FACTORIES = (elu, selu, softplus, exp)
