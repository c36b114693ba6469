"""Damage: noticed by hash before any parser sees the bytes, named, set aside, never deleted."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

from fathom.errors import StoreError
from fathom.store.commit import hash_file, make_folder, sync_folder, writing

QUARANTINE = "quarantine"
# Failures of this process, not of the file: to call the file damaged would be a wrong verdict.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing in a study's folder that is not what was committed.

    Attributes:
        path: Path below the study's folder.
        problem: What is wrong, with the expected and the found hash where there is one.
        kept_at: Where the damaged thing is now, below the study's folder; empty if not moved.
    """

    path: str
    problem: str
    kept_at: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" + (f"; kept as {self.kept_at}" * bool(self.kept_at))


@final
class Checker:
    """Compares files with their hashes, hashing a file again only when it changed on disk."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int, int], str]] = {}

    def problem(self, path: Path, sha256: str, *, again: bool = False) -> str:
        """Say what is wrong with a file.

        Args:
            path: The file.
            sha256: The hash that it must have.
            again: Hash it even if it looks unchanged.

        Returns:
            What is wrong, or an empty text.

        Raises:
            StoreError: If this process cannot read at all (too many open files, no memory).
        """
        try:
            found = self._hash(path, again=again)
        except OSError as error:
            return read_problem(path, error)
        return "" if found == sha256 else f"sha256 is {found}, expected {sha256}"

    def _hash(self, path: Path, *, again: bool) -> str:
        status = os.lstat(path)
        key = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        known_key, known = self._known.get(path, (None, ""))
        if again or key != known_key:
            known = hash_file(path)
            self._known[path] = (key, known)
        return known


def read_problem(path: Path, error: OSError) -> str:
    """Turn a failed read into what is wrong with the file.

    Raises:
        StoreError: If the failure is this process's and not the file's.
    """
    reason = error.strerror or str(error)
    if error.errno in _OURS:
        raise StoreError(f"{path}: cannot be read: {reason}") from error
    return "missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {reason}"


def set_aside(root: Path, path: Path, problem: str) -> Damage:
    """Move a damaged file, or whatever has its name, to the quarantine; the caller holds its lock.

    Args:
        root: The study's folder.
        path: Something below it; may be missing.
        problem: What is wrong.

    Returns:
        The damage with the new place.

    Raises:
        StoreError: If it cannot be moved.
    """
    name = path.relative_to(root).as_posix()
    if not os.path.lexists(path):
        return Damage(path=name, problem=problem)
    target = free_place(root, name)
    with writing(target):
        os.replace(path, target)
    sync_folder(target.parent)
    sync_folder(path.parent)
    return Damage(path=name, problem=problem, kept_at=target.relative_to(root).as_posix())


def free_place(root: Path, name: str) -> Path:
    """Find an unused name in the quarantine, such as `quarantine/cohorts.ab12.epochs.parquet.1`."""
    folder = root / QUARANTINE
    make_folder(folder)
    flat, count = name.replace("/", "."), 1
    while os.path.lexists(folder / f"{flat}.{count}"):
        count += 1
    return folder / f"{flat}.{count}"
