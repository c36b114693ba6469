"""Where the files of a known data set are: the user's folders, the system's, a cache, the network.

A file counts only when the sha256 of its uncompressed content is the known one; archives may
differ. A damaged file is named, never deleted, and the search goes on.
"""

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fathom.data.aside import written_aside
from fathom.data.download import download
from fathom.data.readers import GZIP_MAGIC, describe_error, read_bytes, unpack
from fathom.errors import DataError

_log = logging.getLogger(__name__)

FOLDERS_VARIABLE: Final = "FATHOM_DATA"
_PACKING_MARGIN: Final = 65_536  # an archive is at most this much larger than its content


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file, known by its content: its own, or that of the archive that it is.

    Attributes:
        name: Name without `.gz`; of an archive its whole name.
        sha256: Of the uncompressed content, in hexadecimal digits; empty for an archive.
        size: Of the uncompressed content, in bytes; of an archive its own.
        md5: Of an archive as it is published, in hexadecimal digits; empty for anything else.
    """

    name: str
    sha256: str = ""
    size: int
    md5: str = ""

    @property
    def published_name(self) -> str:
        """Name under which mirrors have it."""
        return self.name if self.md5 else f"{self.name}.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The files of one data set, and where they may be.

    Attributes:
        name: The data set's name; also its folder in the cache.
        files: All of its files.
        layouts: Folders below a data folder in which the files may lie, the usual one first.
        system_folders: Folders into which packages of the operating system put them.
        mirrors: Addresses to which a file's published name is appended, the preferred one first.
        hint: Another way to get the files, as a sentence; may be empty.
    """

    name: str
    files: tuple[DataFile, ...]
    layouts: tuple[str, ...]
    system_folders: tuple[Path, ...] = ()
    mirrors: tuple[str, ...] = ()
    hint: str = ""


def search_folders(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the user's data folders: those given, then those that FATHOM_DATA names."""
    named = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    return tuple(dict.fromkeys([*folders, *(Path(name) for name in named if name)]))


def cache_folder() -> Path:
    """Return the folder of this user that keeps downloads (`~/.cache/fathom` on Linux)."""
    import pooch

    return Path(pooch.os_cache("fathom"))


def obtain(collection: Collection, file: DataFile, folders: Sequence[Path]) -> bytes:
    """Find a file, or download it into the cache.

    Args:
        collection: The data set that the file belongs to.
        file: What is looked for.
        folders: The user's data folders, in order of preference.

    Returns:
        The uncompressed content, or the archive itself, verified.

    Raises:
        DataError: If no place and no mirror has it; the text lists what was found wrong in each,
            and says which files to put where.
    """
    cache = cache_folder()
    roots = [*search_folders(folders), *collection.system_folders, cache]
    troubles: list[str] = []
    for root in dict.fromkeys(roots):
        content, found = _look_into(root, collection, file, is_cache=root == cache)
        troubles += found
        if content is not None:
            return content
    for mirror in collection.mirrors:
        try:
            return _download(f"{mirror}{file.published_name}", file, cache / collection.name)
        except DataError as error:
            troubles.append(str(error))
    place = (search_folders(folders) or (cache,))[0]
    raise DataError(_explain(collection, file, place, troubles))


def is_at_hand(collection: Collection, folders: Sequence[Path]) -> bool:
    """Tell whether every file lies somewhere on this machine; none is opened or downloaded."""
    roots = [*search_folders(folders), *collection.system_folders, cache_folder()]
    return all(
        any(path.exists() for root in roots for path in _candidates(root, collection, file))
        for file in collection.files
    )


def _look_into(
    root: Path, collection: Collection, file: DataFile, *, is_cache: bool
) -> tuple[bytes | None, list[str]]:
    """Return the content if a good file is below `root`, and what is wrong there."""
    troubles: list[str] = []
    for path in _candidates(root, collection, file):
        try:
            packed = read_bytes(path, file.size + _PACKING_MARGIN)
            return _verified(packed, file, path), troubles
        except OSError as error:
            absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
            if absent and not path.is_symlink():
                continue
            trouble = describe_error(path, error)
        except DataError as error:
            trouble = str(error)
        if is_cache:
            trouble += _set_aside(path)
        _log.warning("%s", trouble)
        troubles.append(trouble)
    return None, troubles or [f"{root}: {_describe_absence(root)}"]


def _candidates(root: Path, collection: Collection, file: DataFile) -> Iterator[Path]:
    for layout in collection.layouts:
        for suffix in ("",) if file.md5 else (".gz", ""):
            yield root / layout / f"{file.name}{suffix}"


def _verified(packed: bytes, file: DataFile, source: Path | str) -> bytes:
    if file.md5:
        # An old checksum, and the only one that is published: no protection from an attacker.
        content, kind, wanted = packed, "md5", file.md5
        got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    else:
        content, kind, wanted = unpack(packed, file.size, source), "sha256", file.sha256
        got = hashlib.sha256(content).hexdigest()
    if got != wanted:
        raise DataError(
            f"{source}: is damaged or another file: expected {file.size:,} bytes with {kind} "
            f"{wanted}, got {len(content):,} bytes with {kind} {got}"
        )
    return content


def _describe_absence(root: Path) -> str:
    try:
        return "not there" if root.is_dir() else "no such folder"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _set_aside(path: Path) -> str:
    """Rename a damaged file of our own cache, so that it is kept and not met again."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        return f" (kept as {aside.name})"
    return ""


def _download(address: str, file: DataFile, target: Path) -> bytes:
    """Download, verify and keep one file.

    Raises:
        DataError: If that fails; the text names the address.
    """
    _log.info("downloading %s", address)
    packed = download(address, file.size + _PACKING_MARGIN)
    content = _verified(packed, file, address)
    try:
        is_packed = packed.startswith(GZIP_MAGIC) and not file.md5
        with written_aside(target / (file.name + (".gz" if is_packed else ""))) as stream:
            stream.write(packed)
    except OSError as error:
        _log.warning("%s: the download cannot be kept: %s", target, error.strerror or error)
    return content


def _explain(collection: Collection, file: DataFile, folder: Path, troubles: Sequence[str]) -> str:
    files = ", ".join(each.published_name for each in collection.files)
    wanted = file.name if file.md5 else f"{file.name}(.gz)"
    lines = [
        f"data set '{collection.name}': found no good {wanted}. Looked at:",
        *(f"  {trouble}" for trouble in troubles),
        f"Put {files} into {folder / collection.layouts[0]}, or name the folder that holds "
        f"{collection.layouts[0] or 'it'} with --data-dir or {FOLDERS_VARIABLE}. {collection.hint}",
    ]
    return "\n".join(lines).rstrip()
