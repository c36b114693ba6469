"""What one activation is and does: its shape, its faults, its cost and its picture."""

from fathom.card.picture import chart, grid
from fathom.card.record import Card, make_card, to_plain
from fathom.card.text import lines

__all__ = ["Card", "chart", "grid", "lines", "make_card", "to_plain"]
