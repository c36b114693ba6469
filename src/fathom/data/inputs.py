"""What theory needs to know of a network's inputs, measured on the probe batch.

Two numbers of data and probe size alone, so that every run of a cohort has the same, whichever
engine trains it. They can be had before training, too.

Shapes: R stacked cases, I in (or units), B batch.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fathom.data.splits import PreparedData


class InputStatistics(NamedTuple):
    """Where signal propagation starts: layer 0.

    Attributes:
        mean_square: Mean of |x|^2 / I over the inputs x.
        cosine: Mean cosine between two different inputs; NaN where an input is 0 throughout, for
            which no angle is defined, or where there is one input only.
    """

    mean_square: float
    cosine: float


def input_statistics(data: PreparedData, probe_size: int) -> InputStatistics:
    """Measure the scaled inputs of the probe batch in float64.

    Source: Poole et al. 2016, arXiv:1606.05340, eq. 3 (the q^0 from which the length map starts)
    and eq. 5 (the correlation of two inputs).

    Not covered: how the two differ from input to input, and the rounding of inputs to float32.

    Args:
        data: Prepared data of the runs.
        probe_size: Samples of the probe batch, the first of the training part; all of them where it
            has fewer.
    """
    x_BI = data.scale(data.train.inputs[:probe_size], torch.float64)
    return InputStatistics(
        # torch would add these in an order that depends on the number of threads.
        mean_square=float(np.square(x_BI.numpy()).mean()),
        cosine=mean_cosine(x_BI.T[None]).item(),
    )


def mean_cosine(vectors_RIB: Tensor) -> Tensor:
    """Average the cosine between two different of the B vectors, over all pairs.

    With unit vectors u_a, the sum of u_a.u_b over a != b is |sum u_a|^2 - B; no B x B matrix is
    formed.

    Returns:
        `[R]`; NaN where a vector is zero, for which no angle is defined, or where B is 1.
    """
    num = vectors_RIB.shape[2]
    unit = vectors_RIB / vectors_RIB.square().sum(1, keepdim=True).sqrt()
    pairs = num * (num - 1) if num > 1 else float("nan")
    return torch.div(unit.sum(2).square().sum(1) - num, pairs)
