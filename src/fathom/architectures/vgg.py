"""VGG with 11 layers (configuration A), for images of any size."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from torch import Tensor, nn

from fathom.architectures.base import (
    Act,
    Architecture,
    ImageShape,
    MeasuredLayer,
    Network,
    Normalise,
    chain,
    check_norm,
    convolution,
    measured,
    normalisation,
)
from fathom.registry import check_number

# Output channels of the convolutions; a pooling follows each stage.
_STAGES: Final = ((64,), (128,), (256, 256), (512, 512), (512, 512))
_WIDEST: Final = 4096  # hidden layers of the published classifier, on 512 x 7 x 7 numbers


def vgg11(
    *,
    norm: Normalise = "none",
    dropout: float = 0.0,
    classifier: tuple[int, ...] | None = None,
) -> Architecture:
    """Eight 3x3 convolutions in five stages with pooling, then a classifier with hidden layers.

    A pooling that would leave nothing of the image is left out: 28 x 28 pixels have four poolings,
    32 x 32 and more have five.

    Args:
        norm: What stands between each convolution and its activation.
        dropout: Share of the classifier's hidden units that a training step leaves out, from 0 to
            below 1; the published value is 0.5.
        classifier: Widths of its hidden layers. By default two, as wide as what the classifier
            reads and 4096 at most: 4096 and 4096 at 224 x 224, as published; 512 and 512 at
            32 x 32, where 4096 would put 19 of 28 million parameters behind 512 numbers.

    Raises:
        ValueError: If a value is not allowed.
    """
    check_norm(norm)
    check_number("dropout", dropout, minimum=0, below=1)
    for index, width in enumerate(classifier or ()):
        check_number(f"classifier[{index}]", width, minimum=1, whole=True)

    def build(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> Network:
        return VGG(shape, num_classes, act, norm, dropout, classifier)

    return Architecture(
        name="vgg11",
        build=build,
        source="Simonyan & Zisserman 2015, arXiv:1409.1556, table 1, configuration A",
    )


class VGG(Network):
    """VGG-11: `[B, C, H, W] -> [B, K]`."""

    def __init__(
        self,
        shape: ImageShape,
        num_classes: int,
        act: Callable[[], Act],
        norm: Normalise,
        dropout: float,
        classifier: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.features, num_features = _features(shape, act, norm)
        hidden = (min(num_features, _WIDEST),) * 2 if classifier is None else classifier
        self.classifier = _classifier((num_features, *hidden), act, dropout)
        self.output = nn.Linear((num_features, *hidden)[-1], num_classes)

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output."""
        return measured(self, chain([*self.features, *self.classifier, self.output]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, C, H, W]`."""
        return self.output(self.classifier(self.features(x).flatten(1)))  # type: ignore[no-any-return]  # a module's call forgets types


def _features(
    shape: ImageShape, act: Callable[[], Act], norm: Normalise
) -> tuple[nn.Sequential, int]:
    """Make the convolutions, and tell how many numbers of an image they leave."""
    channels, *sides = shape
    features = nn.Sequential()
    number = 0
    for stage, widths in enumerate(_STAGES, 1):
        for width in widths:
            number += 1
            features.add_module(f"conv{number}", convolution(channels, width, 3, norm))
            features.add_module(f"norm{number}", normalisation(norm, width))
            features.add_module(f"act{number}", act())
            channels = width
        if min(sides) >= 2:
            features.add_module(f"pool{stage}", nn.MaxPool2d(2))
            sides = [side // 2 for side in sides]
    return features, channels * sides[0] * sides[1]


def _classifier(widths: Sequence[int], act: Callable[[], Act], dropout: float) -> nn.Sequential:
    """Make the hidden layers between these widths."""
    classifier = nn.Sequential()
    for number, (num_in, num_out) in enumerate(pairwise(widths), 1):
        classifier.add_module(f"linear{number}", nn.Linear(num_in, num_out))
        classifier.add_module(f"act{number}", act())
        classifier.add_module(f"drop{number}", nn.Dropout(dropout))
    return classifier
