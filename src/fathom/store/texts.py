"""Text files beside a study, such as study.yaml and plan.json, listed with their hashes.

The record is written before the file, and any hash that a file has had is accepted: a kill between
the two leaves the older text, which is whole, and no false alarm.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from fathom.store.commit import commit, read_file
from fathom.store.integrity import Damage, read_problem, set_aside
from fathom.store.ledger import Ledger, is_text_name


def put_text(root: Path, ledger: Ledger, name: str, text: str) -> list[Damage]:
    """Write a text file, unless the newest one is the same; the caller holds the folder's lock.

    Args:
        root: The study's folder.
        ledger: Its manifest.
        name: A plain file name.
        text: The content.

    Returns:
        What was found damaged and set aside.

    Raises:
        StoreError: If it cannot be written.
        ValueError: If the name is not a plain file name.
    """
    if not is_text_name(name):
        raise ValueError(f"{name!r} cannot be the name of a text file")
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    problem = _problem(root, ledger, name)
    if not problem and read_text(root, ledger, name) == text:
        return []
    damages = []
    if problem and problem != "missing":
        damages.append(set_aside(root, root / name, problem))
    if ledger.texts().get(name, [])[-1:] != [digest]:
        damages += ledger.append("text", name=name, sha256=digest)
    commit(root / name, data)
    return damages


def read_text(root: Path, ledger: Ledger, name: str) -> str | None:
    """Return a text file, or None when it is missing or damaged.

    Raises:
        StoreError: If the manifest cannot be read.
    """
    with suppress(OSError):
        data = read_file(root / name)
        if hashlib.sha256(data).hexdigest() in ledger.texts().get(name, []):
            return data.decode()
    return None


def text_problems(root: Path, ledger: Ledger) -> dict[str, str]:
    """Say what is wrong with each listed text file; those that are whole are left out.

    Raises:
        StoreError: If the manifest cannot be read, or this process cannot read at all.
    """
    problems = {name: _problem(root, ledger, name) for name in ledger.texts()}
    return {name: problem for name, problem in problems.items() if problem}


def _problem(root: Path, ledger: Ledger, name: str) -> str:
    try:
        found = hashlib.sha256(read_file(root / name)).hexdigest()
    except OSError as error:
        return read_problem(root / name, error)
    known = ledger.texts().get(name, [])
    return "" if found in known else f"sha256 is {found}, expected {known[-1] if known else 'none'}"
