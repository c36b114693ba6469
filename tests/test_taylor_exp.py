"""The polynomial in place of exp: what it is, and what becomes of a network; never a time."""

import math

import pytest
import torch
from benchmarks.taylor_exp import STARTS, VARIANTS, selu, taylor, taylor_in_place, train

SMALL, USUAL, LARGE = STARTS
BY_NAME = {variant.name: variant for variant in VARIANTS}


def test_it_lies_within_lagranges_remainder_of_exp() -> None:
    x = torch.linspace(-5, 5, 1001, dtype=torch.float64)
    bound = x**4 / 24 * x.clamp_min(0).exp()
    assert bool(((taylor(x) - x.exp()).abs() <= bound + 1e-14).all())
    assert float(taylor(torch.tensor(1.0))) == pytest.approx(1 + 1 + 1 / 2 + 1 / 6)


def test_its_only_root_is_where_its_docstring_says() -> None:
    """Cardano for x^3 + 3 x^2 + 6 x + 6 with x = y - 1: y^3 + 3 y + 2 = 0."""
    u = math.cbrt(-1 + math.sqrt(2)) + math.cbrt(-1 - math.sqrt(2)) - 1
    assert u == pytest.approx(-1.5961, abs=5e-5)
    around = taylor(torch.tensor([u - 1e-6, u + 1e-6], dtype=torch.float64))
    assert float(around[0]) < 0 < float(around[1])


def test_both_forms_are_one_polynomial() -> None:
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(taylor_in_place(x), taylor(x), rtol=1e-13, atol=1e-13)


def test_selu_is_torchs_with_exp() -> None:
    h = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(selu(h, torch.exp), torch.selu(h), rtol=1e-12, atol=1e-12)


def test_a_polynomial_in_selu_needs_small_pre_activations() -> None:
    """It does not saturate: what is -10 comes out as -223 in the next layer, and so on."""
    assert train(BY_NAME["Taylor in SELU"], *SMALL, steps=20).lost_at == 0
    assert train(BY_NAME["Taylor in SELU"], *USUAL, steps=20).lost_at == 1


def test_a_polynomial_in_the_softmax_turns_shares_negative() -> None:
    for name in ("Taylor in softmax, maximum subtracted", "Taylor in softmax, no maximum"):
        assert train(BY_NAME[name], *USUAL, steps=20).lost_at == 1


def test_the_maximum_alone_does_not_save_a_quotient() -> None:
    """The share of a label that lies far behind rounds to 0, and its logarithm is infinite."""
    assert train(BY_NAME["exp, log-softmax"], *LARGE, steps=20).lost_at == 0
    assert train(BY_NAME["exp, maximum subtracted"], *LARGE, steps=20).lost_at == 1
    assert train(BY_NAME["exp, no maximum"], *LARGE, steps=20).lost_at == 1
