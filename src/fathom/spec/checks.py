"""What a single setting may be: strict checks with messages, as metadata for pydantic's models.

A check turns one written value into one typed value. `Axis` wraps the check of a setting that can
be swept: a value or a list of values becomes a tuple.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from fathom.spec.nodes import MAX_PROBLEMS, Json, Loc, Plain, printable

T = TypeVar("T")

MAX_VALUES: Final = (
    1_000  # on one axis; enough for any sweep, and written out in full it loads back
)

Fault = tuple[Loc, str]


class Wrong(Exception):
    """A value is not allowed; every check raises it.

    Args:
        faults: Places inside the value, each with what was given and what is allowed.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(*(message for _, message in self.faults))


def refuse(message: str, place: Loc = ()) -> NoReturn:
    """Refuse a value with one message.

    Args:
        message: What was given and what is allowed.
        place: Where in the value.

    Raises:
        Wrong: Always.
    """
    raise Wrong([(place, message)])


def collect(pairs: Iterable[tuple[str | int, Any]], check: Callable[[Any], T]) -> list[T]:
    """Check every value, and fail once with the faults of all.

    Raises:
        Wrong: If some values are not allowed; past the first fifty, the rest is not looked at.
    """
    good: list[T] = []
    faults: list[Fault] = []
    for key, value in pairs:
        try:
            good.append(check(value))
        except Wrong as wrong:
            faults += [((key, *loc), message) for loc, message in wrong.faults]
            if len(faults) >= MAX_PROBLEMS:
                break
    if faults:
        raise Wrong(faults)
    return good


def first_repeat(values: Iterable[Hashable]) -> int | None:
    """Return the place of the first value that was there before, or None."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            return index
        seen.add(value)
    return None


def validator(check: Callable[[Any], Any]) -> CoreSchema:
    """Make a pydantic schema of a function that raises `Wrong`."""

    def validate(value: Plain) -> Plain:
        try:
            return check(value)
        except Wrong as wrong:
            details = [_as_detail(loc, message) for loc, message in wrong.faults]
            raise ValidationError.from_exception_data("study", details) from None

    return core_schema.no_info_plain_validator_function(validate)


def _as_detail(loc: Loc, message: str) -> InitErrorDetails:
    # Escaped here already: pydantic cannot carry half a surrogate pair.
    error = PydanticCustomError("wrong", "{message}", {"message": printable(message)})
    return {"type": error, "loc": loc, "input": None}


class Check(ABC):
    """What one value of a setting may be."""

    @abstractmethod
    def one(self, value: Plain) -> Plain:
        """Return the typed value, or raise `Wrong`."""

    @abstractmethod
    def schema(self) -> Json:
        """Return the JSON schema of one value."""

    def many(self, value: Plain) -> tuple[Any, ...]:
        """Return the values of a sweep: of a list its items, of anything else itself."""
        if not self.is_list(value):
            return (self.one(value),)
        if not value:
            refuse("an empty list leaves nothing to train; give at least one value")
        return tuple(collect(enumerate(value), self.one))

    def is_list(self, value: Plain) -> bool:
        """Whether a written value is a list of values rather than one."""
        return isinstance(value, list)

    def matches(self, pattern: Plain, value: Plain) -> bool:
        """Whether a value is one that a condition means."""
        return bool(pattern == value)

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return validator(self.one)


@dataclass(frozen=True)
class Axis:
    """Marks a setting that can be swept.

    Attributes:
        check: What each value may be.
    """

    check: Check

    def values(self, value: Plain) -> tuple[Any, ...]:
        """Return all values; one that is listed twice is refused."""
        if isinstance(value, list) and len(value) > MAX_VALUES:
            refuse(f"got {len(value):,} values; must be {MAX_VALUES:,} at most")
        values = self.check.many(value)
        index = first_repeat(values)
        if index is not None:
            # Values that a parameter's sweep made have no place of their own: point at the whole.
            own_place = self.check.is_list(value) and len(values) == len(value)
            message = "the same value twice; each is trained once"
            refuse(message, (index,) if own_place else ())
        return values

    def schema(self) -> Json:
        """Return the JSON schema of a value or a list of values."""
        one = self.check.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return validator(self.values)
