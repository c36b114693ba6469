"""Rules of a study: which cells of the grid are left out, and which get other settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fathom.spec.checks import Check, collect, first_repeat, refuse
from fathom.spec.components import Component
from fathom.spec.keys import AXES, resolve_axis, unknown_key
from fathom.spec.nodes import Json, Plain, show

MAX_RULES: Final = 1_000

Cell = Mapping[str, Plain]  # dotted path -> value
Condition = dict[str, tuple[Plain, ...]]  # dotted path -> values that are meant


@dataclass(frozen=True)
class Override:
    """Settings for the cells that a condition means.

    Attributes:
        where: The condition.
        set: Dotted path -> value.
    """

    where: Condition
    set: dict[str, Plain]


def meant_values(
    path: str, patterns: tuple[Plain, ...], values: tuple[Plain, ...]
) -> frozenset[Plain]:
    """Return those of a setting's values that a condition means."""
    matches = AXES[path].check.matches
    return frozenset(v for v in values if any(matches(pattern, v) for pattern in patterns))


@dataclass(frozen=True)
class BySetting(Check):
    """A mapping from settings, by path or short name, to values.

    Attributes:
        single: Exactly one value each (to set them), rather than one or several (to match them).
    """

    single: bool

    def one(self, value: Plain) -> dict[str, Plain]:
        """Return the values by dotted path."""
        if not isinstance(value, dict) or not value:
            example = "{train.lr: 0.001}" if self.single else "{depth: [40, 50]}"
            refuse(f"got {show(value)}; must be a mapping such as {example}")
        found = collect(((key, (key, item)) for key, item in value.items()), self._entry)
        index = first_repeat(path for path, _ in found)
        if index is not None:
            refuse(f"{found[index][0]} is given twice", (list(value)[index],))
        return dict(found)

    def schema(self) -> Json:
        """Return a mapping; its keys may be short, so that editors cannot check its values."""
        return {"type": "object", "minProperties": 1}

    def _entry(self, item: tuple[str, Plain]) -> tuple[str, Plain]:
        path = resolve_axis(item[0])
        check = AXES[path].check
        if self.single:
            return path, check.one(item[1])
        if isinstance(check, Component):
            return path, check.many(item[1], keep_defaults=True)
        return path, check.many(item[1])


@dataclass(frozen=True)
class OverrideCheck(Check):
    """A mapping with `where` and `set`."""

    def one(self, value: Plain) -> Override:
        """Return the override."""
        example = "{where: {activation: relu}, set: {init: he_uniform}}"
        if not isinstance(value, dict):
            refuse(f"got {show(value)}; must be a mapping such as {example}")
        parts = {"where": BySetting(single=False), "set": BySetting(single=True)}

        def check(item: tuple[str, Plain]) -> tuple[str, dict[str, Plain]]:
            key, settings = item
            if key not in parts:
                refuse(unknown_key(key, parts))
            return key, parts[key].one(settings)

        found = dict(collect(((key, (key, item)) for key, item in value.items()), check))
        if set(found) != set(parts):
            refuse(f"needs both where and set, such as {example}")
        return Override(where=found["where"], set=found["set"])

    def schema(self) -> Json:
        """Return a mapping with two mappings."""
        rule = BySetting(single=False).schema()
        return {
            "type": "object",
            "properties": {"where": rule, "set": rule},
            "required": ["where", "set"],
            "additionalProperties": False,
        }


@dataclass(frozen=True)
class Several(Check):
    """A list of rules.

    Attributes:
        rule: What each of them must be.
    """

    rule: Check

    def one(self, value: Plain) -> tuple[Plain, ...]:
        """Return the rules."""
        if not isinstance(value, list):
            refuse(f"got {show(value)}; must be a list, one rule in each item")
        if len(value) > MAX_RULES:
            refuse(f"got {len(value):,} rules; must be {MAX_RULES:,} at most")
        return tuple(collect(enumerate(value), self.rule.one))

    def schema(self) -> Json:
        """Return a list."""
        return {"type": "array", "items": self.rule.schema()}
