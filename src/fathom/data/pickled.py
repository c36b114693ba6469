"""Data in a pickle, read without running it: numbers, texts, lists, mappings and byte arrays.

A pickle is a program. Python's own reader carries it out, whatever it calls; here the few
instructions that build plain data are carried out by hand, and everything else is refused. Names
of functions are only ever compared with the two that a NumPy array of bytes is written with.

Not covered: pickles of protocol 0 and 1 in text, and arrays of anything but unsigned bytes.
"""

import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from fathom.errors import DataError

_RECONSTRUCT: Final = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_ARRAY: Final = "numpy ndarray"
_DTYPE: Final = "numpy dtype"
_CALLABLE: Final = (*_RECONSTRUCT, _DTYPE)
_NAMES: Final = frozenset({*_CALLABLE, _ARRAY})
_BYTE_TYPES: Final = ("u1", b"u1")

_VALUES: Final = frozenset({
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
})
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED: Final = frozenset({"PROTO", "FRAME"})


@dataclass(frozen=True, slots=True)
class _Name:
    """The name of something in a module, which is never looked up."""

    text: str


@dataclass(slots=True)
class _Made:
    """What a call would have made, with the state it would have been given."""

    maker: str
    state: Any = None


class _Refused(Exception):
    pass


_MARK: Final = object()


def read_pickle(content: bytes, source: Path | str) -> Any:  # noqa: ANN401 - plain data
    """Read plain data from a pickle; no name in it is imported and nothing is called.

    Args:
        content: The bytes of the file.
        source: File name, for messages.

    Returns:
        Numbers, texts (byte strings of Python 2 as Latin-1), lists, tuples, mappings, and
        uint8 arrays.

    Raises:
        DataError: If it is damaged, or asks for anything else.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        return _plain(machine.result)
    except _Refused as error:
        raise DataError(
            f"{source}: {error}; nothing of it was run. Only plain data is read: get the official "
            "file, or the binary version, which needs no pickle"
        ) from error
    except Exception as error:  # whatever foreign bytes make the disassembler trip over
        raise DataError(f"{source}: is no pickle, or damaged ({error})") from error


@dataclass(slots=True)
class _Machine:
    """The stack on which a pickle builds its data."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    result: Any = None

    def step(self, name: str, argument: Any) -> None:  # noqa: ANN401
        """Carry out one instruction.

        Raises:
            _Refused: If it is not one of those that build plain data.
        """
        if name in _IGNORED:
            return
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            self.stack.append(self._pop(_TUPLES[name]))
        elif name in {"BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            self.stack.append(self.memo[argument])
        else:
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:  # noqa: ANN401
        match name:
            case "MARK":
                self.stack.append(_MARK)
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_DICT":
                self.stack.append({})
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE":
                self.stack.append(self._pop_marked())
            case "APPEND":
                self._extend(self._pop(1))
            case "APPENDS":
                self._extend(self._pop_marked())
            case "SETITEM":
                self._update(self._pop(2))
            case "SETITEMS":
                self._update(self._pop_marked())
            case "GLOBAL":
                self._name(argument)
            case "STACK_GLOBAL":
                self._name(" ".join(map(str, self._pop(2))))
            case "REDUCE":
                self._call(*self._pop(2))
            case "BUILD":
                self._set_state(self.stack.pop())
            case "STOP":
                (self.result,) = self.stack
            case _:
                raise _Refused(f"holds the instruction {name}, which plain data does not need")

    def _pop(self, count: int) -> tuple[Any, ...]:
        taken = tuple(self.stack[-count:])
        del self.stack[-count:]
        return taken

    def _pop_marked(self) -> tuple[Any, ...]:
        start = max(i for i, item in enumerate(self.stack) if item is _MARK)
        taken = tuple(self.stack[start + 1 :])
        del self.stack[start:]
        return taken

    def _extend(self, items: tuple[Any, ...]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise _Refused("adds items to what is no list")
        target.extend(items)

    def _update(self, items: tuple[Any, ...]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise _Refused("adds entries to what is no mapping")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _name(self, text: str) -> None:
        if text not in _NAMES:
            raise _Refused(f"wants '{text[:80].replace(' ', '.')}', which is no plain data")
        self.stack.append(_Name(text))

    def _call(self, function: object, arguments: object) -> None:
        if not isinstance(function, _Name) or function.text not in _CALLABLE:
            raise _Refused("calls what is no array of numbers")
        if function.text == _DTYPE and (
            not isinstance(arguments, tuple) or arguments[:1] not in {(t,) for t in _BYTE_TYPES}
        ):
            raise _Refused(f"holds an array of type {str(arguments)[:40]}, not of unsigned bytes")
        self.stack.append(_Made(function.text))

    def _set_state(self, state: Any) -> None:  # noqa: ANN401
        target = self.stack[-1]
        if not isinstance(target, _Made):
            raise _Refused("sets the state of what is no array of numbers")
        target.state = state


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Turn what arrays were written as into arrays, one level deep in a mapping.

    Raises:
        _Refused: If the whole is no mapping, or an array is not as NumPy writes it.
    """
    if not isinstance(value, dict):
        raise _Refused("holds no mapping")
    return {k: _array(v) if isinstance(v, _Made) else v for k, v in value.items()}


def _array(made: _Made) -> Any:  # noqa: ANN401
    """Build an array from its state: version, shape, type, order, bytes.

    Raises:
        _Refused: If it is not an array of unsigned bytes in C order.
    """
    match made.state:
        case (int(), tuple() as shape, _Made(maker="numpy dtype"), False, str() | bytes() as data):
            content = data.encode("latin-1") if isinstance(data, str) else data
            return np.frombuffer(content, np.uint8).reshape(shape)
    raise _Refused("holds an array that is not one of unsigned bytes, row after row")
