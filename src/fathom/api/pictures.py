"""Pictures of what a study is made of: activations side by side, samples of a data set."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom import card
from fathom.activations import ACTIVATIONS, Activation
from fathom.api.checks import check
from fathom.api.examined import AnyActivation, choice_of
from fathom.data.splits import prepare
from fathom.errors import FathomError
from fathom.figures.samples import (
    MAX_COLUMNS,
    MAX_IMAGES,
    MAX_POINTS,
    grid_numbers,
    has_points,
    point_chart,
    point_numbers,
)
from fathom.spec import study as spec
from fathom.spec.nodes import from_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_activations(
    activations: Sequence[AnyActivation], *, reach: float = 5.0, columns: int = 2
) -> "Figure":
    """Draw activations with their derivatives, a panel for each.

    Args:
        activations: Names, mappings with parameters, or your own functions of a tensor.
        reach: The curves go from -reach to reach.
        columns: Panels in a row.

    Returns:
        A figure to show, change or save; values beyond +-5 are cut off.

    Raises:
        FathomError: If there is no such activation, one fails on a few numbers, or a number is out
            of its range.
    """
    from fathom.figures.draw import draw

    check("reach", reach, above=0)
    check("columns", columns, minimum=1, maximum=MAX_COLUMNS, whole=True)
    if not activations:
        raise FathomError("draw_activations: got no activation")
    built: dict[str, Activation] = {}
    for given in activations:
        choice = choice_of(given)
        built[choice.label] = ACTIVATIONS.build(choice)
    return draw(card.grid(built, reach=reach, columns=columns))


def draw_samples(
    data: str | Mapping[str, Any],
    *,
    count: int = 16,
    columns: int = 4,
    data_dir: Sequence[Path] = (),
    sets: Sequence[str] = (),
) -> "Figure":
    """Draw some images of a data set with their classes; of points in the plane, the points.

    Args:
        data: What a study has under `data`: a name, or a mapping with more settings.
        count: How many images.
        columns: Images in a row.
        data_dir: Folders where data sets are looked for.
        sets: Texts such as `data.image_size=64` that replace settings.

    Returns:
        A figure to show, change or save.

    Raises:
        FathomError: If there is no such data set, it cannot be found, its samples are no images,
            or a number is out of its range.
    """
    from fathom.figures.draw import draw
    from fathom.figures.draw_samples import draw_grid

    check("count", count, minimum=1, maximum=MAX_IMAGES, whole=True)
    check("columns", columns, minimum=1, maximum=MAX_COLUMNS, whole=True)
    settings = {"data": data, "activation": "relu", "model": {"depth": 1}}
    study = spec.Study.from_node(from_plain(settings), "data", sets)
    config, *others = {run.data: None for run in study.runs()}
    if others:
        raise FathomError("data: is a sweep; one data set can be drawn at a time")
    limit = min(MAX_POINTS, config.limit or MAX_POINTS)
    prepared = prepare(dataclasses.replace(config, limit=limit), data_dir)
    if has_points(prepared):
        return draw(point_chart(point_numbers(prepared)))
    return draw_grid(grid_numbers(prepared, count), columns)
