"""Integer powers of h: identity, square and reciprocal."""

import torch
from torch import Tensor

from fathom.activations.base import Activation, FastPath, keep_nan

ELEMENTARY = "elementary function"


def identity() -> Activation:
    """No nonlinearity: the network stays linear in its input."""

    def slope(h: Tensor) -> Tensor:
        return keep_nan(h, torch.ones_like(h))

    def forward(h: Tensor, kept: Tensor) -> None:
        """Leave h as it is."""

    def backward(grad: Tensor, kept: Tensor, act: Tensor) -> None:
        """Leave the gradient: the slope is 1."""

    return Activation(
        name="identity",
        value=torch.clone,
        slope=slope,
        fast=FastPath(forward=forward, backward=backward, keeps=False),
        max_slope=1.0,
        formula="h",
        source=ELEMENTARY,
    )


def square() -> Activation:
    """Square of h."""
    return Activation(
        name="square",
        value=torch.square,
        slope=lambda h: 2 * h,
        formula="h^2",
        source=ELEMENTARY,
    )


def reciprocal() -> Activation:
    """One over h, with a pole at 0: values there are +-inf by the sign of the zero."""
    return Activation(
        name="reciprocal",
        value=torch.reciprocal,
        slope=lambda h: -torch.reciprocal(h).square(),
        kinks=(0.0,),
        formula="1 / h",
        source=ELEMENTARY,
    )


FACTORIES = (identity, square, reciprocal)
