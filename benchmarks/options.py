"""The command line of `python -m benchmarks.step`."""

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from benchmarks.rivals import RIVALS
from benchmarks.setting import ACTIVATIONS, MIXED
from fathom.errors import suggestion

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for.

    Attributes:
        out: JSON file to write; None only with `check`.
        data: Folder of MNIST; None for random bytes.
        depths: Hidden layers, each at least 1.
        activations: Of ACTIVATIONS and MIXED.
        rivals: Keys of RIVALS.
        repeats: Rounds, at least 1.
        check: Compare what the rivals learn, and measure nothing.
    """

    out: Path | None
    data: Path | None
    depths: tuple[int, ...]
    activations: tuple[str, ...]
    rivals: tuple[str, ...]
    repeats: int
    check: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; end the program with one message when something is wrong."""
    command = _parser()
    given = command.parse_args(arguments)
    if given.out is None and not given.check:
        command.error("--out FILE is needed, such as --out results.json")
    if given.out is not None and not given.out.absolute().parent.is_dir():
        command.error(f"--out: there is no folder {given.out.absolute().parent}; make it first")
    if given.out is not None and given.out.is_dir():
        command.error(f"--out: {given.out} is a folder; name a file, such as results.json")
    if given.data is not None and not given.data.is_dir():
        command.error(f"--data: there is no folder {given.data}; leave it out for random bytes")
    if given.quick:
        given.depths, given.activations, given.repeats = (5,), ("relu",), 2
    return Options(**{field.name: getattr(given, field.name) for field in fields(Options)})


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.step",
        description="Measure the training of many small networks, rivals side by side.",
        allow_abbrev=False,
    )
    known = (*ACTIVATIONS, MIXED)
    made.add_argument("--out", type=Path, metavar="FILE", help="JSON file to write")
    made.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where MNIST is; random bytes when left out"
    )
    made.add_argument(
        "--depths", type=_listed(_positive), default=(5, 20, 50), help="hidden layers: 5,20,50"
    )
    made.add_argument(
        "--activations", type=_listed(_one_of(known)), default=known, help=",".join(known)
    )
    made.add_argument(
        "--rivals",
        type=_listed(_one_of(RIVALS)),
        default=tuple(RIVALS),
        help=",".join(RIVALS),
    )
    made.add_argument("--repeats", type=_positive, default=5, help="rounds; medians count")
    made.add_argument("--quick", action="store_true", help="only 5 layers, relu, 2 rounds")
    made.add_argument(
        "--check", action="store_true", help="compare what the rivals learn; measure nothing"
    )
    return made


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}; must be an integer from 1 to 99999, such as 5")


def _one_of(known: Collection[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in known:
            return text
        raise argparse.ArgumentTypeError(
            f"got {text!r}.{suggestion(text, known)} Known: {', '.join(known)}"
        )

    return read


def _listed(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Read several values between commas; repeated ones count once."""
    return lambda text: tuple(dict.fromkeys(read(part.strip()) for part in text.split(",")))
