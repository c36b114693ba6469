"""Locks: held by the kernel, free at once when their holder dies."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.errors import StoreError
from fathom.store import locks
from fathom.store.locks import require_working_locks, try_lock, wait_for_lock

SOURCE = Path(locks.__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fathom.store.locks import try_lock
with try_lock(Path(sys.argv[2])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with try_lock(path) as first, try_lock(path) as second:
        assert first
        assert not second
    with wait_for_lock(path), try_lock(path) as second:
        assert not second
    with try_lock(path) as third:
        assert third


def test_a_lock_is_freed_by_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), try_lock(tmp_path / "lock"):
        raise RuntimeError("inside")
    with try_lock(tmp_path / "lock") as mine:
        assert mine


def test_a_killed_holder_frees_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    words = [sys.executable, "-I", "-S", "-c", HOLDER, str(SOURCE), str(path)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with try_lock(path) as mine:
            assert not mine
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with try_lock(path) as mine:
            assert mine
    assert path.exists()


def test_a_file_system_that_grants_a_lock_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wait_for_lock(tmp_path / "lock"):
        require_working_locks(tmp_path / "lock")
        monkeypatch.setattr(fcntl, "flock", lambda descriptor, operation: None)
        with pytest.raises(StoreError, match=r"does not lock files \(one lock was granted twice"):
            require_working_locks(tmp_path / "lock")


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN:
            raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(StoreError, match=f"does not lock files .{os.strerror(errno.ENOLCK)}"):
        try_lock(tmp_path / "lock").__enter__()


def test_a_place_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StoreError, match="lock: cannot be written: Is a directory"):
        try_lock(tmp_path / "lock").__enter__()
