"""A decision surface over training as pictures in a row: one figure that changes with the epoch.

All pictures of a run have one scale of colours and one pair of axes, so that what changes between
two of them is what the network learned.

Shapes: T epochs.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

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


def panels(animation: Animation) -> list[Panel]:
    """Describe each picture, in the order of the epochs; its title says which one it is."""
    surface = animation.surface
    lacks_numbers = bool(np.isnan(surface.shares).any())
    return [
        panel(surface, place, f"epoch {epoch}: {reached.text}", may_lack_numbers=lacks_numbers)
        for place, (epoch, reached) in enumerate(
            zip(surface.epochs, animation.accuracies, strict=True)
        )
    ]


def pictures(animation: Animation) -> Iterator[Image.Image]:
    """Draw the pictures one after another.

    The figure is laid out and painted once, and then only what lies in the axes is painted anew:
    that takes a fifth of the time.

    Args:
        animation: What is shown; at least one epoch.

    Yields:
        T pictures in RGB of one size, whose sides are even, as films want them.
    """
    shown = panels(animation)
    figure = draw(Chart(title=animation.title, panels=(shown[0],), columns=1))
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
    for one in shown:
        show(one)
        canvas.restore_region(still)
        with quietly():
            for artist in moving:
                artist.draw(canvas.get_renderer())
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


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
