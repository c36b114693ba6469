"""What happens when a study's folder is opened for work: whose is it, and is it in order?

Another study's folder, another machine's, or one that is none at all is refused before anything in
it is changed.
"""

import difflib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fathom.errors import StoreError
from fathom.store.commit import make_folder, read_file, remove_leftovers, writing
from fathom.store.fingerprint import Fingerprint, bits_difference
from fathom.store.integrity import Damage, set_aside
from fathom.store.ledger import FORMAT, Ledger, is_cohort_id
from fathom.store.locks import require_working_locks, try_lock, wait_for_lock
from fathom.store.tensors import drop_checkpoints

LOCK: Final = "lock"
COHORTS: Final = "cohorts"
STUDY_FILE: Final = "study.yaml"
_MOST_LINES = 20

Describe = Callable[[str, str], list[str]]


def require_ours(path: Path, ledger: Ledger) -> None:
    """Refuse a folder that was never a results folder, so that nobody's files get mixed with ours.

    Raises:
        StoreError: If it is not empty and has neither a lock file nor a manifest.
    """
    if not os.path.lexists(path):
        return
    with writing(path):
        names = os.listdir(path)
    if names and not {LOCK, ledger.path.name} & set(names):
        raise StoreError(f"{path}: is not empty and not a results folder; choose another folder")


@contextmanager
def prepared(path: Path, ledger: Ledger) -> Iterator[None]:
    """Make the folder if need be and hold the lock of the whole of it.

    Args:
        path: The folder.
        ledger: Its manifest.

    Raises:
        StoreError: If it is somebody else's folder, cannot be made, or locks do not work there.
    """
    require_ours(path, ledger)
    make_folder(path)
    with wait_for_lock(path / LOCK):
        require_working_locks(path / LOCK)
        yield


def set_aside_odd_manifest(root: Path, ledger: Ledger) -> list[Damage]:
    """Set a manifest aside that is a folder, a link or a pipe; all is then computed anew.

    Raises:
        StoreError: If it cannot be moved.
    """
    path = ledger.path
    if not os.path.lexists(path) or stat.S_ISREG(os.lstat(path).st_mode):
        return []
    return [set_aside(root, path, "not a regular file")]


def require_same_study(root: Path, ledger: Ledger, study_yaml: str, describe: Describe) -> None:
    """Refuse a folder that holds another study.

    Args:
        root: The folder.
        ledger: Its manifest, with the digest of the study that is to be run.
        study_yaml: That study's text.
        describe: Tells the differences between the folder's study and that one.

    Raises:
        StoreError: If the folder belongs to another study; the text lists what differs.
    """
    studies = ledger.studies()
    old = _text_there(root / STUDY_FILE)
    unclaimed = not studies and old in {None, study_yaml}
    if unclaimed or studies == {ledger.study}:
        return
    lines = ["its study.yaml is unreadable"] if old is None else describe(old, study_yaml)
    raise StoreError(
        f"{root}: holds the results of another study. What differs:\n{_shown(lines)}\n"
        "Choose another folder for this study, or run the one that is there"
    )


def require_same_machine(root: Path, ledger: Ledger, fingerprint: Fingerprint) -> None:
    """Refuse a folder whose results were computed where other bits may come out.

    Raises:
        StoreError: If a record names another machine; the text lists what differs.
    """
    others = {key: value for key, value in ledger.machines().items() if key != ledger.machine}
    for other in others.values():
        lines = bits_difference(other, fingerprint) if other else ["its fingerprint is lost"]
        raise StoreError(
            f"{root}: was computed on another machine or with other software, where the last "
            f"digits may differ:\n{_shown(lines)}\nTo go on all the same, add --allow-mixed (from "
            "Python: allow_mixed=True); the records tell which cohort came from where"
        )


def sign(ledger: Ledger, fingerprint: Fingerprint) -> list[Damage]:
    """Write the record of the study and this machine, unless it is there.

    Raises:
        StoreError: If it cannot be written.
    """
    if ledger.machines().get(ledger.machine):
        return []
    return ledger.append("study", format=FORMAT, fingerprint=fingerprint)


def tidy(root: Path, ledger: Ledger) -> None:
    """Remove what dead writers left: half-written files, and checkpoints of finished cohorts.

    The caller holds the folder's lock; a cohort that somebody works on is passed over.

    Raises:
        StoreError: If a lock cannot be taken.
    """
    remove_leftovers(root)
    done = ledger.cohorts()
    with writing(root):
        folders = [folder for folder in (root / COHORTS).glob("*") if _is_cohort_folder(folder)]
    for folder in folders:
        with try_lock(folder / LOCK) as free:
            if free:
                remove_leftovers(folder)
            if free and folder.name in done:
                drop_checkpoints(folder)


def _is_cohort_folder(folder: Path) -> bool:
    return is_cohort_id(folder.name) and folder.is_dir() and not folder.is_symlink()


def line_difference(old: str, new: str) -> list[str]:
    r"""List the lines in which two texts differ.

    >>> line_difference("seed: 1\nname: a", "seed: 2\nname: a")
    ['- seed: 1', '+ seed: 2']
    """
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    return [f"{line[0]} {line[1:]}" for line in lines if not line.startswith(("---", "+++", "@@"))]


def _text_there(path: Path) -> str | None:
    try:
        return read_file(path).decode("utf-8", errors="replace")
    except OSError:
        return None


def _shown(lines: list[str]) -> str:
    more = [f"... and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return "\n".join(f"  {line}" for line in [*lines[:_MOST_LINES], *more])
