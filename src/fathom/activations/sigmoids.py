"""Smooth S-shaped activations: they saturate on both sides."""

import math

import torch
from torch import Tensor

from fathom.activations.base import Activation, FastPath

ATEN = torch.ops.aten


def tanh() -> Activation:
    """Hyperbolic tangent."""

    def slope(h: Tensor) -> Tensor:
        return torch.cosh(h).reciprocal().square()  # 1 - tanh^2 loses all digits in the tails

    def forward(h: Tensor, kept: Tensor) -> None:
        torch.tanh(h, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.tanh_backward.grad_input(grad, act, grad_input=grad)

    return Activation(
        name="tanh",
        value=torch.tanh,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward, keeps=False),
        max_slope=1.0,
        formula="(e^h - e^-h) / (e^h + e^-h)",
        source="LeCun et al. 1998, Efficient backprop",
    )


def sigmoid() -> Activation:
    """Logistic function, from 0 to 1."""

    def slope(h: Tensor) -> Tensor:
        return torch.sigmoid(h) * torch.sigmoid(-h)  # 1 - sigmoid(h) loses all digits for large h

    def forward(h: Tensor, kept: Tensor) -> None:
        torch.sigmoid(h, out=h)

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        ATEN.sigmoid_backward.grad_input(grad, act, grad_input=grad)

    return Activation(
        name="sigmoid",
        value=torch.sigmoid,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward, keeps=False),
        max_slope=0.25,
        formula="1 / (1 + e^-h)",
        source="Rumelhart et al. 1986, Learning representations by back-propagating errors",
    )


def softsign() -> Activation:
    """Like tanh, with tails that fall as 1/h instead of exponentially."""

    def value(h: Tensor) -> Tensor:
        largest = torch.finfo(h.dtype).max
        finite = h.clamp(-largest, largest)  # inf / inf would be NaN
        return finite / (1 + finite.abs())

    def slope(h: Tensor) -> Tensor:
        return (1 + h.abs()).reciprocal().square()

    return Activation(
        name="softsign",
        value=value,
        slope=slope,
        max_slope=1.0,
        formula="h / (1 + |h|)",
        source="Glorot & Bengio 2010, Understanding the difficulty of training deep networks",
    )


def erf() -> Activation:
    """Error function of the normal distribution, whose mean-field maps have closed forms."""
    steepest = 2 / math.sqrt(math.pi)

    def slope(h: Tensor) -> Tensor:
        return steepest * torch.exp(-h.square())

    return Activation(
        name="erf",
        value=torch.erf,
        slope=slope,
        max_slope=steepest,
        formula="2/sqrt(pi) * integral of e^(-t^2) from 0 to h",
        source="Williams 1997, Computing with infinite networks",
    )


FACTORIES = (tanh, sigmoid, softsign, erf)
