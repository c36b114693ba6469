"""What can be seen of a study's folder at a moment, as the page needs it.

The folder is read as every reader does, without a lock: only what the manifest lists exists, and
that is never changed. It may be missing yet, or be replaced by another study's.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fathom.api import Results
from fathom.errors import FathomError
from fathom.figures.frames import in_order
from fathom.live.runner import describe, in_training
from fathom.report.page import data_elements
from fathom.store.opening import LOCK

Mark = tuple[tuple[int, int, int] | None, ...]

MAX_PROBLEM: Final = 200  # characters of a fault that are shown

_MANIFEST: Final = "manifest"
_RESULTS: Final = (_MANIFEST, "runs.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A study as far as it is.

    Attributes:
        title: Its name; empty while nothing can be read.
        elements: Texts of the page's data elements; none while no run has a result.
        num_runs: Runs of the study.
        num_done: Those that have a result.
        notes: What is left out and why.
        problem: Why the folder cannot be read just now; empty if it can.
    """

    title: str = ""
    elements: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    num_runs: int = 0
    num_done: int = 0
    notes: tuple[str, ...] = ()
    problem: str = ""


def mark(folder: Path) -> Mark:
    """Return what changes whenever results are added, at the cost of looking up two files."""
    return tuple(_status(folder / name) for name in _RESULTS)


def _status(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def look(folder: Path, before: Sight) -> Sight:
    """Read a folder.

    Args:
        folder: The results folder; it need not exist.
        before: What was seen last; it stays where the folder cannot be read.
    """
    if mark(folder)[0] is None:
        problem = f"{folder}: no results yet; waiting for fathom run"
        return replace(before, problem=problem)
    try:
        return _read(Results.open(folder))
    except FathomError as error:  # another moment, or another command, may mend it
        return replace(before, problem=str(error))
    except Exception as error:  # a fault of ours must not end the page of a training
        told = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_PROBLEM]
        return replace(before, problem=f"the page could not be made anew ({told})")


def _read(results: Results) -> Sight:
    frames = in_order(results.predicted)
    elements: Mapping[str, str] = {}
    if not frames.runs.is_empty():
        elements = data_elements(
            frames,
            title=results.title,
            study_yaml=results.study_yaml,
            facts=results.facts,
            files={},
            left_out={},
            loss_steps=results.loss_steps,
        )
    return Sight(
        title=results.title,
        elements=MappingProxyType(dict(elements)),
        num_runs=results.num_runs,
        num_done=frames.runs.height,
        notes=tuple(f"left out: {damage}" for damage in results.damages),
    )


def status(folder: Path, sight: Sight) -> str:
    """Say how far a study is, and what is being trained now.

    Args:
        folder: Its results folder.
        sight: What was seen of it last.
    """
    parts = [sight.problem, *sight.notes]
    if sight.num_runs:
        done = sight.num_done == sight.num_runs
        parts.insert(0, f"{sight.num_done} of {sight.num_runs} runs have a result.")
        parts.append("" if done else describe(in_training(folder)))
    return " ".join(part for part in parts if part)


def require_possible(folder: Path) -> None:
    """Refuse to wait for results in a folder that holds something else.

    Raises:
        FathomError: If it is no folder, or has files and is no results folder.
    """
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise FathomError(f"{folder}: cannot be read: {error.strerror}") from error
    if names and not names & {_MANIFEST, LOCK}:
        raise FathomError(
            f"{folder}: is not a results folder; give the folder that `fathom run` writes, the one "
            "with study.yaml in it, such as results/study"
        )
