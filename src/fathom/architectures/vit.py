"""A small vision transformer.

Shapes: B batch, C channels, H height, W width, T tokens, D width of a token, K classes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fathom.architectures.base import (
    Act,
    Architecture,
    ImageShape,
    Learned,
    Linear,
    MeasuredLayer,
    Network,
    measured,
)
from fathom.registry import check_number

_TOKEN_STD: Final = 0.02  # of the class token and the positions, as in the authors' code
_NARROWEST_HEAD: Final = 32
_MOST_PATCHES: Final = 14  # along a side, as 224 / 16 in the paper


class _Settings(NamedTuple):
    width: int
    heads: int
    layers: int
    mlp_ratio: int
    scale: bool
    dropout: float


def vit(
    *,
    patch: int | None = None,
    width: int = 128,
    heads: int = 8,
    layers: int = 1,
    mlp_ratio: int = 4,
    scale: bool = True,
    dropout: float = 0.0,
) -> Architecture:
    """Image patches as tokens, blocks of attention and a hidden layer, a class token's logits.

    Args:
        patch: Side of a patch in pixels; the image's sides must be multiples of it. By default the
            smallest of 4, 8 and 16 with at most 14 patches along a side: 4 at 28 x 28 and 32 x 32,
            8 at 64 x 64, 16 at 224 x 224.
        width: Numbers of a token, a multiple of `heads`.
        heads: Heads of attention.
        layers: Blocks.
        mlp_ratio: Units of a block's hidden layer for each number of a token.
        scale: Whether attention divides its logits by the root of a head's width.
        dropout: Share of numbers that a training step leaves out after the positions and after
            every linear map but `qkv` and the output, from 0 to below 1.

    Raises:
        ValueError: If a value is not allowed.
    """
    counts = {"width": width, "heads": heads, "layers": layers, "mlp_ratio": mlp_ratio}
    if patch is not None:
        counts["patch"] = patch
    for name, value in counts.items():
        check_number(name, value, minimum=1, whole=True)
    check_number("dropout", dropout, minimum=0, below=1)
    if width % heads:
        raise ValueError(f"width: got {width}; must be a multiple of heads, which is {heads}")
    settings = _Settings(width, heads, layers, mlp_ratio, scale, dropout)

    def build(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> Network:
        return ViT(shape, num_classes, act, _fitting_patch(shape, patch), settings)

    return Architecture(
        name="vit",
        build=build,
        source="Dosovitskiy et al. 2021, arXiv:2010.11929, eq. 1-4 and appendix B.1",
        warnings=_warnings(width // heads),
    )


def _warnings(head_width: int) -> tuple[str, ...]:
    """Say that heads are narrow: few directions to compare tokens by, and 1/sqrt(d) near 1."""
    if head_width >= _NARROWEST_HEAD:
        return ()
    return (
        f"vit: each head has width / heads = {head_width} numbers; attention is known to train "
        f"badly below {_NARROWEST_HEAD}. Take fewer heads or a larger width",
    )


def _fitting_patch(shape: ImageShape, patch: int | None) -> int:
    """Return the side of a patch, chosen by the image's size if it is None.

    Raises:
        ValueError: If patches do not cover the image.
    """
    _, height, width = shape
    if patch is None:
        fine = (side for side in (4, 8) if max(height, width) <= _MOST_PATCHES * side)
        patch = next(fine, 16)
    if height % patch or width % patch:
        raise ValueError(
            f"images of {height} x {width} cannot be cut into patches of {patch} x {patch}; "
            "give a patch that divides both sides"
        )
    return patch


class Attention(nn.Module):
    """Self-attention with heads: `[B, T, D] -> [B, T, D]`.

    Queries, keys and values come of one map, whose fan_out is 3 D. The keys' bias has no effect:
    it moves all logits of a query alike.
    """

    def __init__(self, settings: _Settings) -> None:
        super().__init__()
        width, self.heads = settings.width, settings.heads
        self.factor = (width // self.heads) ** -0.5 if settings.scale else 1.0
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each token takes from all."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heads = scaled_dot_product_attention(query, key, value, scale=self.factor)
        return self.projection(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # a module's call forgets types


class Block(nn.Module):
    """Attention and a hidden layer, each normalised before and added: `[B, T, D] -> [B, T, D]`."""

    def __init__(self, settings: _Settings, act: Callable[[], Act]) -> None:
        super().__init__()
        width, hidden = settings.width, settings.width * settings.mlp_ratio
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(settings)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, hidden)
        self.act = act()
        self.linear2 = nn.Linear(hidden, width)
        self.drop = nn.Dropout(settings.dropout)

    def pairs(self) -> Iterator[tuple[Linear, Act | None]]:
        """Yield the linear maps and what reads them."""
        yield self.attention.qkv, None
        yield self.attention.projection, None
        yield self.linear1, self.act
        yield self.linear2, None

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens of the next block."""
        x = x + self.drop(self.attention(self.norm1(x)))
        hidden = self.drop(self.act(self.linear1(self.norm2(x))))
        return x + self.drop(self.linear2(hidden))  # type: ignore[no-any-return]  # a module's call forgets types


class ViT(Network):
    """A vision transformer: `[B, C, H, W] -> [B, K]`."""

    def __init__(
        self,
        shape: ImageShape,
        num_classes: int,
        act: Callable[[], Act],
        patch: int,
        settings: _Settings,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        num_tokens = 1 + (height // patch) * (width // patch)
        self.patches = nn.Conv2d(channels, settings.width, patch, stride=patch)
        self.class_token = Learned(1, 1, settings.width, std=_TOKEN_STD)
        self.positions = Learned(1, num_tokens, settings.width, std=_TOKEN_STD)
        self.drop = nn.Dropout(settings.dropout)
        self.blocks = nn.Sequential(*(Block(settings, act) for _ in range(settings.layers)))
        self.norm = nn.LayerNorm(settings.width)
        self.output = nn.Linear(settings.width, num_classes)

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output."""
        blocks = [pair for block in self.blocks for pair in block.pairs()]  # type: ignore[operator]  # a container forgets types
        return measured(self, [(self.patches, None), *blocks, (self.output, None)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, C, H, W]`."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token().expand(len(x), -1, -1), patches], dim=1)
        tokens = self.blocks(self.drop(tokens + self.positions()))
        return self.output(self.norm(tokens[:, 0]))  # type: ignore[no-any-return]  # a module's call forgets types
