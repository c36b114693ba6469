"""Elementwise activations phi(h), each with its derivative phi'(h) written beside it.

Every formula is in a form that neither overflows nor cancels. At a kink the slope is the one that
torch's own backward uses. At +-inf both give their limits, and NaN gives NaN: comparisons answer
False for NaN, so `_keep_nan` puts it back where they decide.

`sort` and `permute` move a layer's units and leave the numbers as they are: here they are the
identity, and `layers.Reordering` does the rest.
"""

import functools
import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np

from fathom.reference.arrays import Array, Flags
from fathom.reference.spline import spline_sigmoid, spline_sigmoid_slope

# Source: Klambauer et al. 2017, arXiv:1706.02515, eq. 14.
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772

# Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, sec. 2.
GELU_CUBIC = 0.044715

# Left of these bounds e^h, or e^(-h^2/2), is 0 in float64; -inf * 0 would be NaN there.
LOGISTIC_BOUND = 800.0
NORMAL_BOUND = 40.0


class Activation(NamedTuple):
    """An activation and its derivative; both map an array to one of its shape.

    Attributes:
        value: phi.
        slope: phi'.
        order: What a sample's units are put in the order of before phi: their `own` numbers, or
            the `input` of the layer; empty where they stay.
    """

    value: Callable[..., Array]
    slope: Callable[..., Array]
    order: Literal["", "own", "input"] = ""


