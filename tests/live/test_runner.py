"""What a runner does just now, from its log and the kernel's list of locks."""

import os
import sys
from pathlib import Path

import pytest

from fathom.live.runner import LOCK_LIST, Training, describe, in_training
from fathom.store.locks import try_lock

LOG = """\
2026-01-02T03:04:05+00:00 cohort aaaa of 8 runs starts
2026-01-02T03:04:06+00:00 cohort bbbb of 4 runs goes on after epoch 12
2026-01-02T03:05:00+00:00 run relu-1 completed
2026-01-02T03:05:00+00:00 cohort aaaa saved
2026-01-02T03:06:00+00:00 cohort cccc of 1 runs starts
2026-01-02T03:07:00+00:00 run cohort dddd of 7 runs starts completed
2026-01-02T03:08:00+00:00 cohort ../../etc of 1 runs starts
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "training.log").write_text(LOG)
    for name in ("aaaa", "bbbb", "cccc"):
        (tmp_path / "cohorts" / name).mkdir(parents=True)
        (tmp_path / "cohorts" / name / "lock").touch()
    return tmp_path


BBBB = Training(num_runs=4, since="03:04:06", epoch=12)
CCCC = Training(num_runs=1, since="03:06:00", epoch=0)


def test_without_a_list_of_locks_what_was_begun_and_not_saved_counts(folder: Path) -> None:
    assert in_training(folder, locks=folder / "missing") == [BBBB, CCCC]


@pytest.mark.skipif(
    sys.platform != "linux" or not LOCK_LIST.exists(), reason="the system does not list its locks"
)
def test_only_a_cohort_that_somebody_holds_is_in_training(folder: Path) -> None:
    assert in_training(folder) == []
    with try_lock(folder / "cohorts" / "bbbb" / "lock") as mine:
        assert mine
        assert in_training(folder) == [BBBB]
        with try_lock(folder / "cohorts" / "cccc" / "lock"):
            assert in_training(folder) == [BBBB, CCCC]
    assert in_training(folder) == []


def lock_line(folder: Path, cohort: str, device: str | None = None) -> str:
    found = (folder / "cohorts" / cohort / "lock").stat()
    own = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    return f"1: FLOCK  ADVISORY  WRITE 77 {device or own}:{found.st_ino} 0 EOF\n"


def test_the_same_number_on_another_disk_is_another_file(folder: Path) -> None:
    """Inodes count anew on each file system, and all begin with small numbers."""
    locks, mounts = folder / "locks", folder / "mounts"
    locks.write_text(lock_line(folder, "bbbb", "ab:cd") + lock_line(folder, "cccc"))
    mounts.write_text("22 1 1:2 / / rw - ext4 disk rw\n23 22 171:205 / /elsewhere rw - ext4 d rw\n")
    assert in_training(folder, locks, mounts) == [CCCC]


def test_a_file_may_be_listed_by_the_device_of_its_mount(folder: Path) -> None:
    """A part of btrfs has a device number of its own, which the list of locks does not use."""
    locks, mounts = folder / "locks", folder / "mounts"
    locks.write_text(lock_line(folder, "bbbb", "ab:cd"))
    head = "22 1 1:2 / / rw - ext4 disk rw\n"
    mounts.write_text(f"{head}24 22 171:205 / {folder} rw - btrfs disk rw\n")
    assert in_training(folder, locks, mounts) == [BBBB]
    mounts.write_text(f"{head}24 22 171:205 / {folder}x rw - btrfs disk rw\n")
    assert in_training(folder, locks, mounts) == []
    mounts.write_text(f"24 22 171:205 / {folder} rw - btrfs disk rw\n{head}")
    assert in_training(folder, locks, mounts) == [BBBB]
    assert in_training(folder, locks, folder / "missing") == []


def test_a_waiting_locker_is_no_holder(folder: Path) -> None:
    held = lock_line(folder, "bbbb")
    (folder / "locks").write_text(held)
    assert in_training(folder, locks=folder / "locks") == [BBBB]
    (folder / "locks").write_text(held.replace("1: FLOCK", "1: -> FLOCK"))
    assert in_training(folder, locks=folder / "locks") == []


@pytest.mark.parametrize("kind", ["missing", "folder", "bytes"])
def test_a_log_that_is_none(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "training.log").mkdir()
    elif kind == "bytes":
        (tmp_path / "training.log").write_bytes(b"\xff\n\x00 cohort aaaa of 1 runs starts" * 9)
    assert in_training(tmp_path) == []


def test_sentences() -> None:
    assert describe([]) == "Nothing is being trained now."
    assert describe([BBBB, CCCC]) == (
        "In training: 5 runs in 2 cohorts, begun at 03:04:06, 03:06:00 "
        "(from saved states, after epoch 12)."
    )
