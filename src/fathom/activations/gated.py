"""Activations h * gate(h) with a gate that rises from 0 to 1: they dip below 0 before they rise.

Far out on the left the gate is exactly 0 in every precision. There h is held at a bound, since
-inf * 0 would be NaN. Far out on both sides the slope is constant, and held likewise.
"""

import functools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.activations.base import Activation, FastPath

ATEN = torch.ops.aten

# Bounds beyond which the gates are 0 or 1 even in float64, whose smallest number is near e^-745.
LOGISTIC_BOUND = 800.0
NORMAL_BOUND = 40.0
MISH_BOUND = 20.0  # tanh(softplus(20)) = 1 - 8e-18

# Slopes where the second derivative is 0: at sqrt(2) for gelu, else a root by 40-digit arithmetic.
GELU_MAX_SLOPE = (1 + math.erf(1)) / 2 + 1 / (math.e * math.sqrt(math.pi))
GELU_TANH_MAX_SLOPE = 1.1289930686587717655  # at 1.4185040087908284
SILU_MAX_SLOPE = 1.0998393201288669170  # at 2.3993572805154677, the root of h * tanh(h/2) = 2
MISH_MAX_SLOPE = 1.0884981612517278612  # at 1.4905711794854285


def gelu(form: Literal["erf", "tanh"] = "erf") -> Activation:
    """Gaussian error linear unit: h times the normal distribution function.

    Args:
        form: `erf` is exact; `tanh` is the approximation, which differs by up to 4.73e-4.

    Raises:
        ValueError: If the form is another.
    """
    if form == "erf":
        value, slope, steepest = _gelu_value, _gelu_slope, GELU_MAX_SLOPE
        formula = "h * (1 + erf(h / sqrt(2))) / 2"
    elif form == "tanh":
        value, slope, steepest = _gelu_tanh_value, _gelu_tanh_slope, GELU_TANH_MAX_SLOPE
        formula = "h * (1 + tanh(sqrt(2/pi) * (h + 0.044715 h^3))) / 2"
    else:
        raise ValueError(f"form: got {form!r}; must be 'erf' or 'tanh'")
    return Activation(
        name="gelu",
        value=value,
        slope=slope,
        fast=_gelu_fast() if form == "erf" else _gelu_tanh_fast(),
        max_slope=steepest,
        formula=formula,
        source="Hendrycks & Gimpel 2016, arXiv:1606.08415, sec. 2",
    )


def _gelu_value(h: Tensor) -> Tensor:
    return h.clamp_min(-NORMAL_BOUND) * _normal_cdf(h)


def _gelu_slope(h: Tensor) -> Tensor:
    x = h.clamp(-NORMAL_BOUND, NORMAL_BOUND)
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    return _normal_cdf(x) + x * density


def _normal_cdf(x: Tensor) -> Tensor:
    return torch.erfc(x * -math.sqrt(0.5)) / 2  # 1 + erf would leave no digit for x < -5


def _gelu_tanh_argument(x: Tensor) -> Tensor:
    return math.sqrt(8 / math.pi) * x * (1 + 0.044715 * x.square())


def _gelu_tanh_value(h: Tensor) -> Tensor:
    x = h.clamp_min(-NORMAL_BOUND)
    return x * torch.sigmoid(_gelu_tanh_argument(x))


def _gelu_tanh_slope(h: Tensor) -> Tensor:
    x = h.clamp(-NORMAL_BOUND, NORMAL_BOUND)
    argument = _gelu_tanh_argument(x)
    argument_slope = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * x.square())
    gate = torch.sigmoid(argument)
    return gate + x * argument_slope * gate * torch.sigmoid(-argument)


