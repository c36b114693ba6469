"""The product peak of one core: what no training can exceed.

Shapes: R networks, B batch, I in, O out; all of B, I and O are 128 wide but in the large product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from benchmarks.rivals.base import Rival, Training
from benchmarks.setting import WIDTH, Samples, Setting

NETWORKS: Final = 4
LARGE_WIDTH: Final = 1024
_ONE: Final = 2 * NETWORKS * WIDTH**3


@dataclass(frozen=True, slots=True)
class Product(Rival):
    """One kind of matrix product, measured as if it were a rival; the setting plays no role.

    Attributes:
        kind: A key of FLOPS.
    """

    family: ClassVar = "peak"

    kind: str
    threads: int = 1

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return self.kind

    def prepare(self, _setting: Setting, _samples: Samples) -> Training:
        """Allocate the operands; a step is one product, or the three in turn."""
        product = _products()[self.kind]

        def train(steps: int) -> None:
            for _ in range(steps):
                product()

        return Training(train=train, losses=list, networks=1)


def _products() -> dict[str, Callable[[], Any]]:
    import torch

    large, large_out = torch.rand(2, LARGE_WIDTH, LARGE_WIDTH), torch.empty(2 * [LARGE_WIDTH])
    act_RBI, weight_RIO, grad_RBO = torch.rand(3, NETWORKS, WIDTH, WIDTH)
    out_RBO, grad_in_RBI, grad_weight_RIO = torch.empty(3, NETWORKS, WIDTH, WIDTH)
    single: dict[str, Callable[[], Any]] = {
        "forward": lambda: torch.bmm(act_RBI, weight_RIO, out=out_RBO),
        "grad_input": lambda: torch.bmm(grad_RBO, weight_RIO.mT, out=grad_in_RBI),
        "grad_weight": lambda: torch.bmm(act_RBI.mT, grad_RBO, out=grad_weight_RIO),
    }
    return {
        "large": lambda: torch.mm(*large, out=large_out),
        **single,
        "step": lambda: [product() for product in single.values()],
    }


# Operations of one call of each: the large product, the three of a layer, and those three in turn.
FLOPS: Final = {
    "large": 2 * LARGE_WIDTH**3,
    "forward": _ONE,
    "grad_input": _ONE,
    "grad_weight": _ONE,
    "step": 3 * _ONE,
}


def variants(_cores: int) -> list[Product]:
    """List the products."""
    return [Product(kind) for kind in FLOPS]
