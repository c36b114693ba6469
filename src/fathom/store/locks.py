"""Ownership: locks that the kernel holds on an open file and frees when its holder dies.

No process id is ever written down, and no lock file removed: the file is a mere handle, its
existence means nothing.

Not covered: a child made by a bare `fork` inherits the descriptor and keeps the lock of a killed
parent while it lives (children made by `spawn` or `exec` do not); systems without `flock`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fathom.errors import StoreError
from fathom.store.commit import writing


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Take the lock of `path` if it is free, without waiting.

    Yields:
        True when the lock is ours until the end of the block.

    Raises:
        StoreError: If the lock file cannot be opened or the file system has no locks.
    """
    with _opened(path) as descriptor:
        yield _flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, path)


@contextmanager
def wait_for_lock(path: Path) -> Iterator[None]:
    """Take the lock of `path`, waiting for whoever holds it.

    Raises:
        StoreError: If the lock file cannot be opened or the file system has no locks.
    """
    with _opened(path) as descriptor:
        _flock(descriptor, fcntl.LOCK_EX, path)
        yield


def require_working_locks(path: Path) -> None:
    """Check that a second attempt at a lock that the caller holds fails, as it must.

    Raises:
        StoreError: If the file system grants one lock twice, as some network ones do.
    """
    with try_lock(path) as granted_twice:
        if granted_twice:
            raise StoreError(_no_locks(path, "one lock was granted twice"))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        with writing(path):
            # Closing alone would leave the lock with a child that inherited the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _flock(descriptor: int, operation: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(_no_locks(path, os.strerror(error.errno or 0))) from error
    return True


def _no_locks(path: Path, reason: str) -> str:
    return (
        f"{path.parent}: this file system does not lock files ({reason}), so two runners could "
        "not be kept apart; choose a results folder on a local disk"
    )