def _gelu_fast() -> FastPath:
    """Compute value and slope together: both need Phi(h), the distribution function.

    2 Phi(h) = erfc(-h / sqrt(2)), and the density is e^(-h^2 / 2) / sqrt(2 pi).
    """

    def forward(h: Tensor, kept: Tensor) -> None:
        log_density = _scalar(-math.log(2 * math.pi) / 2, h.dtype, h.device)
        twice_cdf = torch.mul(h, -math.sqrt(0.5)).erfc_()
        density = torch.addcmul(log_density, h, h, value=-0.5, out=kept).exp_()
        torch.addcmul(twice_cdf, h, density, value=2, out=kept)  # twice the slope
        zero = _scalar(0.0, h.dtype, h.device)
        torch.addcmul(zero, h, twice_cdf, value=0.5, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        zero = _scalar(0.0, grad.dtype, grad.device)
        torch.addcmul(zero, grad, kept, value=0.5, out=grad)

    return FastPath(forward=forward, backward=backward)


@functools.cache
def _scalar(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=dtype, device=device)


def _gelu_tanh_fast() -> FastPath:
    def forward(h: Tensor, kept: Tensor) -> None:
        ATEN.gelu.out(kept.copy_(h), approximate="tanh", out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.gelu_backward.grad_input(grad, kept, approximate="tanh", grad_input=grad)

    return FastPath(forward=forward, backward=backward)


def silu() -> Activation:
    """Sigmoid linear unit (swish): h times the logistic function."""

    def value(h: Tensor) -> Tensor:
        return h.clamp_min(-LOGISTIC_BOUND) * torch.sigmoid(h)

    def slope(h: Tensor) -> Tensor:
        x = h.clamp(-LOGISTIC_BOUND, LOGISTIC_BOUND)
        return torch.sigmoid(x) * (1 + x * torch.sigmoid(-x))

    def forward(h: Tensor, kept: Tensor) -> None:
        ATEN.silu.out(kept.copy_(h), out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.silu_backward.grad_input(grad, kept, grad_input=grad)

    return Activation(
        name="silu",
        value=value,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward),
        max_slope=SILU_MAX_SLOPE,
        formula="h / (1 + e^-h)",
        source="Elfwing et al. 2017, arXiv:1702.03118; Ramachandran et al. 2017, arXiv:1710.05941",
    )


def mish() -> Activation:
    """Self-gated: h times tanh of softplus of h."""

    def value(h: Tensor) -> Tensor:
        growth = torch.exp(h.clamp_max(MISH_BOUND))
        odds = growth * (growth + 2)
        return h.clamp_min(-LOGISTIC_BOUND) * (odds / (odds + 2))  # the gate, from positive terms

    def slope(h: Tensor) -> Tensor:
        x = h.clamp(-LOGISTIC_BOUND, MISH_BOUND)
        growth = torch.exp(x)
        odds = growth * (growth + 2)
        gate_slope = 4 * (growth / (odds + 2)) * ((growth + 1) / (odds + 2))
        return odds / (odds + 2) + x * gate_slope

    def forward(h: Tensor, kept: Tensor) -> None:
        kept.copy_(h)
        growth = kept.clamp_max(MISH_BOUND).exp_()
        odds = torch.add(growth, 2, out=h).mul_(growth)
        odds.div_(torch.add(odds, 2, out=growth)).mul_(kept)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        x = kept.clamp(-LOGISTIC_BOUND, MISH_BOUND)
        growth = x.exp()
        odds = (growth + 2).mul_(growth)
        inverse = (odds + 2).reciprocal_()
        growth.mul_(inverse)
        gate_slope = inverse.add(growth).mul_(growth).mul_(4)
        grad.mul_(odds.mul_(inverse).addcmul_(x, gate_slope))

    return Activation(
        name="mish",
        value=value,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward),
        max_slope=MISH_MAX_SLOPE,
        formula="h * tanh(log(1 + e^h))",
        source="Misra 2019, arXiv:1908.08681",
    )


def hardswish() -> Activation:
    """Swish made of straight gates: h times a ramp from -3 to 3."""

    def value(h: Tensor) -> Tensor:
        return h.clamp_min(-3) * (F.relu6(h + 3) / 6)

    def slope(h: Tensor) -> Tensor:
        ramp = torch.where(h >= 3, torch.ones_like(h), (2 * h + 3) / 6)
        return torch.where(h <= -3, torch.zeros_like(h), ramp)

    def forward(h: Tensor, kept: Tensor) -> None:
        ATEN.hardswish.out(kept.copy_(h), out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.hardswish_backward.out(grad, kept, out=grad)

    return Activation(
        name="hardswish",
        value=value,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward),
        kinks=(-3.0, 3.0),
        max_slope=1.5,
        formula="h * min(max(h + 3, 0), 6) / 6",
        source="Howard et al. 2019, arXiv:1905.02244, sec. 5.2",
    )


FACTORIES = (gelu, silu, mish, hardswish)
