"""Scalings: closed forms, and the same bits in every batch."""

from typing import get_args

import numpy as np
import pytest
import torch

from fathom.data.config import Scaling
from fathom.data.scaling import fit

ALL = get_args(Scaling)
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (50, 30)).astype(np.uint8))
FLOATS = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (50, 30)))


def test_pixels_are_mapped_from_their_type_not_from_their_values() -> None:
    x = torch.tensor([[0, 51], [102, 204]], dtype=torch.uint8)
    unit = fit("unit", x)(x, torch.float64)
    torch.testing.assert_close(unit, torch.tensor([[0, 0.2], [0.4, 0.8]], dtype=torch.float64))
    assert torch.equal(fit("symmetric", x)(x, torch.float64), (x.double() - 127.5) / 127.5)
    assert torch.equal(fit("unit", x)(x, torch.float32), x.float() / 255)


def test_other_numbers_are_mapped_from_the_range_of_the_training_part() -> None:
    train = torch.tensor([[-2.0, 0.0], [1.0, 6.0]])
    other = torch.tensor([[2.0, 10.0]])
    assert fit("unit", train)(other, torch.float64).tolist() == [[0.5, 1.5]]
    assert fit("symmetric", train)(other, torch.float64).tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("x", [PIXELS, FLOATS], ids=["pixels", "floats"])
def test_standard_has_mean_0_and_deviation_1_over_the_training_part(x: torch.Tensor) -> None:
    scaled = fit("standard", x)(x, torch.float64)
    assert abs(scaled.mean().item()) < 1e-12
    assert abs(scaled.std(correction=0).item() - 1) < 1e-12


@pytest.mark.parametrize("x", [PIXELS, FLOATS], ids=["pixels", "floats"])
def test_per_image_has_mean_0_and_deviation_1_in_each_sample(x: torch.Tensor) -> None:
    scaled = fit("per_image", x)(x, torch.float64)
    torch.testing.assert_close(scaled.mean(1), torch.zeros(50, dtype=torch.float64))
    torch.testing.assert_close(scaled.std(1, correction=0), torch.ones(50, dtype=torch.float64))


def test_moments_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("standard", PIXELS)
    monkeypatch.setattr("fathom.data.scaling._ROWS_AT_A_TIME", 7)
    parts = fit("standard", PIXELS)
    assert parts.shift == whole.shift == PIXELS.double().mean().item()
    assert parts.divisor == pytest.approx(whole.divisor, rel=1e-14)


def test_none_changes_the_type_alone() -> None:
    assert torch.equal(fit("none", PIXELS)(PIXELS, torch.float32), PIXELS.float())


@pytest.mark.parametrize("scaling", ALL)
@pytest.mark.parametrize("value", [0.1, 1e6])
def test_constant_samples_stay_finite(scaling: Scaling, value: float) -> None:
    x = torch.full((4, 1000), value)
    scaled = fit(scaling, x)(x, torch.float32)
    assert torch.isfinite(scaled).all()
    if scaling != "none":
        assert torch.equal(scaled, torch.zeros_like(scaled))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("x", [PIXELS, FLOATS, FLOATS.float()], ids=["pixels", "f64", "f32"])
@pytest.mark.parametrize("scaling", ALL)
def test_a_sample_gets_the_same_bits_in_every_batch(
    scaling: Scaling, x: torch.Tensor, dtype: torch.dtype
) -> None:
    wide = x.repeat(1, 27)  # 810 features: vector loops with a remainder
    scale = fit(scaling, wide)
    whole = scale(wide, dtype)
    for size in (1, 2, 3, 7, 32):
        pieces = [scale(piece, dtype) for piece in wide.split(size)]
        assert torch.equal(torch.cat(pieces), whole)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    assert torch.equal(scale(wide[order], dtype), whole[order])


@pytest.mark.parametrize("scaling", ALL)
def test_scaling_leaves_its_input_alone(scaling: Scaling) -> None:
    x = FLOATS.clone()
    scaled = fit(scaling, x)(x, torch.float64)
    scaled.add_(1)
    assert torch.equal(x, FLOATS)


@pytest.mark.parametrize("scaling", ["none", "unit", "symmetric", "standard", "per_image"])
@pytest.mark.parametrize("storage", [torch.uint8, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_columns_have_the_bits_of_rows(
    scaling: Scaling, storage: torch.dtype, dtype: torch.dtype
) -> None:
    source = torch.Generator().manual_seed(0)
    inputs = (255 * torch.rand(7, 12, generator=source)).to(storage)
    scale = fit(scaling, inputs)
    columns = torch.full((12, 7), float("nan"), dtype=dtype)
    scale.write_columns(inputs, columns)
    assert torch.equal(columns, scale(inputs, dtype).T)
