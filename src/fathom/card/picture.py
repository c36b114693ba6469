"""Pictures of activations: curves and derivatives, with the kinks marked."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from fathom.activations.base import Activation
from fathom.card.kinks import WORDS, Kink, find_kinks
from fathom.card.numbers import Floats, Function, subject
from fathom.figures.charts import Axis, Chart, Line, Panel
from fathom.figures.palette import CATEGORIES

_REACH: Final = 5.0
_FARTHEST: Final = 12.0
_TALLEST: Final = 5.0
_POINTS: Final = 1001


def chart(activation: Activation) -> Chart:
    """Draw phi and phi' over -5 to 5, or wider where a kink lies farther out.

    What lies beyond +-5, such as the branches of a pole, is cut off; where a function jumps, the
    curve has a gap.
    """
    kinks = find_kinks(activation)
    reach = _reach(kinks)
    kinks = tuple(kink for kink in kinks if abs(kink.at) <= reach)
    panel = _panel(activation, activation.formula, kinks, reach)
    return Chart(title=activation.name, panels=(panel,), columns=1, note=_note(kinks))


def grid(
    activations: Mapping[str, Activation], *, reach: float = _REACH, columns: int = 2
) -> Chart:
    """Draw phi and phi' of several activations side by side, over the same range.

    Args:
        activations: By the name that stands over each.
        reach: From -reach to reach; positive.
        columns: Panels in a row, at least 1.

    Returns:
        One panel for each; what lies beyond +-5 is cut off.

    Raises:
        ValueError: If there is no activation, or a number is out of its range.
    """
    if not (activations and 0 < reach < np.inf and columns >= 1):
        raise ValueError(f"{len(activations)} activations, reach {reach}, {columns} columns")
    panels = tuple(
        _panel(phi, name, tuple(k for k in find_kinks(phi) if abs(k.at) <= reach), reach)
        for name, phi in activations.items()
    )
    return Chart(
        title="Activations and their derivatives",
        panels=panels,
        columns=min(columns, len(panels)),
    )


def _panel(activation: Activation, title: str, kinks: tuple[Kink, ...], reach: float) -> Panel:
    value, slope = (subject(activation, q, "float64").double for q in ("value", "slope"))
    jumps = [kink.at for kink in kinks if kink.kind in {"jump", "pole"}]
    x, y = _curve(value, reach, jumps)
    steep_x, steep = _curve(slope, reach, [kink.at for kink in kinks if kink.kind != "bend"])
    blue, orange = CATEGORIES[:2]
    lines = [
        Line(name="value", x=x, y=y, colour=blue),
        Line(name="derivative", x=steep_x, y=steep, colour=orange, dash="dashed"),
    ]
    if kinks:
        lines.append(_marks(value, kinks))
    return Panel(
        title=title,
        x=Axis(label="h"),
        y=Axis(label="phi(h), phi'(h)"),
        lines=tuple(lines),
    )


def _reach(kinks: tuple[Kink, ...]) -> float:
    far = [abs(kink.at) for kink in kinks if abs(kink.at) <= _FARTHEST / 1.25]
    return max([_REACH, *(1.25 * at for at in far)])


def _curve(function: Function, reach: float, gaps: list[float]) -> tuple[Floats, Floats]:
    """Evaluate a function just beside its gaps too, and cut off what is too tall."""
    beside = [at + side * 1e-6 * max(1.0, abs(at)) for at in gaps for side in (-1, 1)]
    x = np.unique([*np.linspace(-reach, reach, _POINTS), *beside, *gaps])
    y = function(x)
    y[np.isin(x, gaps) | ~(np.abs(y) <= _TALLEST)] = np.nan
    return x, y


def _marks(value: Function, kinks: tuple[Kink, ...]) -> Line:
    """Mark the kinks: points with a gap between each two, so that no line joins them."""
    places = np.array([kink.at for kink in kinks])
    heights = value(places)
    heights[~(np.abs(heights) <= _TALLEST)] = 0.0  # a pole has no height; its place still counts
    x, y = np.repeat(places, 2), np.repeat(heights, 2)
    y[1::2] = np.nan
    return Line(name="kinks", x=x, y=y, colour=CATEGORIES[-1], markers=True)


def _note(kinks: tuple[Kink, ...]) -> str:
    if not kinks:
        return ""
    shown = ", ".join(f"{kink.at:.4g} ({WORDS[kink.kind]})" for kink in kinks[:6])
    return f"Kinks: {shown}{', ...' if len(kinks) > 6 else ''}."
