"""A decision surface over training as pictures in a row: one figure that changes with the epoch.

All pictures of a run have one scale of colours and one pair of axes, so that what changes between
two of them is what the network learned.

Shapes: T epochs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, final, overload

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from fathom.figures.cases import Accuracies
from fathom.figures.charts import Chart, Panel
from fathom.figures.draw import draw, quietly
from fathom.figures.paint import write
from fathom.figures.plane import panel
from fathom.surfaces import Surface

MAX_PICTURES: Final = 500  # at 160 ms each, 80 s: nobody looks at more

_DPI: Final = 100


class Animation(NamedTuple):
    """What is shown.

    Attributes:
        title: Text over every picture.
        surface: What the network answered, at T epochs.
        accuracies: How well it did at each of them, T.
    """

    title: str
    surface: Surface
    accuracies: tuple[Accuracies, ...]


def thinned(surface: Surface) -> Surface:
    """Keep at most `MAX_PICTURES` of the epochs, spread evenly, the first and the last too."""
    count = len(surface.epochs)
    if count <= MAX_PICTURES:
        return surface
    places = np.linspace(0, count - 1, MAX_PICTURES).round().astype(np.int64)
    return replace(surface, epochs=surface.epochs[places], log_odds=surface.log_odds[places])


def panels(animation: Animation) -> list[Panel]:
    """Describe each picture, in the order of the epochs; its title says which one it is."""
    describe = _describer(animation)
    return [describe(place) for place in range(len(animation.surface.epochs))]


def _describer(animation: Animation) -> Callable[[int], Panel]:
    surface, reached = animation.surface, animation.accuracies
    lacks_numbers = bool(np.isnan(surface.log_odds).any())

    def describe(place: int) -> Panel:
        title = f"epoch {surface.epochs[place]}: {reached[place].text}"
        return panel(surface, place, title, may_lack_numbers=lacks_numbers)

    return describe


@final
class _Pictures(Sequence[Image.Image]):
    """Pictures that are drawn when they are asked for, and not kept."""

    def __init__(self, count: int, picture: Callable[[int], Image.Image]) -> None:
        self._places = range(count)
        self._picture = picture

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Image.Image: ...
    @overload
    def __getitem__(self, place: slice) -> list[Image.Image]: ...
    def __getitem__(self, place: int | slice) -> Image.Image | list[Image.Image]:
        if isinstance(place, slice):
            return [self._picture(one) for one in self._places[place]]
        return self._picture(self._places[place])


def pictures(animation: Animation) -> Sequence[Image.Image]:
    """Draw the pictures, each one when it is asked for: a picture takes a megabyte.

    The figure is laid out and painted once, and then only what lies in the axes is painted anew:
    that takes a fifth of the time.

    Args:
        animation: What is shown; at least one epoch.

    Returns:
        T pictures in RGB of one size, whose sides are even, as films want them.
    """
    describe = _describer(animation)
    figure = draw(Chart(title=animation.title, panels=(describe(0),), columns=1))
    width, height = np.ceil(figure.get_size_inches() * _DPI / 2) * 2 / _DPI
    figure.set_dpi(_DPI)
    figure.set_size_inches(width, height)
    canvas: Any = FigureCanvasAgg(figure)  # Any: matplotlib gives its methods no types
    ax = figure.axes[0]
    show = _shower(ax)
    artists = sorted(ax.get_children(), key=lambda artist: artist.get_zorder())
    moving = [artist for artist in artists if artist not in {ax.patch, ax.xaxis, ax.yaxis}]
    for artist in moving:
        artist.set_animated(True)  # left out when the canvas is drawn
    with quietly():
        canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)

    def picture(place: int) -> Image.Image:
        show(describe(place))
        canvas.restore_region(still)
        with quietly():
            for artist in moving:
                artist.draw(canvas.get_renderer())
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])

    return _Pictures(len(animation.surface.epochs), picture)


def _shower(ax: Axes) -> Callable[[Panel], None]:
    """Return what puts another panel's surface, boundary and title into painted axes."""
    surface = next(iter((*ax.images, *ax.collections)))  # a grid with uneven steps is a mesh
    boundary = ax.lines[0]  # `paint_panel` begins with the lines, and there is one
    title = ax.set_title("", loc="left")

    def show(one: Panel) -> None:
        assert one.heat_map is not None
        surface.set_array(one.heat_map.z)
        boundary.set_data(one.lines[0].x, one.lines[0].y)
        write(title, one.title)

    return show
