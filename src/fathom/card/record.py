"""The activation card: all that is known of one activation, as data."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Final

from fathom.activations.base import Activation
from fathom.activations.custom import try_out
from fathom.card.examination import Examination, examine
from fathom.card.shape import Shape, find_shape
from fathom.card.speed import RelativeSpeed, relative_speed

_MOVES: Final = "moves the units of a sample; what follows is of one number, which stays as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What one activation is and does.

    Attributes:
        name: Name of the activation.
        formula: phi as one line of text.
        source: Where the definition comes from.
        layer: What it does to a layer as a whole; empty where it is elementwise.
        shape: Range, limits, symmetry, extremes, flat stretches, kinks.
        examination: Faults and notes at the edges, and the check of the slope.
        speed: Time beside relu's.
    """

    name: str
    formula: str
    source: str
    layer: str
    shape: Shape
    examination: Examination
    speed: RelativeSpeed


def make_card(activation: Activation) -> Card:
    """Examine, describe and time an activation; takes about a tenth of a second.

    Raises:
        ComponentError: If its functions fail on a few numbers, see `try_out`.
    """
    guarded = try_out(activation)
    return Card(
        name=activation.name,
        formula=activation.formula,
        source=activation.source,
        layer="" if activation.order is None else _MOVES,
        shape=find_shape(guarded),
        examination=examine(guarded),
        speed=relative_speed(activation),
    )


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any part of a card goes in, any JSON value comes out
    """Turn a card or a part of it into values that JSON can hold.

    Numbers keep all digits; NaN becomes None, and what is infinite the text `inf` or `-inf`.
    """
    if isinstance(value, float):
        return None if math.isnan(value) else str(value) if math.isinf(value) else value
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_plain(getattr(value, field.name)) for field in fields}
    if hasattr(value, "_asdict"):
        return {name: to_plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {name: to_plain(item) for name, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, tuple | list) else value
