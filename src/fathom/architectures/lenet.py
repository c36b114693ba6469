"""LeNet-5, for images of any size that its two poolings leave something of."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from fathom.architectures.base import (
    Act,
    Architecture,
    ImageShape,
    MeasuredLayer,
    Network,
    measured,
)
from fathom.registry import check_number

_KERNEL = 5


def lenet(*, dropout: float = 0.0) -> Architecture:
    """Two 5x5 convolutions with pooling, then 120 and 84 units."""
    check_number("dropout", dropout, minimum=0, below=1)

    def build(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> Network:
        return LeNet(shape, num_classes, act, dropout)

    return Architecture(
        name="lenet",
        build=build,
        source="LeCun et al. 1998, fig. 2; with maximum pooling and all-to-all connections",
    )


class LeNet(Network):
    """LeNet-5 without padding: `[B, C, H, W] -> [B, K]`.

    Raises:
        ValueError: If nothing is left of the image after two convolutions and poolings.
    """

    def __init__(
        self, shape: ImageShape, num_classes: int, act: Callable[[], Act], dropout: float
    ) -> None:
        super().__init__()
        channels, *sides = shape
        height, width = (((side - _KERNEL + 1) // 2 - _KERNEL + 1) // 2 for side in sides)
        if min(height, width) < 1:
            raise ValueError(
                f"images of {sides[0]} x {sides[1]} are too small for lenet; must be 16 x 16"
            )
        self.conv1 = nn.Conv2d(channels, 6, _KERNEL)
        self.act1 = act()
        self.conv2 = nn.Conv2d(6, 16, _KERNEL)
        self.act2 = act()
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(dropout)
        self.linear1 = nn.Linear(16 * height * width, 120)
        self.act3 = act()
        self.linear2 = nn.Linear(120, 84)
        self.act4 = act()
        self.output = nn.Linear(84, num_classes)

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps from the input to the output."""
        return measured(
            self,
            [
                (self.conv1, self.act1),
                (self.conv2, self.act2),
                (self.linear1, self.act3),
                (self.linear2, self.act4),
                (self.output, None),
            ],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, C, H, W]`."""
        x = self.pool(self.act1(self.conv1(x)))
        x = self.pool(self.act2(self.conv2(x))).flatten(1)
        x = self.drop(self.act3(self.linear1(x)))
        x = self.drop(self.act4(self.linear2(x)))
        return self.output(x)  # type: ignore[no-any-return]  # a module's call forgets types
