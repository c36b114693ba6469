"""The manifest: an append-only list of records, and only what it lists exists.

A record is one line, `<length> <crc32> <json>`, the length in bytes and decimal, the checksum in 8
hexadecimal digits, both over the JSON alone, which is ASCII and holds no line break. A record
counts when all three fit, so that a torn or damaged one is never half believed, and those behind it
are still found.

Readers take no lock and change nothing. Writers take the file's own kernel lock.
"""

import fcntl
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.errors import StoreError
from fathom.store.commit import (
    commit,
    read_file,
    sync_file,
    sync_folder,
    write_all,
    writing,
)
from fathom.store.integrity import QUARANTINE, Damage, free_place, read_problem

Record = dict[str, Any]
# The JSON is an object, so a search for its brace finds the next record behind a damaged one.
_HEAD = re.compile(rb"(\d{1,9}) ([0-9a-f]{8}) (?=\{)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a manifest says.

    Attributes:
        records: Every record that checks, in order.
        damages: Whole lines that are no records.
        tail: Bytes behind the last line break: an append that was cut off, or is going on just now.
        end: Where the last record ends.
    """

    records: tuple[Record, ...]
    damages: tuple[bytes, ...]
    tail: bytes
    end: int


def encode(record: Mapping[str, Any]) -> bytes:
    r"""Write a record as its line.

    >>> encode({"kind": "study"})
    b'16 732f0c5e {"kind":"study"}\n'
    """
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    body = text.encode("ascii")
    return b"%d %08x %b\n" % (len(body), zlib.crc32(body), body)


def decode(data: bytes) -> Reading:
    """Read all records of a manifest, stepping over what is damaged."""
    records: list[Record] = []
    damages: list[bytes] = []
    done = search = end = 0
    while head := _HEAD.search(data, search):
        stop = head.end() + int(head[1])
        record = _record(data, head.end(), stop, int(head[2], 16))
        if record is None:
            search = head.start() + 1
            continue
        if head.start() > done:
            damages.append(data[done : head.start()])
        records.append(record)
        done = search = end = stop + 1
    rest, line_break, tail = data[done:].rpartition(b"\n")
    if line_break:
        damages.append(rest + line_break)
    return Reading(records=tuple(records), damages=tuple(damages), tail=tail, end=end)


def _record(data: bytes, start: int, stop: int, checksum: int) -> Record | None:
    if data[stop : stop + 1] != b"\n" or zlib.crc32(data[start:stop]) != checksum:
        return None
    try:
        record: Record = json.loads(data[start:stop])
    except (ValueError, RecursionError):  # only a forged record checks and is no JSON
        return None
    return record


def read(path: Path) -> Reading:
    """Read a manifest; one that is missing has no records.

    Raises:
        StoreError: If it is there and cannot be read.
    """
    try:
        return decode(read_file(path))
    except FileNotFoundError:
        return decode(b"")
    except OSError as error:
        raise StoreError(f"{path}: {read_problem(path, error)}") from error


def append(path: Path, record: Mapping[str, Any]) -> list[Damage]:
    """Add a record; when this returns, it is on the device.

    Args:
        path: The manifest, made when it is missing.
        record: JSON values.

    Returns:
        The torn tail, if a writer that died had left one.

    Raises:
        StoreError: If it could not be written and flushed; then it does not count.
    """
    line = encode(record)
    with _locked(path, len(line)) as descriptor:
        damages = [] if _ends_with_line(descriptor) else _cut_torn(path, descriptor)
        end = os.fstat(descriptor).st_size
        if end == 0:  # the file's name is made durable before anything in it can be acknowledged
            sync_folder(path.parent)
        try:
            write_all(descriptor, line)
            sync_file(descriptor)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
    return damages


def mend(path: Path) -> list[Damage]:
    """Keep a copy of a manifest with damaged records, and cut off what does not check at its end.

    A damage that an earlier call has kept is not reported again. A power cut can leave a whole line
    at the end, with zeros inside, of a record that nobody was told of yet. It cannot be told from a
    damaged last record; neither counts, and cut off it is told once and not for ever.

    Returns:
        What was damaged.

    Raises:
        StoreError: If the manifest cannot be opened or the copy cannot be written.
    """
    with _locked(path) as descriptor:
        torn = _cut_torn(path, descriptor, lines=True)
        data = read_file(path)
        new = [piece for piece in decode(data).damages if not _kept(path, piece)]
        return torn + [_keep(path, data, piece, "damaged record") for piece in new]


def _ends_with_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _cut_torn(path: Path, descriptor: int, *, lines: bool = False) -> list[Damage]:
    """Cut off the tail; with `lines`, all that lies behind the last record that checks."""
    data = read_file(path)
    reading = decode(data)
    start = len(data) - len(reading.tail)
    # Without any record the lines may be all that is left of a study: only a tail is cut off then.
    if lines and reading.records:
        start = reading.end
    if start == len(data):
        return []
    # A line that does not check may be an append that a power cut tore, or a flipped byte.
    what = "damaged or torn record" if b"\n" in data[start:] else "torn record"
    damage = _keep(path, data, data[start:], f"{what} at the end, cut off")
    os.ftruncate(descriptor, start)
    sync_file(descriptor)
    return [damage]


def _kept(path: Path, piece: bytes) -> bool:
    copies = (path.parent / QUARANTINE).glob(f"{_copy_name(path, piece)}.*")
    return any(copies)


def _keep(path: Path, data: bytes, piece: bytes, problem: str) -> Damage:
    place = free_place(path.parent, _copy_name(path, piece))
    commit(place, data)
    kept_at = place.relative_to(path.parent).as_posix()
    problem = f"{problem} ({len(piece)} bytes)"
    return Damage(path=path.name, problem=problem, kept_at=kept_at)


def _copy_name(path: Path, piece: bytes) -> str:
    return f"{path.name}.{zlib.crc32(piece):08x}"


@contextmanager
def _locked(path: Path, needed: int = 0) -> Iterator[int]:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with writing(path, needed):
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
