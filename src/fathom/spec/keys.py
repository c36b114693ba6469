"""Settings by name: dotted paths, the short names that stand for them, and which can be swept."""

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel

from fathom.errors import suggestion
from fathom.spec.checks import Axis, Check, refuse
from fathom.spec.nodes import listed, lookalikes, show
from fathom.spec.settings import StudySettings

PARTS: Final = ("data", "model", "train", "record")
# Settings that are written as one value where a part is expected: `data: mnist`.
SHORTHANDS: Final = {"data": "data.name", "model": "model.name"}


def part_model(key: str) -> type[BaseModel] | None:
    """Return the model behind a part such as `train`; None for a plain setting."""
    field = StudySettings.model_fields.get(key)
    model = field.annotation if field else None
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _leaves() -> Iterator[tuple[str, Check | Axis]]:
    for key, field in StudySettings.model_fields.items():
        model = part_model(key)
        if model is None:
            yield key, field.metadata[0]
        else:
            for name, inner in model.model_fields.items():
                yield f"{key}.{name}", inner.metadata[0]


LEAVES: Final[dict[str, Check | Axis]] = dict(_leaves())
AXES: Final[dict[str, Axis]] = {
    path: check for path, check in LEAVES.items() if isinstance(check, Axis)
}


def own_name(path: str) -> str:
    """Return the last part of a path.

    >>> own_name("train.lr"), own_name("init")
    ('lr', 'init')
    """
    return path.rpartition(".")[2]


_OWN_NAMES: Final = [own_name(path) for path in LEAVES]
SHORT: Final[dict[str, str]] = {
    own_name(path): path for path in LEAVES if _OWN_NAMES.count(own_name(path)) == 1
}


def resolve_key(key: str) -> str | None:
    """Find the path that a key means: a path, a part's shorthand, or a name that is unique.

    >>> resolve_key("lr"), resolve_key("train.lr"), resolve_key("data"), resolve_key("seed")
    ('train.lr', 'train.lr', 'data.name', 'seed')
    """
    if key in LEAVES:
        return key
    return SHORTHANDS.get(key) or SHORT.get(key)


def resolve_axis(key: str) -> str:
    """Find the path of a setting that runs may differ in; `Wrong` is raised for any other key."""
    path = resolve_key(key)
    if path is None:
        short = [own_name(path) for path in AXES if own_name(path) in SHORT]
        others = [path for path in AXES if own_name(path) not in SHORT]
        refuse(unknown_key(key, [*short, *AXES, *SHORTHANDS], shown=sorted([*short, *others])))
    if path not in AXES:
        refuse(f"all runs of a study have the same {path}; it cannot be swept or matched")
    return path


def unknown_key(key: str, known: Iterable[str], shown: Iterable[str] | None = None) -> str:
    """Say that a key is unknown, which is nearest, and what is known.

    Args:
        key: What was written.
        known: Every name that would have been right.
        shown: Those to list; all of them when omitted.
    """
    known = list(known)
    near = suggestion(key, known)
    elsewhere = SHORT.get(key)
    if elsewhere and elsewhere not in known:
        near = f" Did you mean '{elsewhere}'?"
    return f"unknown key {show(key)}.{near}{lookalikes(key)} Known: {listed(shown or known)}"
