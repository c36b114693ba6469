"""Paint a grid of sample images with matplotlib."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fathom.figures.paint import write
from fathom.figures.samples import SampleGrid

_TILE, _GAP, _TOP, _MARGIN = 1.5, 0.3, 0.4, 0.15  # in inches


def draw_grid(numbers: SampleGrid, columns: int = 4) -> Figure:
    """Draw images in rows, each below the names of its classes.

    Args:
        numbers: The images.
        columns: Images in a row, at least 1.

    Returns:
        A figure with an Agg canvas, for `draw.save`.
    """
    columns = min(columns, len(numbers.images))
    rows = -(-len(numbers.images) // columns)
    width = max(2 * _MARGIN + columns * _TILE + (columns - 1) * _GAP / 2, 3.0)
    height = _TOP + rows * (_TILE + _GAP) + _MARGIN
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for index, (image, title) in enumerate(zip(numbers.images, numbers.titles, strict=True)):
        row, column = divmod(index, columns)
        left = _MARGIN + column * (_TILE + _GAP / 2)
        bottom = height - _TOP - (row + 1) * (_TILE + _GAP)
        ax = figure.add_axes((
            left / width,
            (bottom + _MARGIN) / height,
            _TILE / width,
            _TILE / height,
        ))
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()
        write(ax.set_title("", fontsize=8, pad=3), title, most=24)
    write(figure.text(_MARGIN / width, 1 - 0.28 / height, "", fontsize=11), numbers.name)
    return figure
