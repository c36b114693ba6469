"""The truncated normal, with limits in standard deviations or as torch means them."""

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fathom.initializers.base import NORMAL, Initializer, normal_bias, store
from fathom.registry import check_number

_SOURCE: Final = (
    'Johnson, Kotz and Balakrishnan 1994, "Continuous Univariate Distributions", vol. 1, '
    "sec. 13.10.1"
)
_SMALLEST_SHARE: Final = 1e-300  # float64 has no digits for the distribution function below this
_LOG_NEGLIGIBLE: Final = 40.0  # e^-40 of the highest density adds nothing to a float64 moment


def trunc_normal(
    std: float = 0.1,
    mean: float = 0.0,
    a: float = -2.0,
    b: float = 2.0,
    absolute: bool = False,
    bias_std: float = 0.0,
) -> Initializer:
    """Normal weights cut off at two limits, given in standard deviations.

    A base draw inside the limits is kept and one outside is drawn again, so that the weights are
    those of `normal` wherever those lie inside.

    Source: Johnson, Kotz and Balakrishnan 1994, "Continuous Univariate Distributions", vol. 1,
    sec. 13.10.1.

    Args:
        std: Standard deviation *before* truncation, above 0; cut at +-2, weights have 0.88 of it.
        mean: Mean before truncation.
        a: Lower limit, in standard deviations from the mean.
        b: Upper limit, above `a`.
        absolute: Take `a` and `b` as values of weights instead, as `torch.nn.init.trunc_normal_`
            does: with std 0.1 the limits -2 and 2 lie 20 standard deviations out and cut nothing.
        bias_std: Standard deviation of the biases, at least 0.

    Raises:
        ValueError: If a parameter is out of its range or no weight can lie between the limits.
    """
    check_number("std", std, above=0)
    for name, value in (("mean", mean), ("a", a), ("b", b)):
        check_number(name, value)
    if a >= b:
        raise ValueError(f"a: got {a:g} with b = {b:g}; a must be below b")
    low, high = ((a - mean) / std, (b - mean) / std) if absolute else (a, b)
    if _share(low, high) < _SMALLEST_SHARE:
        raise ValueError(
            f"a, b: no weight lies between {low:g} and {high:g} standard deviations from the mean; "
            "bring the limits nearer to it"
        )
    bias, bias_variance = normal_bias(bias_std)

    def weight(tensor: Tensor, generator: torch.Generator) -> None:
        noise = _keep_inside(NORMAL.draw(tensor.shape, generator), low, high, generator)
        store(tensor, std * noise + mean)

    return Initializer(
        name="trunc_normal",
        weight=weight,
        bias=bias,
        weight_variance=lambda fan_in, fan_out: std * std * truncated_variance(low, high),
        bias_variance=bias_variance,
        source=_SOURCE,
    )


def truncated_variance(low: float, high: float) -> float:
    """Return the variance of a standard normal variable, given that it lies between two limits.

    It is 1 + (low p(low) - high p(high)) / Z - ((p(low) - p(high)) / Z)^2 with the density p and
    the share Z inside, but that form cancels for narrow or distant limits. Gauss-Legendre nodes
    over the part that matters keep 12 digits.

    Args:
        low: Lower limit.
        high: Upper limit, above `low`.
    """
    mode = min(max(0.0, low), high)
    reach = math.sqrt(mode * mode + 2 * _LOG_NEGLIGIBLE)
    start, end = max(low, -reach), min(high, reach)
    nodes, weights = np.polynomial.legendre.leggauss(128)
    x = (start + end) / 2 + (end - start) / 2 * nodes
    density = weights * np.exp((mode - x) * (mode + x) / 2)
    density /= density.sum()
    return float(density @ (x - density @ x) ** 2)


def _keep_inside(noise: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Replace the entries outside the limits by fresh ones from inside."""
    outside = (noise < low) | (noise > high)
    count = int(outside.sum())
    noise[outside] = _quantile(
        torch.rand(count, dtype=torch.float64, generator=generator), low, high
    )
    return noise


def _quantile(share: Tensor, low: float, high: float) -> Tensor:
    if low > 0:  # the lower tail is where the distribution function has its digits
        return -_quantile(share, -high, -low)
    probability = _cdf(low) + share * (_cdf(high) - _cdf(low))
    fresh: Tensor = torch.special.ndtri(probability)
    return fresh.clamp(low, high)


def _share(low: float, high: float) -> float:
    return _share(-high, -low) if low > 0 else _cdf(high) - _cdf(low)


def _cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


FACTORIES: Final = (trunc_normal,)
