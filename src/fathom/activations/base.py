"""The record that an activation is, and how a user's own function becomes one."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]
Order = Literal["own", "input"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FastPath:
    """In-place forms for the training loop, equal to `value` and `slope` on finite inputs.

    Attributes:
        forward: `forward(h, kept)` overwrites `h` with phi(h), and writes into `kept` whatever
            `backward` wants to find there, such as the slope.
        backward: `backward(grad, kept, act)` multiplies `grad` by phi'(h); `act` is phi(h).
        keeps: False where backward looks at `act` alone, and `kept` is not touched.
    """

    forward: Callable[[Tensor, Tensor], None]
    backward: Callable[[Tensor, Tensor, Tensor], None]
    keeps: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """An elementwise activation phi with its derivative, or an order of a layer's units.

    `value` and `slope` keep dtype and shape, give their limit at +-inf, and NaN for NaN. At a kink
    the slope is the one that torch's own backward uses.

    With an `order` a layer's output is not phi(h) but phi(h[k_1]), phi(h[k_2]), ..., where k sorts
    the sample's h or the layer's inputs; see `unit_order`. The gradient of a place goes to the unit
    that came there, and none goes to what the order was made from: it is constant but for jumps.

    Not covered: an order together with a phi that bends. It trains alike in every engine, but dead
    units would be counted by unit in one and by place in the other.

    Attributes:
        name: Name in the registry.
        value: phi, elementwise.
        slope: phi', elementwise.
        fast: Optional in-place forms for the hot path; without them `value` and `slope` serve.
        kinks: Points where phi or phi' jumps, in increasing order; the poles of tan are left out.
        max_slope: Supremum of |phi'|; `inf` when unbounded or unknown.
        order: What each sample's units are put in the order of: their `own` h, or the layer's
            `input`; None where they stay, as in every elementwise function.
        formula: phi as one line of text.
        source: Where the definition comes from.
    """

    name: str
    value: Elementwise
    slope: Elementwise
    fast: FastPath | None = None
    kinks: tuple[float, ...] = ()
    max_slope: float = field(default=float("inf"))
    order: Order | None = None
    formula: str = ""
    source: str = ""

    @property
    def saturation_slope(self) -> float:
        """|phi'| against which saturation is measured; `inf` where saturation is not defined.

        An activation saturates when it rises somewhere and levels off on both sides. Where only
        one side is flat (relu), a small slope is its off state and no fault.
        """
        far = self.slope(torch.tensor([-1e30, 1e30], dtype=torch.float64))
        levels_off = bool((far.abs() < 1e-9).all())
        return self.max_slope if levels_off and self.max_slope > 0 else math.inf

    @property
    def keeps(self) -> bool:
        """True where backward needs more than phi(h): a second tensor of the shape of h."""
        return self.fast is None or self.fast.keeps

    def between(self, fan_in: int, fan_out: int) -> "Activation":
        """Return what it is in a layer of these widths.

        The order of the inputs can be given to as many units only; others stay where they are.
        """
        return replace(self, order=None) if self.order == "input" and fan_in != fan_out else self

    def forward_into(self, h: Tensor, kept: Tensor) -> None:
        """Overwrite `h` with phi(h), and write into `kept` what `backward_into` needs."""
        if self.fast is not None:
            self.fast.forward(h, kept)
        else:
            h.copy_(self.value(kept.copy_(h)))

    def backward_into(self, grad: Tensor, kept: Tensor, act: Tensor) -> None:
        """Multiply `grad` in place by phi'(h).

        Args:
            grad: dL/dphi, which becomes dL/dh.
            kept: What `forward_into` wrote there.
            act: phi(h).
        """
        if self.fast is not None:
            self.fast.backward(grad, kept, act)
        else:
            grad.mul_(self.slope(kept))


def unit_order(order: Order, h: Tensor, x: Tensor) -> Tensor:
    """Return for each place the number of the unit that comes there.

    Args:
        order: What decides.
        h: What the activation is given, with units in the last dimension but one, such as
            `[R, O, B]`.
        x: What the layer was given, likewise; runs may share it.

    Returns:
        int64 indices of the shape of `h`. Of equal numbers the first unit comes first, and NaN
        comes last, so that the same numbers have the same order in every engine and each time.
    """
    deciding = h if order == "own" else x
    return deciding.argsort(dim=-2, stable=True).expand_as(h)


def keep_nan(h: Tensor, result: Tensor) -> Tensor:
    """Put NaN into `result` wherever `h` is NaN: comparisons answer False there and swallow it."""
    return torch.where(h.isnan(), h, result)


def slope_by_autograd(value: Elementwise) -> Elementwise:
    """Derive phi' of a user's function from autograd of phi.

    Not covered: functions that mix elements; their slope would be the sum of a row of the Jacobian.
    """

    @functools.wraps(value, updated=())
    def slope(h: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = h.detach().clone().requires_grad_()
            out = value(leaf)
            if not out.requires_grad:  # a constant, or a jump function built from comparisons
                return torch.zeros_like(h)
            (grad,) = torch.autograd.grad(out.sum(), leaf, allow_unused=True)
        # Added to zeros because torch may answer with None or with a tensor without memory (sgn).
        return torch.zeros_like(h) if grad is None else torch.zeros_like(h).add_(grad)

    return slope
