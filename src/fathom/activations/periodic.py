"""Periodic activations. At +-inf no limit exists, so that value and slope are NaN there."""

import torch
from torch import Tensor

from fathom.activations.base import Activation


def sin() -> Activation:
    """Sine of h in radians."""
    return Activation(
        name="sin",
        value=torch.sin,
        slope=torch.cos,
        max_slope=1.0,
        formula="sin(h)",
        source="Sitzmann et al. 2020, arXiv:2006.09661",
    )


def cos() -> Activation:
    """Cosine of h in radians."""
    return Activation(
        name="cos",
        value=torch.cos,
        slope=lambda h: -torch.sin(h),
        max_slope=1.0,
        formula="cos(h)",
        source="Rahimi & Recht 2007, Random features for large-scale kernel machines",
    )


def tan() -> Activation:
    """Tangent of h in radians, with poles at odd multiples of pi/2."""

    def slope(h: Tensor) -> Tensor:
        return 1 + torch.tan(h).square()

    return Activation(
        name="tan",
        value=torch.tan,
        slope=slope,
        formula="sin(h) / cos(h)",
        source="elementary function",
    )


FACTORIES = (sin, cos, tan)
