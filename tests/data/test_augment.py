"""Augmentation: what a loop over samples would do, drawn from nothing but the generator."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from fathom.data.augment import augment
from fathom.data.config import Augment

SHAPES = [(28, 28), (3, 32, 32), (1, 16, 24), (3, 7, 9)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(shape: tuple[int, ...], num: int = 50, dtype: torch.dtype = torch.uint8) -> Tensor:
    values = torch.randint(1, 256, (num, int(np.prod(shape))), generator=seeded(1))
    return values.to(dtype)


def one_by_one(inputs: Tensor, shape: tuple[int, ...], how: str, chance: torch.Generator) -> Any:
    """Do it image by image with slices, from the same draws."""
    height, width = shape[-2:]
    images = inputs.numpy().reshape(len(inputs), -1, height, width).copy()
    if "crop" in how:
        tall, wide = height // 8, width // 8
        tops = torch.randint(2 * tall + 1, (len(images),), generator=chance).tolist()
        lefts = torch.randint(2 * wide + 1, (len(images),), generator=chance).tolist()
        for image, top, left in zip(images, tops, lefts, strict=True):
            padded = np.pad(image, ((0, 0), (tall, tall), (wide, wide)))
            image[...] = padded[:, top : top + height, left : left + width]
    if "flip" in how:
        for image, draw in zip(images, torch.rand(len(images), generator=chance), strict=True):
            if draw < 0.5:
                image[...] = image[:, :, ::-1].copy()
    return images.reshape(len(inputs), -1)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
@pytest.mark.parametrize("how", ["flip", "crop", "flip_crop"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_loop_over_samples(shape: tuple[int, ...], how: Any, dtype: torch.dtype) -> None:
    inputs = batch(shape, dtype=dtype)
    before = inputs.clone()
    found = augment(inputs, shape, how, seeded())
    np.testing.assert_array_equal(found.numpy(), one_by_one(inputs, shape, how, seeded()))
    assert found.dtype == dtype
    assert found.is_contiguous()
    assert torch.equal(inputs, before)
    assert not torch.equal(found, inputs)


def test_none_is_the_batch_itself_and_draws_nothing() -> None:
    chance, inputs = seeded(), batch((2,))
    before = chance.get_state()
    assert augment(inputs, (2,), "none", chance) is inputs
    assert torch.equal(chance.get_state(), before)


@pytest.mark.parametrize("how", get_args(Augment))
def test_the_generator_decides_alone(how: Augment) -> None:
    inputs = batch((3, 16, 16))
    first = augment(inputs, (3, 16, 16), how, seeded(3))
    torch.manual_seed(7)
    assert torch.equal(augment(inputs, (3, 16, 16), how, seeded(3)), first)
    assert how == "none" or not torch.equal(augment(inputs, (3, 16, 16), how, seeded(4)), first)


def test_half_of_all_images_are_flipped() -> None:
    num = 40_000
    inputs = torch.tensor([[1, 2]], dtype=torch.uint8).expand(num, 2)
    share = (augment(inputs, (1, 2), "flip", seeded())[:, 0] == 2).double().mean().item()
    assert abs(share - 0.5) < 4 * 0.5 / num**0.5


def test_all_offsets_are_equally_likely() -> None:
    num, side = 81_000, 32
    image = torch.zeros(side, side, dtype=torch.uint8)
    image[side // 2, side // 2] = 1  # it tells the offset: 4 pixels up to 4 pixels down
    inputs = image.reshape(1, -1).expand(num, -1)
    places = augment(inputs, (side, side), "crop", seeded()).argmax(1).numpy()
    rows, columns = places // side - side // 2 + 4, places % side - side // 2 + 4
    counts = np.bincount(9 * rows + columns, minlength=81)
    assert len(counts) == 81
    expected = num / 81
    # Of 81 cells one lies beyond 4.5 standard errors once in 1,800 seeds.
    assert np.abs(counts - expected).max() < 4.5 * expected**0.5


def test_channels_move_together() -> None:
    grey = batch((1, 32, 32))
    colour = grey.repeat(1, 3)
    found = augment(colour, (3, 32, 32), "flip_crop", seeded()).reshape(-1, 3, 32 * 32)
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])
    assert torch.equal(found[:, 0], augment(grey, (32, 32), "flip_crop", seeded()))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sample_shape: got \(12,\); must be \[H, W\]"):
        augment(batch((12,)), (12,), "flip", seeded())
