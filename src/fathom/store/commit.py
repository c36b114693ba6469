"""Durable bytes: under its name a file is whole or not there, and what was acknowledged stays.

The order is what makes it so: write aside in the same folder, flush to the device, read back and
hash, rename, flush the folder. Without the first flush a power cut leaves an empty file under the
right name; without the rename half a file is seen; without the second flush the name is forgotten.

Every byte that the store keeps is written by the functions of this file and of `manifest`, through
`os` alone, so that a test can record, tear and fail each step. Both import the standard library
only: a killed child in a test costs milliseconds.

Not covered: file systems whose fsync lies, and macOS, where fsync stops at the drive's own cache.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fathom.errors import StoreError

_ASIDE_SUFFIX = ".fathom-tmp"
_CHUNK_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def commit(path: Path, *parts: bytes) -> str:
    """Put bytes under `path` so that they survive a power cut, replacing what was there.

    Args:
        path: Where; the folder exists.
        parts: The whole content, in pieces that need not be copied together.

    Returns:
        The content's sha256, 64 hexadecimal digits.

    Raises:
        StoreError: If anything could not be written or flushed; what was saved before is unharmed.
    """
    digest = _hash_all(parts)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_ASIDE_SUFFIX}")
    with writing(path, sum(map(len, parts))):
        try:
            _write_new(aside, parts)
            if hash_file(aside) != digest:
                raise StoreError(f"{path}: the disk gave back other bytes than were written")
            os.replace(aside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(aside)
            raise
    sync_folder(path.parent)
    return digest


def _write_new(path: Path, parts: Iterable[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        for part in parts:
            write_all(descriptor, part)
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; the system may take them in pieces."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_file(descriptor: int) -> None:
    """Flush a file to the device, once.

    After a failed fsync the kernel may call the lost pages clean, so that a second one on the same
    descriptor would succeed without anything being saved: callers report the failure.
    """
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the device.

    Raises:
        StoreError: If the device fails.
    """
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents durably.

    The parent is flushed even when the folder exists: its maker may have died just before.

    Raises:
        StoreError: If it cannot be made, or something else has its name.
    """
    if not os.path.exists(folder.parent):
        make_folder(folder.parent)
    try:
        with writing(folder):
            os.mkdir(folder)
    except StoreError:
        if not folder.is_dir():
            raise
        if not os.access(folder.parent, os.R_OK):
            return  # somebody else's parent, such as /home: it cannot even be opened for a flush
    sync_folder(folder.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what dead writers left aside; the caller holds the lock under which they wrote."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(_ASIDE_SUFFIX):
                os.unlink(folder / name)


def read_file(path: Path) -> bytes:
    """Read a regular file, following no link and never waiting.

    Raises:
        OSError: If it is missing, unreadable, or not a regular file.
    """
    with _open_regular(path) as descriptor:
        return b"".join(_chunks(descriptor))


def hash_file(path: Path) -> str:
    """Return a regular file's sha256 without holding it in memory.

    Raises:
        OSError: If it is missing, unreadable, or not a regular file.
    """
    with _open_regular(path) as descriptor:
        return _hash_all(_chunks(descriptor))


def _hash_all(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@contextmanager
def _open_regular(path: Path) -> Iterator[int]:
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        yield chunk


@contextmanager
def writing(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn a failure of the system inside the block into the sentence that a user reads.

    Args:
        path: What is being written.
        needed: Bytes that are to be written.

    Raises:
        StoreError: If the system reports an error.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        text = f"{path}: cannot be written: {reason}"
        advice = "What was saved before is unharmed"
        if error.errno in _FULL:
            text += f"; {needed} bytes needed, {_bytes_free(path.parent)} free"
            advice += ": free some space and run the same command again"
        raise StoreError(f"{text}. {advice}") from error


def _bytes_free(folder: Path) -> int:
    with suppress(OSError):
        system = os.statvfs(folder)
        return system.f_bavail * system.f_frsize
    return 0
