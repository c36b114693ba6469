"""Colours that everybody can tell apart, bound to the values of a setting.

Source: Okabe & Ito 2008, "Color Universal Design"; the yellow is left out because it vanishes on
white, and black is a mid grey because it would vanish on a dark page. Ordered values take viridis
without its ends.
"""

from typing import Final

import numpy as np

from fathom.figures.charts import Dash
from fathom.figures.frames import Frames, values

CATEGORIES: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
DASHES: Final[tuple[Dash, ...]] = ("solid", "dashed", "dotted", "dashdot")

# Seven stops of viridis between 5 % and 88 %, written down so that no plotting library is loaded.
_VIRIDIS: Final = ("#471365", "#443983", "#34618d", "#26828e", "#1f9e89", "#4ec36b", "#a0da39")


def category(index: int) -> tuple[str, Dash]:
    """Return colour and dash of the value at `index`; 28 values differ from each other."""
    return CATEGORIES[index % len(CATEGORIES)], DASHES[index // len(CATEGORIES) % len(DASHES)]


def ordered(index: int, count: int) -> str:
    """Return the colour at place `index` (from 0) of `count` ordered values."""
    share = index / (count - 1) if count > 1 else 0.0
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _VIRIDIS], dtype=float)
    place = share * (len(stops) - 1)
    red, green, blue = (round(np.interp(place, range(len(stops)), s)) for s in stops.T)
    return f"#{red:02x}{green:02x}{blue:02x}"


def style_of(frames: Frames, setting: str, value: object) -> tuple[str, Dash]:
    """Return the colour and dash of one value of a setting, the same in every figure of a study."""
    table = frames.study_runs if frames.study_runs is not None else frames.runs
    known = values(table, setting)
    index = known.index(value)
    if table[setting].dtype.is_numeric():
        return ordered(index, len(known)), "solid"
    return category(index)
