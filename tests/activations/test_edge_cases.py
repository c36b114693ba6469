"""Zeros, tiny and huge numbers, infinities and NaN in three precisions."""

import pytest
import torch
from activation_cases import ACTIVATION_CASES, CASE_IDS, PERIODIC

from fathom.activations import Activation

INF, NAN = float("inf"), float("nan")
EDGES = (0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, 89.0, -89.0, 1e4, -1e4, 1e30, -1e30)
PRECISIONS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.03}

every_case = pytest.mark.parametrize("phi", ACTIVATION_CASES, ids=CASE_IDS)
every_precision = pytest.mark.parametrize("dtype", PRECISIONS, ids=str)


def edges_of(phi: Activation, dtype: torch.dtype) -> torch.Tensor:
    largest = torch.finfo(dtype).max
    return torch.tensor([*EDGES, *phi.kinks, largest, -largest], dtype=dtype)


@every_case
@every_precision
def test_finite_input_gives_a_number(phi: Activation, dtype: torch.dtype) -> None:
    """An overflow to inf is right where phi itself is beyond the largest number; NaN never is."""
    h = edges_of(phi, dtype)
    for result in (phi.value(h), phi.slope(h)):
        assert result.dtype == dtype
        assert not result.isnan().any()


@every_case
@every_precision
def test_precisions_agree(phi: Activation, dtype: torch.dtype) -> None:
    h = edges_of(phi, dtype)
    for function in (phi.value, phi.slope):
        expected = function(h.double()).to(dtype)
        tolerance = PRECISIONS[dtype]
        torch.testing.assert_close(function(h), expected, rtol=tolerance, atol=tolerance)


@every_case
@every_precision
def test_infinity_gives_the_limit(phi: Activation, dtype: torch.dtype) -> None:
    infinite = torch.tensor([-INF, INF], dtype=dtype)
    far = torch.tensor([-1e30, 1e30], dtype=dtype)
    for function in (phi.value, phi.slope):
        limit, approach = function(infinite), function(far)
        if phi.name in PERIODIC:
            assert limit.isnan().all()
            continue
        for end in range(2):
            if limit[end].isinf():
                assert limit[end] * approach[end] > 0
                assert approach[end].abs() > 1e20
            else:
                torch.testing.assert_close(limit[end], approach[end], rtol=0, atol=1e-15)


@every_case
@every_precision
def test_nan_is_never_swallowed(phi: Activation, dtype: torch.dtype) -> None:
    h = torch.tensor([1.0, NAN, -1.0], dtype=dtype)
    for result in (phi.value(h), phi.slope(h)):
        assert result.isnan().tolist() == [False, True, False]


def test_each_study_formula_that_overflowed_is_replaced() -> None:
    """The textbook exponentials of sigmoid, tanh, elu and silu give NaN beyond 88.7 in float32."""
    from fathom.activations import ACTIVATIONS
    from fathom.registry import Choice

    h = torch.tensor([-100.0, 100.0])
    for name, value, slope in [
        ("tanh", [-1.0, 1.0], [0.0, 0.0]),
        ("sigmoid", [0.0, 1.0], [0.0, 0.0]),
        ("elu", [-1.0, 100.0], [0.0, 1.0]),
        ("silu", [0.0, 100.0], [0.0, 1.0]),
        ("softplus", [0.0, 100.0], [0.0, 1.0]),
    ]:
        phi = ACTIVATIONS.build(Choice(name))
        assert phi.value(h).tolist() == pytest.approx(value, abs=1e-30)
        assert phi.slope(h).tolist() == pytest.approx(slope, abs=1e-30)
