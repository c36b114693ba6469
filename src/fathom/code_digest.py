"""What a user's own function consists of, as a short text: a changed function is another run."""

import dataclasses
import functools
import hashlib
import inspect
import sys
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor

# Functions from here are named, not read: they change with a version, which a study records anyway.
LIBRARIES = frozenset({"fathom", "torch", "numpy", "scipy", *sys.stdlib_module_names})
_TOLD = frozenset({"__module__", "__qualname__", "__doc__", "__firstlineno__"})  # of a class
PLAIN = (bool, int, float, complex, str, bytes, type(None))


def digest_code(*parts: object) -> str:
    """Hash functions and classes, and what they use: bytecode, constants, defaults, globals.

    The same in every process with the same minor version of Python. Comments and the names of local
    variables do not count.

    Not covered: helpers that are reached as attributes of a module, and the state of objects other
    than numbers, texts, tensors and containers of these.

    Args:
        parts: Functions, callable objects, or plain values.

    Returns:
        16 hexadecimal digits.
    """
    seen: set[int] = set()
    text = "\x1f".join(_describe(part, seen) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _describe(given: Any, seen: set[int]) -> str:  # noqa: ANN401 - whatever a function holds
    value = inspect.unwrap(given) if callable(given) else given
    if isinstance(value, PLAIN):
        return f"{type(value).__name__}:{value!r}"
    match value:
        case tuple() | list():
            return f"[{','.join(_describe(item, seen) for item in value)}]"
        case set() | frozenset():
            return f"{{{','.join(sorted(_describe(item, seen) for item in value))}}}"
        case dict():
            pairs = (f"{_describe(k, seen)}={_describe(v, seen)}" for k, v in value.items())
            return f"{{{','.join(sorted(pairs))}}}"
        case Tensor():
            return f"{value.dtype}:{value.tolist()!r}"
        case ModuleType():
            return value.__name__
        case CodeType():
            return f"{value.co_code.hex()}:{value.co_names}:{_describe(value.co_consts, seen)}"
        case functools.partial():
            return _describe((value.func, value.args, value.keywords), seen)
        case MethodType():
            return _describe((value.__func__, value.__self__), seen)
        case FunctionType():
            return _describe_function(value, seen)
        case type():
            return _describe_class(value, seen)
        case _ if dataclasses.is_dataclass(value):
            return _describe_record(value, seen)
        case _:
            return _describe_object(value, seen)


def _describe_function(function: FunctionType, seen: set[int]) -> str:
    package = function.__module__.partition(".")[0]
    if package in LIBRARIES - {"fathom"}:
        return f"{function.__module__}.{function.__qualname__}"
    if id(function) in seen:
        return "seen"  # it calls itself, or two functions share it
    seen.add(id(function))
    cells = [_content(cell) for cell in function.__closure__ or ()]
    if package == "fathom":  # what ours were made with, such as the std of an initializer
        return f"{function.__module__}.{function.__qualname__}{_describe(cells, seen)}"
    used = {name: function.__globals__.get(name) for name in _global_names(function.__code__)}
    parts = (function.__code__, function.__defaults__, function.__kwdefaults__, cells, used)
    return _describe(parts, seen)


def _describe_class(owner: type, seen: set[int]) -> str:
    """Describe a class by its bases, its functions and its values; one of a library by its name."""
    name = f"{owner.__module__}.{owner.__qualname__}"
    if owner.__module__.partition(".")[0] in LIBRARIES:
        return name
    if id(owner) in seen:
        return "seen"  # its own methods name it
    seen.add(id(owner))
    held: dict[str, object] = {}
    for key, item in vars(owner).items():
        function = getattr(item, "__func__", getattr(item, "fget", item))  # of a method, a property
        if isinstance(function, FunctionType) or (isinstance(item, PLAIN) and key not in _TOLD):
            held[key] = function
    return f"{name}{_describe((owner.__bases__, held), seen)}"


def _global_names(code: CodeType) -> set[str]:
    """Collect the names that a function and those within it may look up outside."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _describe_record(value: Any, seen: set[int]) -> str:  # noqa: ANN401
    """Describe a dataclass by its fields; the texts of our components only tell about them."""
    ours = type(value).__module__.partition(".")[0] == "fathom"
    held = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    counted = {key: item for key, item in held.items() if not (ours and isinstance(item, str))}
    return f"{type(value).__module__}.{type(value).__qualname__}{_describe(counted, seen)}"


def _describe_object(value: Any, seen: set[int]) -> str:  # noqa: ANN401
    owner = value if hasattr(value, "__qualname__") else type(value)
    name = f"{getattr(owner, '__module__', None)}.{owner.__qualname__}"
    if owner is value:  # a function written in C
        return name
    plain = (*PLAIN, Tensor)
    state = {k: v for k, v in getattr(value, "__dict__", {}).items() if isinstance(v, plain)}
    call = getattr(owner, "forward", None) or getattr(owner, "__call__", None)  # noqa: B004
    return f"{name}{_describe((state, call), seen)}"
