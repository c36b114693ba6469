"""Activations as users write them: a tutorial's own, torch's, and formulas with a trap in them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[[Tensor], Tensor]

STUDY_002: dict[str, Function] = {
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "relu": lambda x: x * (x > 0).to(x.dtype),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.1 * x),
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "swish": lambda x: x * torch.sigmoid(x),
}
TORCH: dict[str, Function] = {
    name: getattr(F, name)
    for name in (
        "relu",
        "leaky_relu",
        "elu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "hardswish",
        "softplus",
        "tanh",
        "sigmoid",
        "softsign",
        "hardtanh",
        "relu6",
        "logsigmoid",
        "tanhshrink",
        "softshrink",
        "hardshrink",
        "hardsigmoid",
        "celu",
    )
}


def root_of_abs(x: Tensor) -> Tensor:
    return torch.sqrt(torch.abs(x))


def sinc(x: Tensor) -> Tensor:
    return torch.sin(x) / x


def naive_softplus(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


def gompertz(x: Tensor) -> Tensor:
    return torch.exp(-torch.exp(-x))


def bent_identity(x: Tensor) -> Tensor:
    return (torch.sqrt(x * x + 1) - 1) / 2 + x
