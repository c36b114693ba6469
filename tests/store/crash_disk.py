"""A disk that remembers: what was asked of it, and what a power cut at any moment may leave.

`RecordedDisk` lets every call through and notes it. `order_faults` checks the order of the calls.
`crash_image` builds, in another folder, one of the states in which a cut after some number of calls
may leave the disk: data that was not flushed is kept, dropped, torn at a sector or zeroed, names
that were not flushed are there or not.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from fathom.store import commit as commit_module

SECTOR_BYTES = 512
FOLDER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One call: what it did to which name and to which file (a number that survives renames)."""

    kind: str
    path: str = ""
    target: str = ""
    file: int = FOLDER
    data: bytes = b""
    size: int = 0


class RecordedDisk:
    """Records the calls through `os` that change something below `root`."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.ops: list[Op] = []
        self._files: dict[str, int] = {}
        self._open: dict[int, tuple[str, int]] = {}
        self._num_files = 0
        wrappers = {
            "open": self._wrap_open,
            "write": self._wrap_write,
            "fsync": self._wrap_fsync,
            "ftruncate": self._wrap_ftruncate,
            "close": self._wrap_close,
            "replace": self._wrap_replace,
            "unlink": self._wrap_unlink,
            "mkdir": self._wrap_mkdir,
        }
        for name, wrapper in wrappers.items():
            patch.setattr(os, name, wrapper(getattr(os, name)))

    def acknowledge(self, what: str) -> None:
        """Note that the caller was told `what` is saved."""
        self.ops.append(Op(kind="saved", path=what))

    def _name(self, path: Any) -> str | None:
        path = Path(os.fspath(path))
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def _wrap_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            name = self._name(path)
            is_new = name is not None and not os.path.lexists(path)
            descriptor = real(path, flags, *rest, **named)
            if name is None:
                return descriptor
            if is_new:
                self._num_files += 1
                self._files[name] = self._num_files
                self.ops.append(Op(kind="create", path=name, file=self._num_files))
            self._open[descriptor] = (name, self._files.get(name, FOLDER))
            return descriptor

        return opened

    def _wrap_write(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(descriptor: int, data: Any) -> int:
            count = real(descriptor, data)
            if descriptor in self._open:  # the store only ever writes at the end
                name, file = self._open[descriptor]
                self.ops.append(Op(kind="write", path=name, file=file, data=bytes(data)[:count]))
            return count

        return write

    def _wrap_fsync(self, real: Callable[..., None]) -> Callable[..., None]:
        def fsync(descriptor: int) -> None:
            real(descriptor)
            if descriptor in self._open:
                name, file = self._open[descriptor]
                kind = "sync_folder" if file == FOLDER else "sync_file"
                self.ops.append(Op(kind=kind, path=name, file=file))

        return fsync

    def _wrap_ftruncate(self, real: Callable[..., None]) -> Callable[..., None]:
        def ftruncate(descriptor: int, size: int) -> None:
            real(descriptor, size)
            if descriptor in self._open:
                name, file = self._open[descriptor]
                self.ops.append(Op(kind="truncate", path=name, file=file, size=size))

        return ftruncate

    def _wrap_close(self, real: Callable[..., None]) -> Callable[..., None]:
        def close(descriptor: int) -> None:
            self._open.pop(descriptor, None)
            real(descriptor)

        return close

    def _wrap_replace(self, real: Callable[..., None]) -> Callable[..., None]:
        def replace(source: Any, target: Any) -> None:
            real(source, target)
            old, new = self._name(source), self._name(target)
            if old is not None and new is not None:
                self._files[new] = self._files.pop(old)
                self.ops.append(Op(kind="rename", path=old, target=new, file=self._files[new]))

        return replace

    def _wrap_unlink(self, real: Callable[..., None]) -> Callable[..., None]:
        def unlink(path: Any, **named: Any) -> None:
            real(path, **named)
            name = self._name(path)
            if name is not None:
                self._files.pop(name, None)
                self.ops.append(Op(kind="unlink", path=name))

        return unlink

    def _wrap_mkdir(self, real: Callable[..., None]) -> Callable[..., None]:
        def mkdir(path: Any, *rest: Any, **named: Any) -> None:
            real(path, *rest, **named)
            name = self._name(path)
            if name is not None:
                self.ops.append(Op(kind="mkdir", path=name))

        return mkdir


def order_faults(ops: list[Op], name: str) -> list[str]:
    """Tell how the calls that committed the file `name` depart from the safe order."""
    renames = [i for i, op in enumerate(ops) if op.kind == "rename" and op.target == name]
    if len(renames) != 1:
        return ["the file did not come to its name by one rename"]
    rename = ops[renames[0]]
    mine = [i for i, op in enumerate(ops) if op.file == rename.file]
    writes = [i for i in mine if ops[i].kind == "write"]
    flushes = [i for i in mine if ops[i].kind == "sync_file" and i < renames[0]]
    folder = parent(name)
    settled = [i for i, op in enumerate(ops) if op.kind == "sync_folder" and op.path == folder]
    saved = [i for i, op in enumerate(ops) if op.kind == "saved"]
    faults = []
    if parent(rename.path) != folder:
        faults.append("it was not written in the same folder")
    if not flushes or flushes[-1] < writes[-1]:
        faults.append("its data were not flushed before the rename")
    if not any(renames[0] < i < saved[0] for i in settled):
        faults.append("the folder was not flushed before it was called saved")
    return faults


@dataclass(slots=True)
class _Disk:
    """Names and data, each as flushed and as still in memory."""

    names: dict[str, int] = field(default_factory=lambda: {".": FOLDER})
    loose_names: list[Op] = field(default_factory=list)
    data: dict[int, bytes] = field(default_factory=dict)
    loose_data: dict[int, list[Op]] = field(default_factory=dict)


def crash_image(ops: list[Op], into: Path, rng: random.Random) -> None:
    """Write into the folder `into` what a power cut after `ops` may leave."""
    disk = _replay(ops)
    for op in _survivors(disk.loose_names, rng):
        _apply_name(disk.names, op)
    into.mkdir()
    for name, file in sorted(disk.names.items()):
        if name == "." or not _reachable(disk.names, name):
            continue
        if file == FOLDER:
            (into / name).mkdir()
        else:
            data = _torn(disk.data.get(file, b""), disk.loose_data.get(file, []), rng)
            (into / name).write_bytes(data)


def _replay(ops: list[Op]) -> _Disk:
    disk = _Disk()
    for op in ops:
        if op.kind in {"create", "rename", "unlink", "mkdir"}:
            disk.loose_names.append(op)
        elif op.kind in {"write", "truncate"}:
            disk.loose_data.setdefault(op.file, []).append(op)
        elif op.kind == "sync_file":
            data = disk.data.get(op.file, b"")
            for loose in disk.loose_data.pop(op.file, []):
                data = _apply_data(data, loose)
            disk.data[op.file] = data
        elif op.kind == "sync_folder":
            for loose in [o for o in disk.loose_names if op.path in _folders(o)]:
                _apply_name(disk.names, loose)
                disk.loose_names.remove(loose)
    return disk


def _survivors(loose: list[Op], rng: random.Random) -> list[Op]:
    """Choose which names outlive the cut: a journal keeps the first few, other systems any."""
    if rng.random() < 0.5:
        return loose[: rng.randint(0, len(loose))]
    return [op for op in loose if rng.random() < 0.5]


def _torn(data: bytes, loose: list[Op], rng: random.Random) -> bytes:
    kept = loose[: rng.randint(0, len(loose))]
    for op in kept[:-1]:
        data = _apply_data(data, op)
    if not kept:
        return data
    whole, how = _apply_data(data, kept[-1]), rng.choice(["kept", "torn", "zeroed", "holes"])
    if how == "kept" or kept[-1].kind == "truncate":
        return whole
    if how == "torn":
        sectors = -(-(len(whole) - len(data)) // SECTOR_BYTES)
        return whole[: len(data) + SECTOR_BYTES * rng.randrange(sectors + 1)]
    torn = bytearray(whole)
    for start in range(len(data), len(whole), SECTOR_BYTES):
        stop = min(start + SECTOR_BYTES, len(whole))
        if how == "zeroed" or rng.random() < 0.5:
            torn[start:stop] = bytes(stop - start)
    return bytes(torn)


def _apply_data(data: bytes, op: Op) -> bytes:
    return data + op.data if op.kind == "write" else data[: op.size]


def _apply_name(names: dict[str, int], op: Op) -> None:
    if op.kind in {"rename", "unlink"}:
        names.pop(op.path, None)
    if op.kind != "unlink":
        names[op.target or op.path] = op.file


def _folders(op: Op) -> set[str]:
    return {parent(op.path), parent(op.target or op.path)}


def _reachable(names: dict[str, int], name: str) -> bool:
    above = parent(name)
    return names.get(above) == FOLDER and (above == "." or _reachable(names, above))


def parent(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


def in_place(source: Any, target: Any) -> None:
    """Do what a careless program does instead of a rename: write under the final name."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o666)
    os.write(descriptor, Path(source).read_bytes())
    os.fsync(descriptor)
    os.close(descriptor)
    os.unlink(source)


# Steps left out: what the check of the order says of it, and where a stand-in takes its place.
PLANTED: dict[str, tuple[str, Any, Callable[..., None]]] = {
    "its data were not flushed": ("sync_file", commit_module, lambda descriptor: None),
    "by one rename": ("replace", os, in_place),
    "the folder was not flushed": ("sync_folder", commit_module, lambda folder: None),
}
