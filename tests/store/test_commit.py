"""Durable bytes: the order of the calls, and what is said and left when one of them fails."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crash_disk import PLANTED, RecordedDisk, order_faults

from fathom.errors import StoreError
from fathom.store import commit as commit_module
from fathom.store.commit import commit, hash_file, make_folder, read_file, remove_leftovers

SOURCE = Path(commit_module.__file__).parents[2]


def test_the_whole_content_is_there_and_hashed(tmp_path: Path) -> None:
    digest = commit(tmp_path / "file", b"half ", b"and half")
    assert (tmp_path / "file").read_bytes() == b"half and half"
    assert digest == hashlib.sha256(b"half and half").hexdigest()
    assert hash_file(tmp_path / "file") == digest
    commit(tmp_path / "file", b"")
    assert read_file(tmp_path / "file") == b""
    assert os.listdir(tmp_path) == ["file"]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedDisk:
    return RecordedDisk(tmp_path, monkeypatch)


def faults_of_a_commit(disk: RecordedDisk) -> list[str]:
    commit(disk.root / "file", b"one", b"two")
    disk.acknowledge("file")
    return order_faults(disk.ops, "file")


def test_the_calls_come_in_the_safe_order(disk: RecordedDisk) -> None:
    assert faults_of_a_commit(disk) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_a_step_left_out_is_noticed(
    fault: str, disk: RecordedDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, place, stand_in = PLANTED[fault]
    monkeypatch.setattr(place, name, stand_in)
    faults = faults_of_a_commit(disk)
    assert len(faults) == 1
    assert fault in faults[0]


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE, errno.EROFS])
def test_every_failing_call_is_one_sentence_and_harms_nothing(
    call: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    commit(path, b"saved before")
    calls: list[int] = []
    real = getattr(os, call)

    def failing(*given: Any, **named: Any) -> Any:
        calls.append(len(calls))
        if calls[-1] == fail_at:
            raise OSError(code, os.strerror(code))
        return real(*given, **named)

    monkeypatch.setattr(os, call, failing)
    for fail_at in range(3):
        calls.clear()
        needed = b"x" * 1000
        try:
            commit(path, needed)
        except StoreError as error:
            text = str(error)
            assert str(tmp_path) in text
            assert os.strerror(code) in text
            is_full = code in {errno.ENOSPC, errno.EDQUOT}
            assert is_full == ("free some space and run the same command again" in text)
            assert is_full == ("bytes needed" in text)
        else:
            assert len(calls) <= fail_at, "a failed call was passed over"
        assert path.read_bytes() in {b"saved before", needed}
        assert os.listdir(tmp_path) == ["file"]
    assert call != "fsync" or calls == [0, 1]  # never tried again after a failure


def test_a_short_write_is_carried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    commit(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_bytes_that_come_back_other_are_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def bad_memory(descriptor: int, data: Any) -> int:
        return real(descriptor, b"!" + bytes(data)[1:])

    monkeypatch.setattr(os, "write", bad_memory)
    with pytest.raises(StoreError, match="the disk gave back other bytes"):
        commit(tmp_path / "file", b"0123456789")
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        commit(tmp_path / "file", b"")
    assert os.listdir(tmp_path) == []


def test_leftovers_are_told_from_everything_else(tmp_path: Path) -> None:
    names = ["state", ".hidden", "notes.fathom-tmp", ".state.0a1b2c3d.fathom-tmp"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(names[:3])


def test_only_regular_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(tmp_path / name)
    with pytest.raises(OSError, match="symbolic link"):
        hash_file(tmp_path / "link")


def test_folders_are_made_durably(disk: RecordedDisk, tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert [(op.kind, op.path) for op in disk.ops] == [
        ("mkdir", "a"),
        ("sync_folder", "."),
        ("mkdir", "a/b"),
        ("sync_folder", "a"),
    ]
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: cannot be written: File exists"):
        make_folder(tmp_path / "file")


FILL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fathom.errors import StoreError
from fathom.store.commit import commit, hash_file
folder = Path(sys.argv[2])
saved = {}
try:
    for k in range(100):
        saved[k] = commit(folder / str(k), bytes([k]) * 9000)
except StoreError as error:
    print(error)
assert 0 < len(saved) < 100
assert sorted(path.name for path in folder.iterdir()) == sorted(map(str, saved))
assert all(hash_file(folder / str(k)) == digest for k, digest in saved.items())
(folder / "0").unlink()
commit(folder / "0", bytes(9000))
"""


def test_a_full_disk_is_told_with_numbers_and_goes_on_when_freed(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" -I -S -c "$3" "$4" "$1"'
    words = ["unshare", "-Urm", "sh", "-c", mount, "sh", tmp_path, sys.executable, FILL, SOURCE]
    if shutil.which("unshare") is None or subprocess.run(words[:2] + ["true"]).returncode:  # noqa: RUF005
        pytest.skip("no private mounts here (unshare)")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "No space left on device; 9000 bytes needed, " in done.stdout
    assert f"{tmp_path}/" in done.stdout
