"""Activations made of straight pieces: the rectifiers, hard limits, absolute value and sign."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.activations.base import Activation, FastPath, keep_nan
from fathom.registry import check_number

ATEN = torch.ops.aten


def relu() -> Activation:
    """Rectified linear unit: the positive part of h."""

    def slope(h: Tensor) -> Tensor:
        return keep_nan(h, (h > 0).to(h.dtype))

    def forward(h: Tensor, kept: Tensor) -> None:
        torch.clamp_min(h, 0, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.threshold_backward.grad_input(grad, act, 0, grad_input=grad)  # act > 0 where h > 0

    return Activation(
        name="relu",
        value=F.relu,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward, keeps=False),
        kinks=(0.0,),
        max_slope=1.0,
        formula="max(0, h)",
        source="Nair & Hinton 2010, Rectified linear units improve restricted Boltzmann machines",
    )


def leaky_relu(slope: float = 0.01) -> Activation:
    """Leaky rectified linear unit: a small slope instead of 0 for negative h.

    Args:
        slope: Slope for h <= 0, from -1e6 to 1e6; 0 is `relu`, 1 is `identity`, -1 is `abs`.
    """
    check_number("slope", slope, minimum=-1e6, maximum=1e6)
    negative = float(slope)
    keeps = negative < 0  # otherwise phi(h) has the sign of h

    def value(h: Tensor) -> Tensor:
        return F.leaky_relu(h, negative) if negative else F.relu(h)  # 0 * inf would be NaN

    def derivative(h: Tensor) -> Tensor:
        return keep_nan(h, torch.where(h > 0, torch.ones_like(h), negative))

    def forward(h: Tensor, kept: Tensor) -> None:
        if keeps:
            kept.copy_(h)
        ATEN.leaky_relu.out(h, negative, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        source = kept if keeps else act
        ATEN.leaky_relu_backward.grad_input(grad, source, negative, not keeps, grad_input=grad)

    return Activation(
        name="leaky_relu",
        value=value,
        slope=derivative,
        fast=FastPath(forward=forward, backward=backward, keeps=keeps),
        kinks=() if negative == 1 else (0.0,),
        max_slope=max(1.0, math.fabs(negative)),
        formula="h if h > 0 else slope * h",
        source="Maas et al. 2013, Rectifier nonlinearities improve neural network acoustic models",
    )


def relu6() -> Activation:
    """Rectified linear unit that stops at 6."""
    return _hard_limited(
        "relu6", 0.0, 6.0, source="Krizhevsky 2010, Convolutional deep belief networks on CIFAR-10"
    )


def hardtanh(limit: float = 1.0) -> Activation:
    """Identity between two hard limits.

    Args:
        limit: Largest magnitude of the output, from 1e-6 to 1e6.
    """
    check_number("limit", limit, minimum=1e-6, maximum=1e6)
    return _hard_limited(
        "hardtanh", -limit, limit, source="Collobert 2004, Large scale machine learning (thesis)"
    )


def _hard_limited(name: str, low: float, high: float, *, source: str) -> Activation:
    def value(h: Tensor) -> Tensor:
        return F.hardtanh(h, low, high)

    def slope(h: Tensor) -> Tensor:
        return keep_nan(h, ((h > low) & (h < high)).to(h.dtype))

    def forward(h: Tensor, kept: Tensor) -> None:
        torch.clamp(h, low, high, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.hardtanh_backward.grad_input(grad, act, low, high, grad_input=grad)

    return Activation(
        name=name,
        value=value,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward, keeps=False),
        kinks=(float(low), float(high)),
        max_slope=1.0,
        formula=f"min(max(h, {low:g}), {high:g})",
        source=source,
    )


def abs() -> Activation:
    """Absolute value."""
    return Activation(
        name="abs",
        value=torch.abs,
        slope=_sign,
        kinks=(0.0,),
        max_slope=1.0,
        formula="|h|",
        source="Jarrett et al. 2009, What is the best multi-stage architecture",
    )


def sgn() -> Activation:
    """Sign: -1, 0 or 1. Its slope is 0 everywhere, so nothing below it learns."""

    def slope(h: Tensor) -> Tensor:
        return keep_nan(h, torch.zeros_like(h))

    return Activation(
        name="sgn",
        value=_sign,
        slope=slope,
        kinks=(0.0,),
        max_slope=0.0,
        formula="h / |h|, and 0 at 0",
        source="Rosenblatt 1958, The perceptron",
    )


def _sign(h: Tensor) -> Tensor:
    return keep_nan(h, torch.sgn(h))


FACTORIES = (relu, leaky_relu, relu6, hardtanh, abs, sgn)
