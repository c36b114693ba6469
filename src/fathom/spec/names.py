"""Readable names: of values in tables, of runs, of a study's folder."""

import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from fathom.registry import Choice
from fathom.spec.components import Component
from fathom.spec.keys import AXES, own_name
from fathom.spec.nodes import Plain

LONGEST: Final = 80
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9._-]+")
# Names of devices: no file on Windows can have one, whatever follows a dot.
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def slug(name: str) -> str:
    """Turn any text into the name of a folder.

    Different texts give different names, also where a file system ignores case.

    Returns:
        Letters, digits, `.`, `_` and `-`; at most 80 characters; never hidden, empty or reserved.

    >>> slug("he-factor"), slug("../Etc"), slug("étude")[:6]
    ('he-factor', 'etc-de8fd3', 'etude-')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = _FORBIDDEN.sub("-", plain.lower()).strip("._-")[:LONGEST]
    if not safe or _RESERVED.fullmatch(safe):
        safe = f"study-{safe}"
    return name if safe == name else f"{safe[: LONGEST - 7].strip('._-')}-{_hash(name)}"


def labels(path: str, values: Iterable[Hashable]) -> dict[Plain, str]:
    """Write the values of one setting so that different ones read differently.

    A component is written with the parameters that differ from the default, and with those in which
    it differs from others of its name.

    >>> labels("depth", [5, 10]), labels("train.clip_norm", [None, 0.5])
    ({5: '5', 10: '10'}, {None: 'none', 0.5: '0.5'})
    """
    values = list(dict.fromkeys(values))
    check = AXES[path].check if path in AXES else None
    if not isinstance(check, Component):
        return {value: text_of(value) for value in values}
    choices = [c for v in values for c in (v if isinstance(v, tuple) else (v,))]
    differing: dict[str, set[str]] = {}
    for choice in choices:
        differing.setdefault(choice.name, set()).update(key for key, _ in choice.params)
    shown = {c: _choice_label(check, c, differing[c.name]) for c in dict.fromkeys(choices)}
    return {v: _runs_of(map(shown.get, v)) if isinstance(v, tuple) else shown[v] for v in values}


def text_of(value: Plain) -> str:
    """Write one plain value: shortly, but never two different numbers alike.

    >>> text_of(0.001), text_of((512, 256)), text_of(None), text_of(True)
    ('0.001', '512-256', 'none', 'true')
    """
    if isinstance(value, tuple):
        return "-".join(text_of(item) for item in value) or "none"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def run_names(
    cells: Sequence[Sequence[tuple[str, str]]], seeds: Sequence[int], ids: Sequence[str]
) -> list[str]:
    """Name runs by what is swept, their replicate where there are several, and a piece of their id.

    Args:
        cells: For each run its swept settings as (path, readable value).
        seeds: For each run its replicate.
        ids: For each run its id; all different.

    Returns:
        Unique names of letters, digits, `.`, `_` and `-`, of at most 80 characters.
    """
    many = len(set(seeds)) > 1
    stems = [
        _stem(cell, f"s{seed}" if many else "") for cell, seed in zip(cells, seeds, strict=True)
    ]
    names = [f"{stem[: LONGEST - 7]}-{key[:6]}" for stem, key in zip(stems, ids, strict=True)]
    count = Counter(names)
    return [
        name if count[name] == 1 else f"{stem[: LONGEST - 17]}-{key}"
        for name, stem, key in zip(names, stems, ids, strict=True)
    ]


def _stem(cell: Sequence[tuple[str, str]], replicate: str) -> str:
    parts = [text if _stands_alone(path) else f"{own_name(path)}{text}" for path, text in cell]
    safe = (_FORBIDDEN.sub("_", part).strip("._-") for part in (*parts, replicate))
    return "-".join(filter(None, safe)) or "run"


def _stands_alone(path: str) -> bool:
    """Whether a value says what it is: a component's name does, a number does not."""
    return path == "data.name" or (path in AXES and isinstance(AXES[path].check, Component))


def _choice_label(check: Component, choice: Choice, keys: set[str]) -> str:
    if not keys:
        return choice.name
    complete = check.complete(choice)
    inside = ", ".join(f"{key}={_param_text(complete[key])}" for key in complete if key in keys)
    return f"{choice.name}({inside})"


def _param_text(value: Plain) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_param_text(item) for item in value) + "]"
    return text_of(value)


def _runs_of(names: Iterable[str | None]) -> str:
    """Write a list of names with repeats counted, such as `tanh*2+selu`."""
    groups = ((name, len(list(group))) for name, group in itertools.groupby(names))
    written = (f"{name}*{count}" if count > 1 else f"{name}" for name, count in groups)
    return "+".join(written) or "none"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
