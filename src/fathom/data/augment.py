"""Images changed by chance, a batch at a time and before they are scaled.

Shapes: N samples, I numbers of a sample, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad

from fathom.data.config import Augment

PADDING: Final = 8  # one eighth of a side: 4 of 32, as is usual for CIFAR-10


def is_image(sample_shape: Sequence[int]) -> bool:
    """Tell whether samples of this shape, `[H, W]` or `[C, H, W]`, can be flipped and cropped."""
    return len(sample_shape) in {2, 3}


def augment(
    inputs_NI: Tensor, sample_shape: Sequence[int], how: Augment, generator: torch.Generator
) -> Tensor:
    """Flip and crop each image of a batch by chance.

    `flip` mirrors left and right with probability 1/2. `crop` adds a border of zeros, an eighth of
    the height above and below and an eighth of the width at the sides, and cuts the old size out
    at a place where all offsets are equally likely. Channels of an image move together.

    Source: He et al. 2016, arXiv:1512.03385, sec. 4.2 (4 pixels on each side of 32).

    Args:
        inputs_NI: `[N, I]` in storage type, on any device; left as it is.
        sample_shape: `[H, W]` or `[C, H, W]`, of I numbers.
        how: What is done. `none` returns the batch itself and draws nothing.
        generator: Draws, on its own device; the result is a function of it and the batch alone.

    Returns:
        `[N, I]`, of the type of `inputs_NI`.

    Raises:
        ValueError: If the samples are no images.
    """
    if how == "none":
        return inputs_NI
    if not is_image(sample_shape):
        raise ValueError(f"sample_shape: got {tuple(sample_shape)}; must be [H, W] or [C, H, W]")
    images_NCHW = inputs_NI.reshape(len(inputs_NI), -1, *sample_shape[-2:])
    if how in {"crop", "flip_crop"}:
        images_NCHW = _crop(images_NCHW, generator)
    if how in {"flip", "flip_crop"}:
        images_NCHW = _flip(images_NCHW, generator)
    return images_NCHW.reshape(inputs_NI.shape)


def _flip(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    chance_N = torch.rand(len(images_NCHW), generator=generator, device=generator.device)
    flipped_N = (chance_N < 0.5).to(images_NCHW.device)
    # Whole images are copied from one of two stacks: much faster than choosing every number.
    both_2NCHW = torch.cat([images_NCHW, images_NCHW.flip(3)])
    num = len(images_NCHW)
    place_N = torch.arange(num, device=images_NCHW.device) + num * flipped_N
    return both_2NCHW.index_select(0, place_N)


def _crop(images_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    num, channels, height, width = images_NCHW.shape
    tall, wide = height // PADDING, width // PADDING
    top_N, left_N = (
        torch.randint(2 * border + 1, (num,), generator=generator, device=generator.device).to(
            images_NCHW.device
        )
        for border in (tall, wide)
    )
    padded_NCHW = pad(images_NCHW, (wide, wide, tall, tall))
    rows_NCH = torch.arange(num * channels * padded_NCHW.shape[2], device=images_NCHW.device)
    rows_NCH = rows_NCH.view(num, channels, -1)[:, :, :height] + top_N[:, None, None]
    starts_NCH = rows_NCH * padded_NCHW.shape[3] + left_N[:, None, None]
    # Every stretch of W neighbours in memory: one index copies a whole row of an image.
    stretches = padded_NCHW.flatten().unfold(0, width, 1)
    return stretches[starts_NCH.flatten()].view(images_NCHW.shape)
