"""Kills: a writer that dies before any of its system calls leaves a store that goes on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import light_writer
import pytest

from fathom.store import manifest
from fathom.store.commit import hash_file

SOURCE = Path(manifest.__file__).parents[2]
SCRIPT = Path(__file__).with_name("light_writer.py")
CHANGING = ("openat", "write", "fsync", "rename", "mkdir")
CALLS = (*CHANGING, "close", "flock", "pread64", "read", "unlink", "ftruncate")

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None
    or subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode != 0,
    reason="strace is not installed or may not trace",
)


def run_writer(root: Path, num_files: int, *strace: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "-S", "-B", SCRIPT, SOURCE, root, str(num_files)]
    return subprocess.run([*strace, *words], capture_output=True, text=True, check=False)


def count_calls(tmp_path: Path, num_files: int, calls: Sequence[str]) -> list[tuple[str, int]]:
    """Return each call, as its name and its number, that comes once the writer writes."""
    log, root = tmp_path / "strace.log", tmp_path / "counted"
    trace = ",".join(f"?{call}" for call in calls)
    done = run_writer(root, num_files, "strace", "-e", f"trace={trace}", "-o", str(log))
    assert done.returncode == 0, done.stderr
    lines = [line for line in log.read_text().splitlines() if "(" in line]
    begin = next(i for i, line in enumerate(lines) if str(root) in line)
    names = [line.partition("(")[0] for line in lines]
    return [(name, names[: i + 1].count(name)) for i, name in enumerate(names) if i >= begin]


def check_store(root: Path, saved: list[str], num_files: int) -> None:
    """Check what is left, then go on and compare with a store that nothing happened to."""
    records = manifest.read(root / "manifest").records
    listed = {record["name"]: record["sha256"] for record in records}
    assert set(saved) <= set(listed)
    assert all(hash_file(root / name) == digest for name, digest in listed.items())
    for path in (root / "files").glob("[!.]*"):
        assert path.stat().st_size == light_writer.SIZE_BYTES
    list(light_writer.write_files(root, num_files))
    names = [record["name"] for record in manifest.read(root / "manifest").records]
    assert names == [f"files/{k}" for k in range(num_files)]
    assert sorted(os.listdir(root / "files")) == [str(k) for k in range(num_files)]
    assert not (root / "quarantine").exists()


def sweep(tmp_path: Path, num_files: int, effect: str, calls: Sequence[str] = CALLS) -> int:
    points = count_calls(tmp_path, num_files, calls)
    for call, number in points:
        root = tmp_path / f"{call}-{number}"
        inject = f"inject={call}:{effect}:when={number}"
        done = run_writer(root, num_files, "strace", "-e", inject, "-o", os.devnull)
        if "signal" in effect:
            assert done.returncode != 0, f"{call} {number} never came"
        else:
            assert "Traceback" not in done.stderr
            assert done.returncode == 0 or str(tmp_path) in done.stderr
        check_store(root, done.stdout.split(), num_files)
    return len(points)


def test_a_kill_before_a_call_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    assert sweep(tmp_path, 1, "signal=SIGKILL", CHANGING) >= 20


@pytest.mark.slow
def test_a_kill_between_several_files_loses_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path, 4, "signal=SIGKILL") >= 90


@pytest.mark.slow
@pytest.mark.parametrize("code", ["EIO", "ENOSPC"])
def test_an_error_of_any_call_is_one_sentence(tmp_path: Path, code: str) -> None:
    assert sweep(tmp_path, 2, f"error={code}") >= 50
