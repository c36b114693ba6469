"""What a runner is doing in a results folder just now, told from outside.

`training.log` says which cohorts were begun. Whether one is being trained still is known to the
kernel alone, for a runner may have been killed: it holds the lock of the cohort's folder, and Linux
lists all locks. No lock is taken here, so no runner ever finds one busy because of us.

Not covered: where there is no such list (macOS), a cohort that was begun and not saved counts as
being trained.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fathom.store.commit import read_file
from fathom.store.opening import COHORTS, LOCK

LOCK_LIST: Final = Path("/proc/locks")
MOUNT_LIST: Final = Path("/proc/self/mountinfo")

_BEGUN = re.compile(
    rb"^(\S{10}T\S{8})\S* cohort ([0-9A-Za-z_-]{1,64}) of (\d{1,9}) runs "
    rb"(?:starts|goes on after epoch (\d{1,9}))$"
)
_SAVED = re.compile(rb"^\S+ cohort ([0-9A-Za-z_-]{1,64}) saved$")
# One line of the kernel's list: number, kind, then among others the file as device and inode.
_HELD = re.compile(rb"^\d+: FLOCK .* ([0-9a-f]+):([0-9a-f]+):(\d+) 0 EOF$", re.MULTILINE)
# One of its list of mounts: two numbers, device, root, where.
_MOUNT = re.compile(rb"^\d+ \d+ (\d+):(\d+) \S+ (\S+) ", re.MULTILINE)

Device = tuple[int, int]  # major and minor number


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A cohort that is being trained.

    Attributes:
        num_runs: Its runs.
        since: When a runner began with it, local time of the runner, such as `14:03:12`.
        epoch: After which epoch it went on; 0 from the start.
    """

    num_runs: int
    since: str
    epoch: int


def in_training(folder: Path, locks: Path = LOCK_LIST, mounts: Path = MOUNT_LIST) -> list[Training]:
    """List the cohorts that are being trained, in the order in which they were begun.

    Args:
        folder: A study's results folder.
        locks: The kernel's list of locks.
        mounts: Its list of what is mounted where.
    """
    begun = _begun(folder)
    held = _held(locks) if begun else None
    if held is None:
        return list(begun.values())
    mounted = _mounted(folder, mounts)
    return [
        training
        for cohort, training in begun.items()
        if held & _files(folder / COHORTS / cohort / LOCK, mounted)
    ]


def describe(training: list[Training]) -> str:
    """Say what is being trained.

    >>> describe([Training(num_runs=8, since="14:03:12", epoch=0)])
    'In training: 8 runs in 1 cohort, begun at 14:03:12.'
    """
    if not training:
        return "Nothing is being trained now."
    runs = sum(cohort.num_runs for cohort in training)
    count = len(training)
    times = list(dict.fromkeys(cohort.since for cohort in training))
    shown = ", ".join(times[:4]) + (", …" if len(times) > 4 else "")
    resumed = [str(cohort.epoch) for cohort in training if cohort.epoch]
    after = f" (from saved states, after epoch {', '.join(dict.fromkeys(resumed))})"
    return (
        f"In training: {_count(runs, 'run')} in {_count(count, 'cohort')}, begun at {shown}"
        f"{after if resumed else ''}."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _begun(folder: Path) -> dict[str, Training]:
    """Read which cohorts the log says to be begun and not saved."""
    begun: dict[str, Training] = {}
    with suppress(OSError):
        for line in read_file(folder / "training.log").splitlines():
            if found := _BEGUN.match(line):
                time, cohort, num_runs, epoch = (part.decode() for part in found.groups(b"0"))
                begun.pop(cohort, None)
                begun[cohort] = Training(num_runs=int(num_runs), since=time[11:], epoch=int(epoch))
            elif found := _SAVED.match(line):
                begun.pop(found[1].decode(), None)
    return begun


def _held(locks: Path) -> set[tuple[Device, int]] | None:
    """Return device and inode of locked files; None where the system does not list them."""
    try:
        listed = _HELD.findall(locks.read_bytes())
    except OSError:
        return None
    return {((int(major, 16), int(minor, 16)), int(inode)) for major, minor, inode in listed}


def _files(path: Path, mounted: Device | None) -> set[tuple[Device, int]]:
    """Return how the list of locks may name a file: by its own device or by its mount's.

    The two differ where a file system has parts or layers (btrfs, overlays).
    """
    try:
        found = os.lstat(path)
    except OSError:
        return set()
    own = os.major(found.st_dev), os.minor(found.st_dev)
    return {(device, found.st_ino) for device in (own, mounted) if device is not None}


def _mounted(folder: Path, mounts: Path) -> Device | None:
    """Return the device that is mounted where a folder lies."""
    where = os.fsencode(os.path.realpath(folder)) + b"/"
    device, longest = None, 0
    with suppress(OSError):
        for major, minor, point in _MOUNT.findall(mounts.read_bytes()):
            begins = where.startswith(point.rstrip(b"/") + b"/")
            if begins and len(point) >= longest:  # of two at one place the later one is seen
                device, longest = (int(major), int(minor)), len(point)
    return device
