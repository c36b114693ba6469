"""A study as it was written: plain values, each with its place in the file."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fathom.errors import Problem

Loc = tuple[str | int, ...]
Plain = Any  # what a user wrote: a scalar, a list, a mapping
Json = dict[str, Any]

MAX_PROBLEMS: Final = 50  # more help nobody, and a hostile file has thousands


@dataclass(slots=True, eq=False)
class Node:
    """One value with its place.

    Attributes:
        value: A dict of nodes, a list of nodes, or a scalar.
        path: How a user would point at it, such as `grid.activation[2]`; empty for the root.
        line: Line of its key, or of the value itself in a list; counted from 1; None from Python.
        column: The same for the column.
    """

    value: Plain
    path: str = ""
    line: int | None = None
    column: int | None = None

    @property
    def is_mapping(self) -> bool:
        """Whether it holds settings by name."""
        return isinstance(self.value, dict)

    def problem(self, message: str) -> Problem:
        """Say that something is wrong here."""
        return Problem(
            key=printable(self.path),
            message=printable(message),
            line=self.line,
            column=self.column,
        )

    def plain(self) -> Plain:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def find(self, loc: Sequence[str | int]) -> "Node":
        """Follow a location as far as it was written.

        An index into something that is no list is skipped: a single value stands for a list of one.
        """
        node = self
        for part in loc:
            children = node.value
            if isinstance(part, int):
                node = children[part] if isinstance(children, list) else node
            elif isinstance(children, dict) and part in children:
                node = children[part]
        return node


def from_plain(value: Plain, path: str = "") -> Node:
    """Wrap values from Python; tuples, ranges and NumPy arrays become lists, paths become text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, dict):
        children = {str(key): from_plain(v, join(path, str(key))) for key, v in value.items()}
        return Node(children, path)
    if isinstance(value, list | tuple | range):
        return Node([from_plain(v, f"{path}[{i}]") for i, v in enumerate(value)], path)
    return Node(value, path)


def join(path: str, key: str) -> str:
    """Append a key to a path; a long key is cut, because paths are for reading."""
    key = key if len(key) <= 60 else key[:57] + "..."
    return f"{path}.{key}" if path else key


def printable(text: str) -> str:
    r"""Escape what a terminal or a reader could take for anything but text.

    >>> printable("a\x1b[31m\u202eb")
    'a\\x1b[31m\\u202eb'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def show(value: object) -> str:
    """Write a value for a message, the way YAML has it, in 60 characters at most.

    >>> show(True), show(None), show("no"), show([1]), show(0.5)
    ('true', 'null', "'no'", 'a list', '0.5')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, list | tuple | dict):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    if isinstance(value, int) and abs(value) >= 10**60:
        return "an integer of more than 60 digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def lookalikes(text: str) -> str:
    r"""Point at letters that are not what they seem; a sentence with a leading space, or nothing.

    >>> lookalikes("r\u0435lu")
    ' Its letter 2 is U+0435 CYRILLIC SMALL LETTER IE.'
    """
    for place, char in enumerate(text, 1):
        if not char.isascii() and char.isalpha():
            return f" Its letter {place} is U+{ord(char):04X} {unicodedata.name(char, 'unnamed')}."
    return ""


def listed(names: Iterable[str]) -> str:
    """Join names for a message."""
    return ", ".join(names)