def activation(name: str, **parameters: object) -> Activation:
    """Look an activation up and bind its parameters.

    Args:
        name: One of `ACTIVATIONS`.
        parameters: Its own, such as `slope` of `leaky_relu`; what is left out has its default.

    Returns:
        phi and phi' as functions of `h` alone. An overflow gives inf, without a warning.

    Raises:
        ValueError: If there is none of that name.

    >>> activation("leaky_relu", slope=0.1).value(np.array([-2.0, 3.0]))
    array([-0.2,  3. ])
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: got {name!r}; must be one of {', '.join(ACTIVATIONS)}")
    quiet = np.errstate(over="ignore", divide="ignore", invalid="ignore")
    phi = ACTIVATIONS[name]
    value, slope = (quiet(functools.partial(f, **parameters)) for f in (phi.value, phi.slope))
    return phi._replace(value=value, slope=slope)


def _keep_nan(h: Array, result: Array | Flags | float) -> Array:
    return np.where(np.isnan(h), h, result)


# Powers: h, h^2, 1/h --------------------------------------------------------------------------


def _identity(h: Array) -> Array:
    return h.copy()


def _identity_slope(h: Array) -> Array:
    return _keep_nan(h, 1.0)


def _square_slope(h: Array) -> Array:
    return 2 * h


def _reciprocal_slope(h: Array) -> Array:
    return -np.square(1 / h)  # d(h^-1)/dh = -h^-2


# Straight pieces: phi' is the slope of the piece that h lies in --------------------------------


def _relu(h: Array) -> Array:
    return np.maximum(h, 0)


def _relu_slope(h: Array) -> Array:
    return _keep_nan(h, h > 0)


def _leaky_relu(h: Array, slope: float = 0.01) -> Array:
    return np.where(h > 0, h, slope * h) if slope else _relu(h)  # 0 * -inf would be NaN


def _leaky_relu_slope(h: Array, slope: float = 0.01) -> Array:
    return _keep_nan(h, np.where(h > 0, 1.0, slope))


def _relu6(h: Array) -> Array:
    return np.clip(h, 0, 6)


def _relu6_slope(h: Array) -> Array:
    return _keep_nan(h, (h > 0) & (h < 6))


def _hardtanh(h: Array, limit: float = 1.0) -> Array:
    return np.clip(h, -limit, limit)


def _hardtanh_slope(h: Array, limit: float = 1.0) -> Array:
    return _keep_nan(h, np.abs(h) < limit)


def _sgn_slope(h: Array) -> Array:
    return _keep_nan(h, 0.0)


# Exponential to the left, growing to the right -------------------------------------------------


def _elu(h: Array, alpha: float = 1.0) -> Array:
    return np.where(h > 0, h, alpha * np.expm1(np.minimum(h, 0)))


def _elu_slope(h: Array, alpha: float = 1.0) -> Array:
    return np.where(h > 0, 1.0, alpha * np.exp(np.minimum(h, 0)))


def _selu(h: Array) -> Array:
    return SELU_SCALE * _elu(h, SELU_ALPHA)


def _selu_slope(h: Array) -> Array:
    return SELU_SCALE * _elu_slope(h, SELU_ALPHA)


def _softplus(h: Array) -> Array:
    return np.logaddexp(0, h)  # ln(1 + e^h), with slope e^h / (1 + e^h) = sigmoid(h)


# S-shaped: flat on both sides ------------------------------------------------------------------


def _tanh_slope(h: Array) -> Array:
    return np.square(1 / np.cosh(h))  # 1 - tanh^2 would cancel in the tails


def _sigmoid(h: Array) -> Array:
    # 1 / (1 + e^-h) = e^h / (1 + e^h): the one whose exponential is at most 1.
    small: Array = np.exp(-np.abs(h))
    return np.where(h >= 0, 1, small) / (1 + small)


def _sigmoid_slope(h: Array) -> Array:
    # s = 1 / (1 + e^-h) => s' = e^-h / (1 + e^-h)^2 = s(h) (1 - s(h)) = s(h) s(-h), which is even.
    small: Array = np.exp(-np.abs(h))
    return small / (1 + small) ** 2


def _softsign(h: Array) -> Array:
    largest = np.finfo(np.float64).max
    finite = np.clip(h, -largest, largest)  # inf / inf would be NaN
    size: Array = np.abs(finite)
    return finite / (1 + size)


def _softsign_slope(h: Array) -> Array:
    # h > 0: (h / (1 + h))' = (1 + h - h) / (1 + h)^2; odd functions have even slopes.
    return np.square(1 / (1 + np.abs(h)))


def _erf(h: Array) -> Array:
    return _each(math.erf, h)


def _erf_slope(h: Array) -> Array:
    return 2 / math.sqrt(math.pi) * np.exp(-np.square(h))


def _each(function: Callable[[float], float], h: Array) -> Array:
    """Apply a function of the standard library: NumPy has no error function."""
    return np.fromiter(map(function, h.ravel().tolist()), np.float64, h.size).reshape(h.shape)


# Gated: phi = h g(h) with a gate g from 0 to 1, so that phi' = g + h g' ------------------------


def _gelu(h: Array, form: Literal["erf", "tanh"] = "erf") -> Array:
    x = np.maximum(h, -NORMAL_BOUND)
    return x * (_normal_cdf(x) if form == "erf" else _sigmoid(_gelu_argument(x)))


def _gelu_slope(h: Array, form: Literal["erf", "tanh"] = "erf") -> Array:
    x = np.clip(h, -NORMAL_BOUND, NORMAL_BOUND)
    if form == "erf":  # Phi' is the density of the normal distribution
        return _normal_cdf(x) + x * np.exp(-np.square(x) / 2) / math.sqrt(2 * math.pi)
    argument = _gelu_argument(x)
    argument_slope = math.sqrt(8 / math.pi) * (1 + 3 * GELU_CUBIC * np.square(x))
    return _sigmoid(argument) + x * argument_slope * _sigmoid_slope(argument)


def _normal_cdf(x: Array) -> Array:
    return _each(math.erfc, -x / math.sqrt(2)) / 2  # (1 + erf) / 2 would cancel to the left


def _gelu_argument(x: Array) -> Array:
    """Return u for the gate (1 + tanh(u / 2)) / 2 = sigmoid(u) of the tanh form."""
    return math.sqrt(8 / math.pi) * (x + GELU_CUBIC * x**3)


def _silu(h: Array) -> Array:
    return np.maximum(h, -LOGISTIC_BOUND) * _sigmoid(h)


def _silu_slope(h: Array) -> Array:
    x = np.clip(h, -LOGISTIC_BOUND, LOGISTIC_BOUND)
    return _sigmoid(x) + x * _sigmoid_slope(x)


def _mish(h: Array) -> Array:
    return np.maximum(h, -LOGISTIC_BOUND) * np.tanh(_softplus(h))


def _mish_slope(h: Array) -> Array:
    # The gate is tanh(p), p = softplus(h): g' = tanh'(p) p' = tanh'(p) sigmoid(h).
    x = np.clip(h, -LOGISTIC_BOUND, LOGISTIC_BOUND)
    p = _softplus(x)
    return np.tanh(p) + x * _tanh_slope(p) * _sigmoid(x)


def _hardswish(h: Array) -> Array:
    return np.maximum(h, -3) * np.clip(h + 3, 0, 6) / 6


def _hardswish_slope(h: Array) -> Array:
    # The middle piece is h (h + 3) / 6.
    return np.where(h <= -3, 0.0, np.where(h >= 3, 1.0, (2 * h + 3) / 6))


# Periodic: without a limit at +-inf, where they are NaN ----------------------------------------


def _cos_slope(h: Array) -> Array:
    return -np.sin(h)


def _tan_slope(h: Array) -> Array:
    return 1 + np.square(np.tan(h))  # (cos^2 + sin^2) / cos^2


ACTIVATIONS: Final[dict[str, Activation]] = {
    "identity": Activation(_identity, _identity_slope),
    "square": Activation(np.square, _square_slope),
    "reciprocal": Activation(np.reciprocal, _reciprocal_slope),
    "relu": Activation(_relu, _relu_slope),
    "leaky_relu": Activation(_leaky_relu, _leaky_relu_slope),
    "relu6": Activation(_relu6, _relu6_slope),
    "hardtanh": Activation(_hardtanh, _hardtanh_slope),
    "abs": Activation(np.abs, np.sign),
    "sgn": Activation(np.sign, _sgn_slope),
    "elu": Activation(_elu, _elu_slope),
    "selu": Activation(_selu, _selu_slope),
    "softplus": Activation(_softplus, _sigmoid),
    "exp": Activation(np.exp, np.exp),
    "tanh": Activation(np.tanh, _tanh_slope),
    "sigmoid": Activation(_sigmoid, _sigmoid_slope),
    "softsign": Activation(_softsign, _softsign_slope),
    "erf": Activation(_erf, _erf_slope),
    "gelu": Activation(_gelu, _gelu_slope),
    "silu": Activation(_silu, _silu_slope),
    "mish": Activation(_mish, _mish_slope),
    "hardswish": Activation(_hardswish, _hardswish_slope),
    "sin": Activation(np.sin, np.cos),
    "cos": Activation(np.cos, _cos_slope),
    "tan": Activation(np.tan, _tan_slope),
    "spline_sigmoid": Activation(spline_sigmoid, spline_sigmoid_slope),
    "sort": Activation(_identity, _identity_slope, "own"),
    "permute": Activation(_identity, _identity_slope, "input"),
}
