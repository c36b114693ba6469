"""Initializers whose scale ignores the size of the layer: normal, uniform, constant, zero."""

from typing import Final

import torch
from torch import Tensor

from fathom.initializers.base import NORMAL, UNIFORM, Initializer, independent, normal_bias, store
from fathom.registry import check_number


def normal(std: float = 0.1, mean: float = 0.0, bias_std: float = 0.0) -> Initializer:
    """Normal weights of a fixed standard deviation.

    Args:
        std: Standard deviation of a weight, at least 0.
        mean: Mean of a weight; the mean-field theory assumes 0.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    check_number("std", std, minimum=0)
    check_number("mean", mean)
    variance = std * std
    return independent(
        "normal", NORMAL, lambda fan_in, fan_out: variance, mean=mean, bias_std=bias_std
    )


def uniform(limit: float = 0.1, bias_std: float = 0.0) -> Initializer:
    """Uniform weights on [-limit, limit).

    Args:
        limit: Half the width of the interval, at least 0; the variance is limit^2 / 3.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    check_number("limit", limit, minimum=0)
    variance = limit * limit * UNIFORM.variance
    return independent("uniform", UNIFORM, lambda fan_in, fan_out: variance, bias_std=bias_std)


def constant(value: float = 0.1, bias_std: float = 0.0) -> Initializer:
    """Every weight the same: all units of a layer compute one function and stay equal.

    Args:
        value: The weight.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range.
    """
    check_number("value", value)
    return _equal("constant", value, bias_std)


def zero() -> Initializer:
    """Weights and biases 0: no signal passes, and only the output bias can learn."""
    return _equal("zero", 0.0, 0.0)


def _equal(name: str, value: float, bias_std: float) -> Initializer:
    def weight(tensor: Tensor, generator: torch.Generator) -> None:
        store(tensor, torch.full(tensor.shape, value, dtype=torch.float64))

    bias, bias_variance = normal_bias(bias_std)
    return Initializer(
        name=name,
        weight=weight,
        bias=bias,
        weight_variance=lambda fan_in, fan_out: 0.0,
        bias_variance=bias_variance,
    )


FACTORIES: Final = (normal, uniform, constant, zero)
