"""A component's parameters: what their annotations allow, in words, as values, as JSON schema."""

import inspect
import types
from functools import partial
from typing import Any, Final, Literal, Union, get_args, get_origin

from fathom.errors import suggestion
from fathom.registry import Value
from fathom.spec.checks import Wrong, collect
from fathom.spec.nodes import Json, Plain, listed, show

Annotation = Any  # of a parameter: a type, a union, a Literal

MAX_ITEMS: Final = 1_000
MAX_NUMBER: Final = 1e300

# What to call a type in a message, and in a JSON schema.
_NAMES: Final[dict[Any, tuple[str, str]]] = {
    float: ("a number", "number"),
    int: ("an integer", "integer"),
    bool: ("true or false", "boolean"),
    str: ("text", "string"),
    type(None): ("null", "null"),
}


def takes_list(annotation: Annotation) -> bool:
    """Whether one value is itself a list."""
    return any(_origin(kind) is tuple for kind in _kinds(annotation))


def convert(annotation: Annotation, value: Plain) -> Value:
    """Give a written value the type that a parameter's annotation asks for.

    Args:
        annotation: float, int, bool, str, a Literal, a tuple of these, or a union with None.
        value: As it was written.

    Returns:
        The value; lists become tuples and whole numbers become floats where a float is due.

    Raises:
        Wrong: If the value is of another type or not finite.
    """
    for kind in _kinds(annotation):
        if _origin(kind) is tuple and isinstance(value, list) and len(value) <= MAX_ITEMS:
            return tuple(collect(enumerate(value), partial(convert, get_args(kind)[0])))
        if _fits(kind, value):
            fitting: Value = float(value) + 0.0 if kind is float else value  # -0.0 is 0.0
            return fitting
    options = [word for kind in _kinds(annotation) for word in get_args(kind)]
    near = suggestion(value, filter(_is_text, options)) if isinstance(value, str) else ""
    message = f"got {show(value)}; must be {describe(annotation)}{'.' * bool(near)}{near}"
    raise Wrong([((), message)])


def describe(annotation: Annotation) -> str:
    """Say what an annotation allows.

    >>> describe(float | None), describe(tuple[float, ...]), describe(Literal["a", "b"])
    ('a number or null', 'a list of numbers', 'one of a, b')
    """
    return " or ".join(_describe_kind(kind) for kind in _kinds(annotation))


def schema(parameter: inspect.Parameter) -> Json:
    """Return the JSON schema of a parameter: one value, or a list of them to sweep over."""
    one = _schema(parameter.annotation)
    both: Json = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    if parameter.default is parameter.empty:
        return both
    default = parameter.default
    return both | {"default": list(default) if isinstance(default, tuple) else default}


def _kinds(annotation: Annotation) -> tuple[Annotation, ...]:
    is_union = _origin(annotation) in {Union, types.UnionType}
    kinds = get_args(annotation) if is_union else (annotation,)
    known = all(kind in _NAMES or _origin(kind) in {tuple, Literal} for kind in kinds)
    return kinds if known else (bool, int, float, str)  # a user's own function may not say


def _origin(annotation: Annotation) -> object:
    return get_origin(annotation)


def _fits(kind: Annotation, value: Plain) -> bool:
    if _origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if isinstance(value, bool) or _origin(kind) is tuple:
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and abs(value) <= MAX_NUMBER
    return isinstance(value, kind)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _describe_kind(kind: Annotation) -> str:
    if _origin(kind) is tuple:
        return f"a list of {_describe_kind(get_args(kind)[0]).removeprefix('a ')}s"
    if _origin(kind) is Literal:
        return f"one of {listed(get_args(kind))}"
    return _NAMES[kind][0]


def _schema(annotation: Annotation) -> Json:
    kinds = [_schema_of_kind(kind) for kind in _kinds(annotation)]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _schema_of_kind(kind: Annotation) -> Json:
    if _origin(kind) is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if _origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    return {"type": _NAMES[kind][1]}
