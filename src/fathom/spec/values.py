"""Checks of plain values: numbers, words, flags, texts, and settings that are lists."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Final

from fathom.errors import suggestion
from fathom.spec.checks import Check, collect, first_repeat, refuse
from fathom.spec.nodes import Json, Plain, listed, show

MAX_SEEDS: Final = 1_000_000


@dataclass(frozen=True)
class Number(Check):
    """A finite number in a range.

    Attributes:
        low: Lower bound.
        high: Upper bound, inclusive unless `open_high`.
        whole: Only integers.
        open_low: The lower bound itself is not allowed.
        open_high: The upper bound itself is not allowed.
        optional: `null` is allowed too.
    """

    low: float
    high: float
    whole: bool = False
    open_low: bool = False
    open_high: bool = False
    optional: bool = False

    def one(self, value: Plain) -> Plain:
        """Return the number as int or float, or None."""
        if value is None and self.optional:
            return None
        is_number = isinstance(value, int if self.whole else int | float)
        if isinstance(value, bool) or not is_number or math.isnan(value):
            refuse(self._message(value, above=False))
        above = value >= self.high if self.open_high else value > self.high
        below = value <= self.low if self.open_low else value < self.low
        if above or below:
            refuse(self._message(value, above=above))
        return int(value) if self.whole else float(value) + 0.0  # -0.0 is 0.0

    def schema(self) -> Json:
        """Return type and range."""
        low = "exclusiveMinimum" if self.open_low else "minimum"
        high = "exclusiveMaximum" if self.open_high else "maximum"
        kind = "integer" if self.whole else "number"
        return {
            "type": [kind, "null"] if self.optional else kind,
            low: self.low,
            high: self.high,
        }

    def _message(self, value: Plain, above: bool) -> str:
        low = f"{'>' if self.open_low else '>='} {self.low:g}"
        top = f"{int(self.high):,}" if self.high == int(self.high) else f"{self.high:g}"
        high = f"{'<' if self.open_high else '<='} {top}"
        bound = f"{low} and {high}" if self.high <= 1 else high if above else low
        noun = "an integer" if self.whole else "a number"
        return f"got {show(value)}; must be {noun} {bound}{' or null' if self.optional else ''}"


@dataclass(frozen=True)
class Word(Check):
    """One of a few words."""

    options: tuple[str, ...]

    def one(self, value: Plain) -> str:
        """Return the word."""
        if not isinstance(value, str) or value not in self.options:
            near = suggestion(value, self.options) if isinstance(value, str) else ""
            refuse(f"got {show(value)}; must be one of {listed(self.options)}.{near}")
        return value

    def schema(self) -> Json:
        """Return the options."""
        return {"enum": list(self.options)}


@dataclass(frozen=True)
class Flag(Check):
    """True or false."""

    def one(self, value: Plain) -> bool:
        """Return the flag."""
        if not isinstance(value, bool):
            refuse(f"got {show(value)}; must be true or false")
        return value

    def schema(self) -> Json:
        """Return the type."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Text(Check):
    """Text of limited length.

    Attributes:
        longest: Most characters.
        empty: Whether it may be empty.
        lines: Whether it may hold more than one line.
        optional: `null` is allowed too.
    """

    longest: int
    empty: bool = False
    lines: bool = False
    optional: bool = False

    def one(self, value: Plain) -> str | None:
        """Return the text."""
        if value is None and self.optional:
            return None
        if not isinstance(value, str):
            hint = " (put it in quotes)" if isinstance(value, bool | int | float) else ""
            refuse(f"got {show(value)}; must be text{hint}")
        if not (value.strip() or self.empty):
            refuse("must not be empty")
        if len(value) > self.longest:
            refuse(f"{len(value):,} characters; must be {self.longest:,} at most")
        allowed = "\n\t" if self.lines else ""
        # Cc are control characters, Cs half a surrogate pair, which no file can hold.
        if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in allowed for c in value):
            refuse(f"got {show(value)}; must be {'' if self.lines else 'one line of '}text")
        return value

    def schema(self) -> Json:
        """Return type and length."""
        kind = ["string", "null"] if self.optional else "string"
        return {"type": kind, "maxLength": self.longest, "minLength": 0 if self.empty else 1}


@dataclass(frozen=True)
class Texts(Check):
    """A list of different texts, which may be empty.

    Attributes:
        longest: Most characters of each.
        most: Most texts.
    """

    longest: int
    most: int

    def one(self, value: Plain) -> tuple[str, ...]:
        """Return the texts."""
        if not isinstance(value, list):
            refuse(f"got {show(value)}; must be a list of names such as [cat, dog]")
        if len(value) > self.most:
            refuse(f"got {len(value):,} names; must be {self.most:,} at most")
        texts = collect(enumerate(value), Text(self.longest).one)
        index = first_repeat(texts)
        if index is not None:
            refuse(f"{show(texts[index])} is listed twice", (index,))
        return tuple(text for text in texts if text is not None)

    def schema(self) -> Json:
        """Return a list of texts."""
        return {"type": "array", "items": Text(self.longest).schema(), "uniqueItems": True}


@dataclass(frozen=True)
class Widths(Check):
    """The widths of all hidden layers: itself a list, so that a sweep is a list of lists.

    An empty list is a network without hidden layers, a linear classifier.
    """

    width: Number
    longest: int

    def one(self, value: Plain) -> tuple[int, ...]:
        """Return the widths."""
        if not isinstance(value, list):
            refuse(f"got {show(value)}; must be a list of widths such as [256, 128]")
        if len(value) > self.longest:
            refuse(f"got {len(value):,} layers; must be {self.longest:,} at most")
        return tuple(collect(enumerate(value), self.width.one))

    def is_list(self, value: Plain) -> bool:
        """Whether it is a list of lists."""
        return isinstance(value, list) and any(isinstance(item, list) for item in value)

    def schema(self) -> Json:
        """Return a list of widths."""
        return {"type": "array", "items": self.width.schema()}


@dataclass(frozen=True)
class Replicates(Check):
    """How many replicates, or which ones."""

    def one(self, value: Plain) -> Plain:
        """Return the number of replicates, or their own numbers."""
        if not isinstance(value, list):
            return Number(1, MAX_SEEDS, whole=True).one(value)
        if not value:
            refuse("an empty list leaves nothing to train; give at least one replicate")
        seeds = collect(enumerate(value), Number(0, 2**53, whole=True).one)
        index = first_repeat(seeds)
        if index is not None:
            refuse(f"replicate {seeds[index]} is listed twice", (index,))
        return len(seeds) if seeds == list(range(len(seeds))) else tuple(seeds)

    def schema(self) -> Json:
        """Return a number or a list of numbers."""
        item = {"type": "integer", "minimum": 0}
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MAX_SEEDS},
                {"type": "array", "items": item, "minItems": 1, "uniqueItems": True},
            ]
        }
