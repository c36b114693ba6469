"""Weights at the point where an activation neither kills nor blows up signal and gradient."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fathom.activations import Activation
from fathom.errors import ComponentError
from fathom.initializers.base import NORMAL, Initializer, independent
from fathom.registry import check_number
from fathom.theory.critical import recommend
from fathom.theory.nonlinearity import nonlinearity

Adapt = Callable[[Activation], Initializer]

_SOURCE: Final = "Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232"


def critical(bias_variance: float = 0.05) -> Initializer:
    """Normal weights and biases on the edge of chaos of the activation that a layer reads.

    `fathom gain NAME` tells where that is. Where the activation has none, the nearest thing is
    taken. Without an activation it starts a linear layer, with variance 1 / fan_in.

    Args:
        bias_variance: Wanted variance of the biases, at least 0; activations that have no such
            point take the one that they have.

    Raises:
        ValueError: If the variance is out of its range.
    """
    check_number("bias_variance", bias_variance, minimum=0)

    def for_activation(phi: Activation) -> Initializer:
        found = recommend(nonlinearity(phi), bias_variance)
        if not found.weight_scale > 0:
            raise ComponentError(
                f"initializer 'critical': there is none for {phi.name}: {found.reason}"
            )
        return _independent(found.weight_scale, found.bias_variance, for_activation)

    return _independent(1.0, 0.0, for_activation)


def _independent(weight_scale: float, bias_variance: float, adapt: Adapt) -> Initializer:
    made = independent(
        "critical",
        NORMAL,
        lambda fan_in, fan_out: weight_scale / fan_in,
        bias_std=math.sqrt(bias_variance),
        source=_SOURCE,
    )
    return replace(made, for_activation=adapt)


FACTORIES: Final = (critical,)
