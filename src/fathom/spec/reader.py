"""Reads YAML 1.2 from strangers: plain values with places, and nothing that a file could do.

The events of the parser are walked here, so that no constructor ever runs. What makes YAML
surprising or dangerous is refused: tags, anchors, aliases, merge keys, directives, duplicate keys,
several documents, deep nesting, more text or values than a study can need. `no` stays text.
"""

import io
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from fathom.errors import Problem, StudyError
from fathom.spec.nodes import MAX_PROBLEMS, Node, join, show

MAX_BYTES: Final = 2**20
MAX_LINE: Final = 20_000  # characters; the parser's time is quadratic in the length of a tag
MAX_LINES: Final = 20_000
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 20_000  # half a second of parsing
MAX_DIGITS: Final = 400  # float overflows long before; int() refuses more than 4,300

Event = Any  # ruamel's, whose attributes have no types
Mark = Any

# Source: YAML 1.2.2, sec. 5.1, rule [1] c-printable.
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def decode(raw: bytes, source: str) -> str:
    """Turn a file's bytes into text.

    Raises:
        StudyError: If there are too many, or they are not UTF-8 (a byte-order mark is allowed).
    """
    if len(raw) > MAX_BYTES:
        _refuse(source, f"larger than {MAX_BYTES // 2**20} MiB, too large for a study file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        guess = "it looks like UTF-16" if utf16 else f"byte {raw[error.start]:#04x} does not fit"
        line = None if utf16 else raw.count(b"\n", 0, error.start) + 1
        _refuse(source, f"not UTF-8 text: {guess}. Save the file as UTF-8", line)


def read_yaml(text: str, source: str, *, path: str = "", places: bool = True) -> Node:
    """Read one YAML document.

    Args:
        text: The document.
        source: For messages: the file it came from.
        path: Path of the root, for values that are a part of something.
        places: Whether to keep lines and columns.

    Returns:
        The root; its value is None for a text without content.

    Raises:
        StudyError: If the text is not YAML, or holds what is refused.
    """
    _check_characters(text, source)
    reader = _Reader(text, source, places)
    root = reader.read_document(path)
    if reader.problems:
        raise StudyError(source, reader.problems)
    return root


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Give a plain scalar its type: YAML 1.2's core schema without octal and hexadecimal numbers.

    Source: YAML 1.2.2, sec. 10.3.2.

    >>> [resolve_scalar(text) for text in ("1e-3", "no", "0o17", "1:30", "-2", "~", "true")]
    [0.001, 'no', '0o17', '1:30', -2, None, True]
    """
    if text in _WORDS:
        return _WORDS[text]  # type: ignore[no-any-return]
    if len(text) <= MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _check_characters(text: str, source: str) -> None:
    found = _UNPRINTABLE.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        _refuse(source, f"the character U+{ord(found[0]):04X} is not allowed in YAML", line)
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        _refuse(source, f"more than {MAX_LINES:,} lines")
    for number, content in enumerate(lines, 1):
        if len(content) > MAX_LINE:
            _refuse(source, f"a line of more than {MAX_LINE:,} characters", number)


def _refuse(source: str, message: str, line: int | None = None) -> NoReturn:
    raise StudyError(source, [Problem(key="", message=message, line=line)])


class _Reader:
    """Builds nodes from events; keeps what is wrong but leaves the structure readable."""

    def __init__(self, text: str, source: str, places: bool) -> None:
        self.problems: list[Problem] = []
        self.source = source
        self.places = places
        self.count = 0
        self.mark: Mark = None  # of the last event, for failures that have no place of their own
        self.events = self._safe_events(text)

    def read_document(self, path: str) -> Node:
        next(self.events)  # the start of the stream
        event = next(self.events)
        if isinstance(event, StreamEndEvent):
            return Node(None, path)
        self._check_directives(event)
        root = self._read(next(self.events), path, None, depth=1)
        next(self.events)  # the end of the document
        if not isinstance(event := next(self.events), StreamEndEvent):
            self._stop("a second document; a study file holds one", event.start_mark)
        return root

    def _safe_events(self, text: str) -> Iterator[Event]:
        try:
            for event in YAML(typ="safe", pure=True).parse(io.StringIO(text)):
                self.mark = event.start_mark
                yield event
        except StudyError:
            raise
        except Exception as error:  # on odd texts the parser fails beyond its own errors
            mark = getattr(error, "problem_mark", None) or self.mark
            detail = getattr(error, "problem", None) or "something here cannot be read"
            if "'\\t'" in detail:
                detail = "a tab where YAML wants spaces"
            self._stop(f"not valid YAML: {detail}", mark)

    def _read(self, event: Event, path: str, key_mark: Mark, depth: int) -> Node:
        mark = key_mark or event.start_mark
        node = Node(None, path, *self._place(mark))
        self.count += 1
        if self.count > MAX_VALUES:
            self._stop(f"more than {MAX_VALUES:,} values", mark)
        if depth > MAX_DEPTH:
            self._stop(f"nested deeper than {MAX_DEPTH} levels", mark)
        self._check_extras(event, node)
        if isinstance(event, SequenceStartEvent):
            node.value = self._read_list(path, depth)
        elif isinstance(event, MappingStartEvent):
            node.value = self._read_mapping(path, depth)
        elif isinstance(event, ScalarEvent):
            plain = event.style is None
            node.value = resolve_scalar(event.value) if plain else event.value
        return node

    def _read_list(self, path: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self._read(event, f"{path}[{len(items)}]", None, depth + 1))
        return items

    def _read_mapping(self, path: str, depth: int) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            mark = event.start_mark
            key_node = self._read(event, path, None, depth + 1)
            if not isinstance(event, ScalarEvent | AliasEvent):
                self._add(key_node, "a key must be a word, not a list or a mapping")
            key = event.value if isinstance(event, ScalarEvent) else ""
            child = self._read(next(self.events), join(path, key), mark, depth + 1)
            if key == "<<" and event.style is None:
                self._add(child, "merge keys ('<<') are not allowed; write the settings out")
            elif key in children:
                first = children[key].line
                self._add(child, f"{show(key)} is given twice, first in line {first}")
            children.setdefault(key, child)
        return children

    def _check_extras(self, event: Event, node: Node) -> None:
        if event.anchor:
            sign, kind = ("*", "aliases") if isinstance(event, AliasEvent) else ("&", "anchors")
            name = f"{sign}{event.anchor[:40]}"
            self._add(node, f"{kind} ('{name}') are not allowed; write the value out")
        if getattr(event, "tag", None):
            tag = show(event.tag.replace("tag:yaml.org,2002:", "!!"))
            self._add(node, f"tags ({tag}) are not allowed; leave it out")

    def _check_directives(self, event: DocumentStartEvent) -> None:
        if event.tags or event.version not in {None, (1, 2)}:
            message = "directives (%YAML, %TAG) are not allowed; this is YAML 1.2"
            self._stop(message, event.start_mark)

    def _add(self, node: Node, message: str) -> None:
        self.problems.append(node.problem(message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise StudyError(self.source, self.problems)

    def _place(self, mark: Mark) -> tuple[int | None, int | None]:
        return (mark.line + 1, mark.column + 1) if self.places and mark else (None, None)

    def _stop(self, message: str, mark: Mark) -> NoReturn:
        problem = Node(None, "", *self._place(mark)).problem(message)
        raise StudyError(self.source, [*self.problems, problem]) from None
