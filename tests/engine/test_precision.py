"""Reduced precision: refused where a device does not have it, and what it rounds where it does."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from fathom.data.splits import prepare
from fathom.engine.precision import fraction_bits, is_available, products_in
from fathom.engine.run import train_cohort
from fathom.errors import FathomError
from fathom.spec.grid import Run

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def settings_are_put_back() -> Iterator[None]:
    library: Any = torch.backends
    before = library.mkldnn.matmul.fp32_precision, library.cudnn.conv.fp32_precision
    yield
    assert (library.mkldnn.matmul.fp32_precision, library.cudnn.conv.fp32_precision) == before


def test_float32_products_see_every_bit() -> None:
    with products_in("float32", CPU):
        assert fraction_bits(CPU) == 23


@pytest.mark.skipif(not is_available("bf16", CPU), reason="this CPU has no bfloat16 products")
def test_bf16_products_see_seven_bits() -> None:
    with products_in("bf16", CPU):
        assert fraction_bits(CPU) == 7
    assert fraction_bits(CPU) == 23


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_convolutions_of_a_gpu_do_not_round_unasked(precision: str) -> None:
    """What is set; no GPU is needed to look."""
    library: Any = torch.backends
    with products_in(precision, CPU):
        assert library.cudnn.conv.fp32_precision == "ieee"


def test_a_precision_that_is_not_there_is_refused(make_run: Callable[..., Run]) -> None:
    """No CPU rounds to TF32: results would be float32's under another name."""
    run = make_run(precision="tf32")
    with pytest.raises(
        FathomError, match=r"precision 'tf32': torch offers no such products on this CPU; use"
    ):
        train_cohort([run], prepare(run.data, []))


@pytest.mark.skipif(not is_available("bf16", CPU), reason="this CPU has no bfloat16 products")
def test_bf16_trains_like_float32_but_for_the_rounding(make_run: Callable[..., Run]) -> None:
    data = prepare(make_run().data, [])
    full, reduced = (
        train_cohort([make_run(precision=p)], data).epochs["train_loss"]
        for p in ("float32", "bf16")
    )
    assert reduced.tolist() == pytest.approx(full.tolist(), rel=0.02)
    assert reduced.tolist() != full.tolist()
