"""The residual connection: what a layer reads is added to what it returns.

Shapes: R runs, B batch, O units.
"""

import torch
from torch import Tensor

from fathom.engine.layers import Workspace


class Skip:
    """x' = x + phi around one layer whose input and output have the same width.

    phi stays in a buffer of its own, since an activation's backward may look at it.

    Args:
        index: Number of the layer from 0.
        space: Where buffers come from.

    Source: He et al. 2016, arXiv:1603.05027, eq. 1 and 2 with both maps the identity.
    """

    def __init__(self, index: int, space: Workspace) -> None:
        self._index = index
        self._space = space

    def forward(self, left: Tensor, act: Tensor) -> Tensor:
        """Return the sum, augmented.

        Args:
            left: The layer's augmented input, `[R, O+1, B]`, or `[O+1, B]` where runs share it.
            act: Its activation, `[R, O, B]`.
        """
        total = self._space.take_augmented(f"sum{self._index}", *act.shape)
        torch.add(act, left[..., :-1, :], out=total.units)
        return total.whole

    def keep(self, grad: Tensor) -> Tensor:
        """Copy dL/dx' `[R, O, B]`, which is also the part of dL/dx that goes around the layer."""
        return self._space.take_units(f"grad past {grad.shape[1]}", *grad.shape).copy_(grad)
