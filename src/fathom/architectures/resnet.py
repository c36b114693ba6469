"""ResNet with 18 layers, with a stem for small images or the published one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from torch import Tensor, nn

from fathom.architectures.base import (
    Act,
    Architecture,
    ImageShape,
    Linear,
    MeasuredLayer,
    Network,
    Normalise,
    check_norm,
    convolution,
    measured,
    normalisation,
)
from fathom.registry import check_number

Stem = Literal["auto", "small", "large"]

_STAGES: Final = (64, 128, 256, 512)  # channels; two blocks each
_LARGE: Final = 128  # pixels a side from which on "auto" is the large stem


def resnet18(
    *, stem: Stem = "auto", norm: Normalise = "batch_norm", dropout: float = 0.0
) -> Architecture:
    """Seventeen convolutions, sixteen of them in residual blocks, then one linear layer.

    The shortcut of a block that changes the shape is a 1x1 convolution (option B of the paper), and
    is measured like any layer; the activation that reads it is the one after the sum.

    Args:
        stem: `large` is a 7x7 convolution of stride 2 and 3x3 pooling, as published for 224 x 224;
            `small` is a 3x3 convolution, as in the paper's narrower networks for 32 x 32, so that
            the last stage still sees 4 x 4 positions. `auto` is large where both sides have 128
            pixels or more.
        norm: What stands between each convolution and its activation or sum.
        dropout: Share of what the output layer reads that a training step leaves out, from 0 to
            below 1; published without.

    Raises:
        ValueError: If a value is not allowed.
    """
    if stem not in {"auto", "small", "large"}:
        raise ValueError(f"stem: got '{stem}'; must be one of auto, small, large")
    check_norm(norm)
    check_number("dropout", dropout, minimum=0, below=1)

    def build(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> Network:
        is_large = stem == "large" or (stem == "auto" and min(shape[1:]) >= _LARGE)
        return ResNet(shape[0], num_classes, act, norm, dropout, is_large=is_large)

    return Architecture(
        name="resnet18",
        build=build,
        source="He et al. 2016, arXiv:1512.03385, table 1 and sec. 4.2",
    )


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: `[B, C, H, W] -> [B, D, H/stride, W/stride]`."""

    def __init__(
        self, num_in: int, num_out: int, stride: int, act: Callable[[], Act], norm: Normalise
    ) -> None:
        super().__init__()
        self.conv1 = convolution(num_in, num_out, 3, norm, stride)
        self.norm1 = normalisation(norm, num_out)
        self.act1 = act()
        self.conv2 = convolution(num_out, num_out, 3, norm)
        self.norm2 = normalisation(norm, num_out)
        self.shortcut: nn.Conv2d | None = None
        if num_in != num_out:
            self.shortcut = convolution(num_in, num_out, 1, norm, stride)
            self.shortcut_norm = normalisation(norm, num_out)
        self.act2 = act()

    def pairs(self) -> Iterator[tuple[Linear, Act]]:
        """Yield the linear maps and what reads them."""
        yield self.conv1, self.act1
        yield self.conv2, self.act2
        if self.shortcut is not None:
            yield self.shortcut, self.act2

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of the sum."""
        branch = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return self.act2(branch + x)  # type: ignore[no-any-return]  # a module's call forgets types


class ResNet(Network):
    """ResNet-18: `[B, C, H, W] -> [B, K]`."""

    def __init__(
        self,
        channels: int,
        num_classes: int,
        act: Callable[[], Act],
        norm: Normalise,
        dropout: float,
        *,
        is_large: bool,
    ) -> None:
        super().__init__()
        first = _STAGES[0]
        self.stem = convolution(channels, first, *((7, norm, 2) if is_large else (3, norm)))
        self.stem_norm = normalisation(norm, first)
        self.stem_act = act()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if is_large else nn.Identity()
        self.blocks = nn.Sequential()
        for before, width in zip((first, *_STAGES), _STAGES, strict=False):
            stride = 1 if before == width else 2
            self.blocks.append(Block(before, width, stride, act, norm))
            self.blocks.append(Block(width, width, 1, act, norm))
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(_STAGES[-1], num_classes)

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output, a block's shortcut as its last."""
        blocks = [pair for block in self.blocks for pair in block.pairs()]  # type: ignore[operator]  # a container forgets types
        return measured(self, [(self.stem, self.stem_act), *blocks, (self.output, None)])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, C, H, W]`."""
        x = self.blocks(self.pool(self.stem_act(self.stem_norm(self.stem(x)))))
        return self.output(self.drop(x.mean((2, 3))))  # type: ignore[no-any-return]  # a module's call forgets types
