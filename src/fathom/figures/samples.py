"""What a data set looks like: some of its images with their classes, or points in the plane.

Not a figure of a study's results, and so not in the registry. Shapes: N samples, C channels,
H height, W width.
"""

from typing import Final, NamedTuple

import numpy as np
from torch import Tensor

from fathom.data.splits import PreparedData
from fathom.figures.charts import Axis, Chart, Floats, Panel, Points
from fathom.figures.frames import FigureError
from fathom.figures.palette import category
from fathom.metrics import Labels

MAX_IMAGES: Final = 400
MAX_COLUMNS: Final = 20
MAX_POINTS: Final = 1_000


class SampleGrid(NamedTuple):
    """Images in the order in which they are trained on first.

    Attributes:
        name: Of the data set.
        images: `[N, H, W]` or, in colour, `[N, H, W, 3]`; from 0 to 1.
        titles: Class of each; several labels are joined by commas.
    """

    name: str
    images: Floats
    titles: tuple[str, ...]


class SamplePoints(NamedTuple):
    """Points in the plane.

    Attributes:
        name: Of the data set.
        points: `[N, 2]`.
        labels: `[N]`, from 0 on.
        class_names: One for each label.
    """

    name: str
    points: Floats
    labels: Labels
    class_names: tuple[str, ...]


def has_points(data: PreparedData) -> bool:
    """Tell whether samples are points in the plane with one label each."""
    return tuple(data.sample_shape) == (2,) and not data.multi_label


def grid_numbers(data: PreparedData, count: int = 16) -> SampleGrid:
    """Take the first images of the training part, which is a mixture.

    Args:
        data: The data set.
        count: How many, at least 1; all where there are fewer.

    Raises:
        FigureError: If samples are no images.
    """
    shape = data.sample_shape
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in {1, 3})):
        raise FigureError(
            f"samples of '{data.config.name}' have shape {list(shape)} and are no images: "
            "those are [H, W], [1, H, W] or [3, H, W]"
        )
    images = data.train.inputs[:count].numpy().reshape(-1, *shape)
    if len(shape) == 3:
        images = images[:, 0] if shape[0] == 1 else images.transpose(0, 2, 3, 1)
    return SampleGrid(data.config.name, _brightness(images), _titles(data, count))


def point_numbers(data: PreparedData, count: int = MAX_POINTS) -> SamplePoints:
    """Take the first points of the training part.

    Raises:
        FigureError: If samples are not points in the plane.
    """
    if not has_points(data):
        raise FigureError(f"samples of '{data.config.name}' are no points in the plane")
    points = data.train.inputs[:count].numpy().astype(np.float64)
    labels = data.train.targets[:count].numpy()
    return SamplePoints(data.config.name, points, labels, _class_names(data))


def point_chart(numbers: SamplePoints) -> Chart:
    """Draw the points, a colour for each class."""
    points = tuple(
        Points(
            name=name,
            x=numbers.points[numbers.labels == label, 0],
            y=numbers.points[numbers.labels == label, 1],
            colour=category(label)[0],
        )
        for label, name in enumerate(numbers.class_names)
    )
    panel = Panel(title="", x=Axis(label="feature 1"), y=Axis(label="feature 2"), points=points)
    return Chart(
        title=f"{numbers.name}: {len(numbers.labels):,} points", panels=(panel,), columns=1
    )


def _brightness(images: Floats) -> Floats:
    """Map bytes from 0 to 255, and any other numbers from their range, to 0 to 1."""
    if images.dtype == np.uint8:
        return images / 255
    low, high = float(images.min()), float(images.max())
    return (images.astype(np.float64) - low) / (high - low or 1.0)


def _class_names(data: PreparedData) -> tuple[str, ...]:
    return data.class_names or tuple(map(str, range(data.num_classes)))


def _titles(data: PreparedData, count: int) -> tuple[str, ...]:
    names = _class_names(data)
    return tuple(_title(target, names) for target in data.train.targets[:count])


def _title(target: Tensor, names: tuple[str, ...]) -> str:
    if target.dim() == 0:
        return names[int(target)]
    return ", ".join(names[int(k)] for k in target.nonzero()) or "no label"
