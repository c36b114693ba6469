"""Activations for the tests of the theory: by a short name, or a user's own."""

from collections.abc import Callable

import torch
from networks import phi

from fathom.activations import custom
from fathom.theory.nonlinearity import Nonlinearity, nonlinearity

FIVE_KNOTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def spline(ends: str) -> Nonlinearity:
    return phi("spline_sigmoid", knots=FIVE_KNOTS, ends=ends, outer_slope=None)


NAMED: dict[str, Callable[[], Nonlinearity]] = {
    "leaky .01": lambda: phi("leaky_relu", slope=0.01),
    "leaky .1": lambda: phi("leaky_relu", slope=0.1),
    "spline natural": lambda: spline("natural"),
    "spline clamped": lambda: spline("clamped"),
}


def activation(name: str) -> Nonlinearity:
    return NAMED[name]() if name in NAMED else phi(name)


def own(function: Callable[[torch.Tensor], torch.Tensor]) -> Nonlinearity:
    return nonlinearity(custom(function, name="own"))
