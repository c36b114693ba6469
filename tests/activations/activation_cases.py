"""Which activations the tests go through: all registered ones, and forms by parameters."""

import torch

from fathom.activations import ACTIVATIONS, Activation
from fathom.registry import Choice

FORMS = [
    Choice("leaky_relu", (("slope", 0.0),)),
    Choice("leaky_relu", (("slope", -0.5),)),
    Choice("leaky_relu", (("slope", 1.0),)),
    Choice("elu", (("alpha", 0.5),)),
    Choice("elu", (("alpha", 2),)),
    Choice("hardtanh", (("limit", 2.5),)),
    Choice("gelu", (("form", "tanh"),)),
    Choice("spline_sigmoid", (("outer_slope", None),)),
    Choice("spline_sigmoid", (("ends", "natural"), ("knots", (-2, -1, 0, 1, 2)))),
    Choice("spline_sigmoid", (("knots", (-1.0, 0.3, 2.0, 5.5)), ("outer_slope", None))),
    Choice("spline_sigmoid", (("knots", (-3.0, 3.0)), ("outer_slope", 0))),
]
CHOICES = [*(Choice(name) for name in ACTIVATIONS.names()), *FORMS]
ACTIVATION_CASES: list[Activation] = [ACTIVATIONS.build(choice) for choice in CHOICES]
CASE_IDS = [choice.label for choice in CHOICES]

# Neither has a limit at +-inf.
PERIODIC = {"sin", "cos", "tan"}


def dense_grid(reach: int = 8, per_unit: int = 250) -> torch.Tensor:
    """Make a float64 grid that holds the integers exactly: most kinks and knots are there."""
    steps = reach * per_unit
    return torch.arange(-steps, steps + 1, dtype=torch.float64) / per_unit
