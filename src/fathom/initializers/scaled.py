"""Initializers whose variance follows the fans of the layer: He, Xavier, LeCun, torch's default."""

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from fathom.errors import suggestion
from fathom.initializers.base import (
    NORMAL,
    UNIFORM,
    Initializer,
    Noise,
    fans,
    independent,
    store,
)
from fathom.registry import check_number

Mode = Literal["fan_in", "fan_out", "fan_avg"]
Variance = Callable[[int, int], float]

_HE: Final = "He et al. 2015, arXiv:1502.01852, sec. 2.2"
_XAVIER: Final = "Glorot and Bengio 2010, AISTATS, eqs 12 and 16"
_LECUN: Final = 'LeCun et al. 1998, "Efficient BackProp", sec. 4.6'


def he_normal(factor: float = 2.0, mode: Mode = "fan_in", bias_std: float = 0.0) -> Initializer:
    """Normal weights of variance factor / fan; 2 keeps the scale of ReLU networks.

    Source: He et al. 2015, arXiv:1502.01852, sec. 2.2.

    Args:
        factor: Variance times fan, at least 0; with `fan_in` it is the theory's s_w^2.
        mode: Which fan divides: `fan_in`, `fan_out` or `fan_avg`, the mean of both.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    return _he("he_normal", NORMAL, factor, mode, bias_std)


def he_uniform(factor: float = 2.0, mode: Mode = "fan_in", bias_std: float = 0.0) -> Initializer:
    """Uniform weights of variance factor / fan; 2 keeps the scale of ReLU networks.

    Source: He et al. 2015, arXiv:1502.01852, sec. 2.2.

    Args:
        factor: Variance times fan, at least 0; with `fan_in` it is the theory's s_w^2.
        mode: Which fan divides: `fan_in`, `fan_out` or `fan_avg`, the mean of both.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    return _he("he_uniform", UNIFORM, factor, mode, bias_std)


def xavier_normal(gain: float = 1.0, bias_std: float = 0.0) -> Initializer:
    """Normal weights of variance 2 gain^2 / (fan_in + fan_out).

    Source: Glorot and Bengio 2010, AISTATS, eq. 12.

    Args:
        gain: Factor of the standard deviation, at least 0.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    return _gained("xavier_normal", NORMAL, gain, _fan_avg, bias_std, _XAVIER)


def xavier_uniform(gain: float = 1.0, bias_std: float = 0.0) -> Initializer:
    """Uniform weights of variance 2 gain^2 / (fan_in + fan_out).

    Source: Glorot and Bengio 2010, AISTATS, eq. 16.

    Args:
        gain: Factor of the standard deviation, at least 0.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    return _gained("xavier_uniform", UNIFORM, gain, _fan_avg, bias_std, _XAVIER)


def lecun_normal(gain: float = 1.0, bias_std: float = 0.0) -> Initializer:
    """Normal weights of variance gain^2 / fan_in.

    Source: LeCun et al. 1998, "Efficient BackProp", sec. 4.6.

    Args:
        gain: Factor of the standard deviation, at least 0.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    return _gained("lecun_normal", NORMAL, gain, _fan_in, bias_std, _LECUN)


def lecun_uniform(gain: float = 1.0, bias_std: float = 0.0) -> Initializer:
    """Uniform weights of variance gain^2 / fan_in.

    Source: LeCun et al. 1998, "Efficient BackProp", sec. 4.6.

    Args:
        gain: Factor of the standard deviation, at least 0.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    return _gained("lecun_uniform", UNIFORM, gain, _fan_in, bias_std, _LECUN)


def torch_default() -> Initializer:
    """What `nn.Linear` and `nn.Conv2d` do: weights and biases uniform on +-1 / sqrt(fan_in).

    Source: torch.nn.Linear, documentation of its variables; s_w^2 is 1/3.
    """

    def weight(tensor: Tensor, generator: torch.Generator) -> None:
        bias(tensor, fans(tensor)[0], generator)

    def bias(tensor: Tensor, fan_in: int, generator: torch.Generator) -> None:
        store(tensor, UNIFORM.draw(tensor.shape, generator) / math.sqrt(fan_in))

    return Initializer(
        name="torch_default",
        weight=weight,
        bias=bias,
        weight_variance=lambda fan_in, fan_out: UNIFORM.variance / fan_in,
        bias_variance=lambda fan_in: UNIFORM.variance / fan_in,
        source="torch.nn.Linear, documentation of its variables",
    )


def _fan_in(fan_in: int, fan_out: int) -> float:
    return fan_in


def _fan_out(fan_in: int, fan_out: int) -> float:
    return fan_out


def _fan_avg(fan_in: int, fan_out: int) -> float:
    return (fan_in + fan_out) / 2.0


_FANS: Final = {"fan_in": _fan_in, "fan_out": _fan_out, "fan_avg": _fan_avg}


def _he(name: str, noise: Noise, factor: float, mode: str, bias_std: float) -> Initializer:
    check_number("factor", factor, minimum=0)
    if mode not in _FANS:
        raise ValueError(
            f"mode: got '{mode}'; must be one of {', '.join(get_args(Mode))}."
            f"{suggestion(str(mode), _FANS)}"
        )
    return _over_fan(name, noise, factor, _FANS[mode], bias_std, _HE)


def _gained(
    name: str, noise: Noise, gain: float, fan: Variance, bias_std: float, source: str
) -> Initializer:
    check_number("gain", gain, minimum=0)
    return _over_fan(name, noise, gain * gain, fan, bias_std, source)


def _over_fan(
    name: str, noise: Noise, factor: float, fan: Variance, bias_std: float, source: str
) -> Initializer:
    def variance(fan_in: int, fan_out: int) -> float:
        return factor / fan(fan_in, fan_out)

    return independent(name, noise, variance, bias_std=bias_std, source=source)


FACTORIES: Final = (
    he_normal,
    he_uniform,
    xavier_normal,
    xavier_uniform,
    lecun_normal,
    lecun_uniform,
    torch_default,
)
