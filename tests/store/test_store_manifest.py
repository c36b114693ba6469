"""The manifest: appended to by many, read around any damage."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import StoreError
from fathom.store import manifest
from fathom.store.commit import read_file
from fathom.store.manifest import append, decode, encode, mend, read

SOURCE = Path(manifest.__file__).parents[2]
RECORDS = [{"kind": "text", "number": k, "name": "ü" * k} for k in range(4)]
LINES = [encode(record) for record in RECORDS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for record in RECORDS:
        assert append(tmp_path / "manifest", record) == []
    return tmp_path / "manifest"


def test_records_come_back_in_order(path: Path) -> None:
    reading = read(path)
    assert list(reading.records) == RECORDS
    assert (reading.damages, reading.tail) == ((), b"")
    assert path.read_bytes() == b"".join(LINES)
    assert read(path.with_name("missing")).records == ()


def test_any_flipped_bit_costs_its_own_record_at_most(path: Path) -> None:
    data = path.read_bytes()
    starts = [sum(map(len, LINES[:k])) for k in range(len(LINES) + 1)]
    for position in range(len(data)):
        hit = next(k for k in range(len(LINES)) if position < starts[k + 1])
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            reading = decode(bytes(flipped))
            assert list(reading.records) == [*RECORDS[:hit], *RECORDS[hit + 1 :]]
            assert len(reading.damages) == (reading.tail == b"")


def test_any_truncation_costs_the_torn_record_only(path: Path) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        reading = decode(data[:size])
        whole = data[:size].count(b"\n")
        assert list(reading.records) == RECORDS[:whole]
        assert reading.tail == data[:size].rpartition(b"\n")[2]
        assert reading.damages == ()


def test_a_forged_line_is_damage() -> None:
    for body in (b"{" * 100_000, b'{"a":NaN', b"[1]"):
        line = b"%d %08x %b\n" % (len(body), manifest.zlib.crc32(body), body)
        assert decode(line + LINES[0]).records == (RECORDS[0],)


def test_a_torn_tail_is_kept_and_cut_by_the_next_writer(path: Path) -> None:
    whole = path.read_bytes()
    torn = whole + LINES[0][:-1]
    path.write_bytes(torn)
    assert list(read(path).records) == RECORDS
    assert path.read_bytes() == torn  # reading changes nothing
    (damage,) = append(path, {"kind": "next"})
    assert path.read_bytes() == whole + encode({"kind": "next"})
    assert (path.parent / damage.kept_at).read_bytes() == torn
    assert "torn record at the end, cut off" in str(damage)


def test_a_torn_record_with_its_line_break_is_cut_off(path: Path) -> None:
    """A power cut may leave the sectors of one append in any state, the last one whole."""
    whole = path.read_bytes()
    for torn in (
        b"\0" * 40 + LINES[0][40:],
        LINES[0][:10] + b"\0" * 10 + LINES[0][20:],
        b"\0" * 9 + b"\n" + LINES[0][:12],
    ):
        path.write_bytes(whole + torn)
        (damage,) = mend(path)
        assert "damaged or torn record at the end, cut off" in str(damage)
        assert (path.parent / damage.kept_at).read_bytes() == whole + torn
        assert path.read_bytes() == whole
        assert mend(path) == []
        assert read(path).damages == ()


def test_a_damaged_last_record_is_kept_and_cut_off(path: Path) -> None:
    damaged = path.read_bytes().replace(b'"number":3', b'"number":7')
    path.write_bytes(damaged + LINES[0][:9])
    (torn,) = append(path, {"kind": "next"})  # who appends cuts off the tail alone
    assert f"torn record at the end, cut off ({len(LINES[0][:9])} bytes)" in str(torn)
    assert path.read_bytes() == damaged + encode({"kind": "next"})
    path.write_bytes(damaged)
    (damage,) = mend(path)
    assert "damaged or torn record at the end" in str(damage)
    assert (path.parent / damage.kept_at).read_bytes() == damaged
    assert list(read(path).records) == RECORDS[:3]


def test_the_last_trace_of_a_study_is_not_cut_off(path: Path) -> None:
    only = LINES[0].replace(b"{", b"[")
    path.write_bytes(only + LINES[1][:9])
    assert len(mend(path)) == 2
    assert path.read_bytes() == only


def test_a_damaged_record_is_copied_and_told_once(path: Path) -> None:
    damaged = path.read_bytes().replace(b'"number":1', b'"number":7')
    path.write_bytes(damaged)
    (damage,) = mend(path)
    assert (path.parent / damage.kept_at).read_bytes() == damaged
    assert path.read_bytes() == damaged
    assert "damaged record" in str(damage)
    assert mend(path) == []
    append(path, {"kind": "next"})
    assert list(read(path).records) == [RECORDS[0], *RECORDS[2:], {"kind": "next"}]
    path.write_bytes(path.read_bytes().replace(b'"number":2', b'"number":8'))
    assert len(mend(path)) == 1


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_record_that_was_not_saved_does_not_count(
    call: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def fail(descriptor: int, data: bytes = b"") -> int:
        if len(data) > 5:
            return real(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreError, match=r"manifest: .*No space left.*; 15\d* bytes needed, "):
            append(path, {"kind": "text", "name": "x" * 120})
    assert path.read_bytes() == b"".join(LINES)


def test_what_is_no_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest").mkdir()
    with pytest.raises(StoreError, match="manifest: cannot be read: not a regular file"):
        read(tmp_path / "manifest")
    with pytest.raises(StoreError, match="manifest: cannot be written: Is a directory"):
        append(tmp_path / "manifest", {})


def test_too_many_open_files_is_not_called_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **named: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StoreError, match="manifest: cannot be read: Too many open files"):
        read(path)


def test_a_writer_waits_for_the_one_before(path: Path) -> None:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = threading.Thread(target=append, args=(path, {"kind": "next"}))
        writer.start()
        writer.join(0.05)
        assert list(read(path).records) == RECORDS
    writer.join()
    assert list(read(path).records) == [*RECORDS, {"kind": "next"}]


APPENDER = """
import sys
import threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fathom.store.manifest import append
for k in range(50):
    append(Path(sys.argv[2]), {"kind": "text", "writer": sys.argv[3], "number": k})
"""


def test_eight_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    words = [sys.executable, "-I", "-S", "-c", APPENDER, str(SOURCE), str(path)]
    writers = [subprocess.Popen([*words, str(k)]) for k in range(8)]
    while any(writer.poll() is None for writer in writers):
        assert read(path).damages == ()
    assert [writer.returncode for writer in writers] == [0] * 8
    found = [(record["writer"], record["number"]) for record in read(path).records]
    for k in range(8):
        assert [number for writer, number in found if writer == str(k)] == list(range(50))
    assert read_file(path).count(b"\n") == 400
