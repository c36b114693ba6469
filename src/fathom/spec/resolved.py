"""A study written out in full: as YAML that loads back to it, as a digest, as differences."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ruamel.yaml import YAML
from ruamel.yaml.nodes import SequenceNode
from ruamel.yaml.representer import SafeRepresenter

from fathom.errors import StudyError
from fathom.registry import Choice
from fathom.spec.components import Component
from fathom.spec.grid import config_digest, to_plain
from fathom.spec.keys import AXES, LEAVES
from fathom.spec.model import StudyModel
from fathom.spec.nodes import Json, Plain, join, listed, printable, show
from fathom.spec.reader import read_yaml
from fathom.spec.rules import Condition


def write_out(study: StudyModel, *, complete: bool) -> Json:
    """Return a study as plain values, every setting named.

    Args:
        study: The study.
        complete: Name also the parameters of components that have their default values.
    """
    axes = study.axes()
    plain: Json = {}
    for path in LEAVES:
        part, _, name = path.rpartition(".")
        home = plain.setdefault(part, {}) if part else plain
        if path in axes:
            home[name] = _values(path, axes[path], complete)
        elif path not in AXES:
            home[name] = to_plain(getattr(getattr(study, part) if part else study, name))
    plain["exclude"] = [_condition(rule) for rule in study.exclude]
    plain["overrides"] = [
        {
            "where": _condition(rule.where),
            "set": {path: _value(path, value, complete) for path, value in rule.set.items()},
        }
        for rule in study.overrides
    ]
    return plain


class _Representer(SafeRepresenter):
    """Writes lists of numbers and names in one line, everything else in lines of its own."""

    def represent_sequence(
        self,
        tag: str,
        sequence: Sequence[Plain],
        flow_style: bool | None = None,
    ) -> SequenceNode:
        """Represent a list; ruamel's hook."""
        nested = any(isinstance(item, list | dict) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=not nested or flow_style)


def write_yaml(study: StudyModel) -> str:
    """Return a complete study as YAML 1.2 that loads back to the same study."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.width = 100
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None
    stream = io.StringIO()
    yaml.dump(write_out(study, complete=True), stream)
    return stream.getvalue()


def study_digest(study: StudyModel) -> str:
    """Hash everything that runs depend on to 16 hexadecimal digits.

    Name, description, formatting, and whether defaults are written out do not count.
    """
    plain = write_out(study, complete=False)
    return config_digest(plain, leave_out=("name", "description"))


def difference(old: str, new: str) -> list[str]:
    """Tell in what two resolved studies differ.

    Args:
        old: YAML of one study.
        new: YAML of the other.

    Returns:
        A line for each setting, such as `train.lr: 0.01 -> [0.001, 0.01]`; empty for equals.
    """
    try:
        before, after = (dict(_flat("", read_yaml(text, "study").plain())) for text in (old, new))
    except StudyError as error:
        return [f"one of the studies cannot be read: {error.problems[0]}"]
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{key or 'study'}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _condition(condition: Condition) -> Json:
    return {path: _values(path, patterns, complete=False) for path, patterns in condition.items()}


def _values(path: str, values: tuple[Plain, ...], complete: bool) -> Plain:
    written = [_value(path, value, complete) for value in values]
    return written[0] if len(written) == 1 else written


def _value(path: str, value: Plain, complete: bool) -> Plain:
    check = AXES[path].check
    if not isinstance(check, Component):
        return to_plain(value)
    if isinstance(value, tuple):
        return {"per_layer": [_choice(check, choice, complete) for choice in value]}
    return _choice(check, value, complete)


def _choice(check: Component, choice: Choice, complete: bool) -> Plain:
    if complete:
        choice = replace(choice, params=tuple(check.complete(choice).items()))
    return choice.to_plain()


def _flat(path: str, value: Plain) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(join(path, key), item)
    else:
        yield path, _line(value)


def _line(value: Plain) -> str:
    """Write a value on one line."""
    if isinstance(value, list):
        return f"[{listed(map(_line, value))}]"
    if isinstance(value, dict):
        return f"{{{listed(f'{key}: {_line(item)}' for key, item in value.items())}}}"
    return printable(value) if isinstance(value, str) else show(value)
