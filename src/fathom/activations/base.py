"""The record that an activation is, and how a user's own function becomes one."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class FastPath:
    """In-place forms for the training loop, equal to `value` and `slope` on finite inputs.

    Attributes:
        forward: `forward(h, out)` writes phi(h) into `out`.
        backward: `backward(grad, h, act)` multiplies `grad` in place by phi'(h); `act` is phi(h).
    """

    forward: Callable[[Tensor, Tensor], None]
    backward: Callable[[Tensor, Tensor, Tensor], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """An elementwise activation phi with its derivative.

    `value` and `slope` keep dtype and shape, give their limit at +-inf, and NaN for NaN. At a kink the slope
    is the one that torch's own backward uses.

    Attributes:
        name: Name in the registry.
        value: phi, elementwise.
        slope: phi', elementwise.
        fast: Optional in-place forms for the hot path; without them `value` and `slope` serve.
        kinks: Points where phi' jumps.
        max_slope: Supremum of |phi'|; `inf` when unbounded or unknown. Saturation is measured against it.
        formula: phi as one line of text.
        source: Where the definition comes from.
    """

    name: str
    value: Elementwise
    slope: Elementwise
    fast: FastPath | None = None
    kinks: tuple[float, ...] = ()
    max_slope: float = field(default=float("inf"))
    formula: str = ""
    source: str = ""

    def forward_into(self, h: Tensor, out: Tensor) -> None:
        """Write phi(h) into `out` (same shape)."""
        if self.fast is not None:
            self.fast.forward(h, out)
        else:
            out.copy_(self.value(h))

    def backward_into(self, grad: Tensor, h: Tensor, act: Tensor) -> None:
        """Multiply `grad` in place by phi'(h), where `act` is phi(h) (all of one shape)."""
        if self.fast is not None:
            self.fast.backward(grad, h, act)
        else:
            grad.mul_(self.slope(h))


def slope_by_autograd(value: Elementwise) -> Elementwise:
    """Derive phi' of a user's function from autograd of phi.

    Not covered: functions that mix elements; their slope would be the sum over a row of the Jacobian.
    """

    def slope(h: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = h.detach().requires_grad_()
            out = value(leaf)
            if not out.requires_grad:  # a constant, or a jump function built from comparisons
                return torch.zeros_like(h)
            (grad,) = torch.autograd.grad(out.sum(), leaf)
        return grad.detach()

    return slope
