"""Losses: gradients against autograd, closed forms, and runs that never touch each other."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fathom.errors import ComponentError
from fathom.losses import LOSSES, Loss
from fathom.registry import Choice

ALL = LOSSES.names()


def build(name: str) -> Loss:
    return LOSSES.build(Choice(name))


def batch(
    num_runs: int = 3, size: int = 7, num_classes: int = 5, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    gen = torch.Generator().manual_seed(3)
    logits = 4 * torch.randn(num_runs, size, num_classes, generator=gen, dtype=torch.float64)
    target = torch.randint(num_classes, (size,), generator=gen)
    return logits.to(dtype), target


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_autograds(name: str) -> None:
    loss = build(name)
    logits, target = batch()
    leaf = logits.clone().requires_grad_()
    total = loss.value(leaf, target).mean(dim=1).sum()  # runs are independent: the sum is safe
    (expected,) = torch.autograd.grad(total, leaf)
    torch.testing.assert_close(loss.grad(logits, target), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ALL)
def test_shapes_dtype_and_inputs_survive(name: str) -> None:
    loss = build(name)
    logits, target = batch(dtype=torch.float32)
    before = logits.clone()
    value, grad = loss.value(logits, target), loss.grad(logits, target)
    assert value.shape == (3, 7)
    assert grad.shape == logits.shape
    assert value.dtype == grad.dtype == torch.float32
    grad.zero_()  # the caller may overwrite what it gets
    assert torch.equal(logits, before)


def test_cross_entropy_is_torchs() -> None:
    logits, target = batch()
    expected = torch.stack([F.cross_entropy(run, target, reduction="none") for run in logits])
    torch.testing.assert_close(build("cross_entropy").value(logits, target), expected)


def test_cross_entropy_of_equal_logits_is_log_k() -> None:
    logits, target = torch.full((2, 7, 10), 3.0, dtype=torch.float64), batch()[1]
    value = build("ce").value(logits, target)
    torch.testing.assert_close(value, torch.full_like(value, math.log(10)), rtol=1e-15, atol=0)


def test_cross_entropy_gradient_sums_to_zero_over_classes() -> None:
    grad = build("cross_entropy").grad(*batch())
    assert grad.sum(dim=-1).abs().max() < 1e-16
    assert grad.abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_cross_entropy_of_huge_logits(dtype: torch.dtype, size: float) -> None:
    logits = torch.tensor([[[size, -size, 0.0], [size, -size, 0.0]]], dtype=dtype)
    target = torch.tensor([0, 1])
    loss = build("cross_entropy")
    expected = torch.tensor([[0.0, 2 * size]], dtype=dtype)
    torch.testing.assert_close(loss.value(logits, target), expected)
    half = torch.tensor([[[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]]], dtype=dtype)
    assert torch.equal(loss.grad(logits, target), half)


def test_mse_has_the_stated_scale() -> None:
    logits = torch.tensor([[[1.0, 2.0, -1.0]]], dtype=torch.float64)
    value = build("mse").value(logits, torch.tensor([1]))
    assert value.item() == (1.0 + 1.0 + 1.0) / 2


def test_mse_is_half_the_classes_times_torchs() -> None:
    logits, target = batch()
    hot = F.one_hot(target, 5).to(logits.dtype)
    expected = torch.stack([F.mse_loss(run, hot) for run in logits]) * 5 / 2
    torch.testing.assert_close(build("mse").value(logits, target).mean(dim=1), expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_classes", [2, 10, 37])
def test_a_run_depends_on_its_own_slice_alone(
    name: str, dtype: torch.dtype, num_classes: int
) -> None:
    loss = build(name)
    logits, target = batch(32, 33, num_classes, dtype)
    value, grad = loss.value(logits, target), loss.grad(logits, target)
    poisoned = logits.clone()
    poisoned[1], poisoned[3] = math.nan, math.inf
    healthy = [r for r in range(32) if r not in {1, 3}]
    assert torch.equal(loss.value(poisoned, target)[healthy], value[healthy])
    assert torch.equal(loss.grad(poisoned, target)[healthy], grad[healthy])
    assert not loss.value(poisoned, target)[[1, 3]].isfinite().any()
    for width in (1, 2, 3, 8):
        assert torch.equal(loss.value(logits[:width], target), value[:width])
        assert torch.equal(loss.grad(logits[:width], target), grad[:width])
    assert torch.equal(loss.value(logits.flip(0), target), value.flip(0))


def test_unknown_loss_suggests_the_nearest() -> None:
    with pytest.raises(ComponentError, match=r"unknown loss 'cross_entropi'.*'cross_entropy'"):
        build("cross_entropi")


@pytest.mark.parametrize("name", ALL)
def test_records_are_complete(name: str) -> None:
    loss = build(name)
    assert loss.name == name
    assert loss.formula
    assert loss.source
    assert LOSSES.describe(name).endswith(".")
