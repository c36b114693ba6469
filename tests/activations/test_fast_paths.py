"""The in-place forms of the training loop against `value` and `slope`."""

from dataclasses import replace

import pytest
import torch
from activation_cases import ACTIVATION_CASES, CASE_IDS
from torch import Tensor

from fathom.activations import Activation
from fathom.stacks import apart

FAST = [(phi, label) for phi, label in zip(ACTIVATION_CASES, CASE_IDS, strict=True) if phi.fast]
every_fast = pytest.mark.parametrize(
    "phi", [phi for phi, _ in FAST], ids=[label for _, label in FAST]
)
both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
FAR = (0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, 89.0, -89.0, 1e4, -1e4)


def pre_activations(phi: Activation, dtype: torch.dtype) -> Tensor:
    """Stack numbers of every size, `[3, 10, 20]`."""
    h = 4 * torch.randn(600, generator=torch.Generator().manual_seed(1), dtype=dtype)
    special = torch.tensor([*FAR, *phi.kinks], dtype=dtype)
    h[: len(special)] = special
    return h.view(3, 10, 20)


def through(phi: Activation, h: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Run forward and backward on copies as the layers do; return phi(h) and grad * phi'(h)."""
    act, passed, kept = h.clone(), grad.clone(), torch.full_like(h, float("nan"))
    for pieces in zip(apart(act), apart(kept), strict=True):
        phi.forward_into(*pieces)
    assert phi.keeps or bool(kept.isnan().all())
    out = act.clone()
    for triple in zip(apart(passed), apart(kept), apart(act), strict=True):
        phi.backward_into(*triple)
    assert torch.equal(act, out)
    return out, passed


@every_fast
@both_precisions
def test_fast_path_is_value_and_slope(phi: Activation, dtype: torch.dtype) -> None:
    h = pre_activations(phi, dtype)
    grad = torch.linspace(-2, 2, h.numel(), dtype=dtype).view_as(h)
    out, passed = through(phi, h, grad)
    tolerance = 16 * torch.finfo(dtype).eps  # torch's gelu rounds a gate near 1, times h
    torch.testing.assert_close(out, phi.value(h), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(passed, grad * phi.slope(h), rtol=2 * tolerance, atol=2 * tolerance)


@pytest.mark.parametrize("phi", ACTIVATION_CASES, ids=CASE_IDS)
@both_precisions
def test_without_a_fast_path_value_and_slope_serve(phi: Activation, dtype: torch.dtype) -> None:
    h = pre_activations(phi, dtype)
    grad = torch.full_like(h, 0.5)
    out, passed = through(replace(phi, fast=None), h, grad)
    torch.testing.assert_close(out, phi.value(h), equal_nan=True)
    torch.testing.assert_close(passed, 0.5 * phi.slope(h), equal_nan=True)


@pytest.mark.parametrize("phi", ACTIVATION_CASES, ids=CASE_IDS)
@both_precisions
@pytest.mark.parametrize("size", [(37, 13), (16, 4)], ids=str)
def test_bits_of_a_run_do_not_depend_on_its_siblings(
    phi: Activation, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    """A vector register at the end of one run must not hold the beginning of the next."""
    source = torch.Generator().manual_seed(2)
    h, grad = (3 * torch.randn(40, *size, generator=source, dtype=dtype) for _ in range(2))
    together = through(phi, h, grad)
    for first, count in [(0, 1), (17, 1), (5, 3), (39, 1)]:
        runs = slice(first, first + count)
        for alone, whole in zip(through(phi, h[runs], grad[runs]), together, strict=True):
            assert alone.numpy().tobytes() == whole[runs].numpy().tobytes()
