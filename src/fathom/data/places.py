"""Where what a user names lies: below the data folders, or below the current one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fathom.data import fetch
from fathom.errors import DataError


def find_path(path: str | None, folders: Sequence[Path], needs: str) -> Path:
    """Find a user's file or folder: absolute, or below a data folder or the current one.

    Args:
        path: As the user gave it.
        folders: The user's data folders, in order of preference.
        needs: Who needs what, for messages, such as `data set 'arrays' needs an .npz file`.

    Raises:
        DataError: If it is nowhere.
    """
    if not path or "\0" in path:
        raise DataError(f"data.path: got {path!r}; {needs}")
    candidates = list(_candidates(path, folders))
    for candidate in candidates:
        if _is_there(candidate):
            return candidate
    looked = ", ".join(map(str, candidates))
    raise DataError(
        f"{path}: no such file; looked at {looked}. Give data.path as an absolute path, "
        f"or name its folder with --data-dir or {fetch.FOLDERS_VARIABLE}"
    )


def find_folder(
    name: str,
    path: str | None,
    folders: Sequence[Path],
    *,
    layouts: Sequence[str],
    marker: str,
) -> Path:
    """Find the folder of a data set by what must lie in it.

    Args:
        name: The data set's name, for messages.
        path: The folder, or one above it, if the user named it.
        folders: The user's data folders, in order of preference.
        layouts: Where the folder may be below `path`, or below a data folder.
        marker: A file or folder that lies in it.

    Raises:
        DataError: If there is none; the text lists where it was looked for.
    """
    if path is not None and "\0" in path:
        raise DataError(f"data.path: got {path!r}; data set '{name}' needs a folder")
    tops = list(_candidates(path, folders) if path else fetch.search_folders(folders))
    candidates = list(dict.fromkeys(top / layout for top in tops for layout in layouts))
    for candidate in candidates:
        if _is_there(candidate / marker):
            return candidate
    looked = ", ".join(map(str, candidates)) or "no folder: none is named"
    raise DataError(
        f"data set '{name}': found no folder with {marker} in it; looked at {looked}. Give "
        f"data.path, or name the folder that holds {layouts[0]} with --data-dir or "
        f"{fetch.FOLDERS_VARIABLE}"
    )


def _candidates(path: str, folders: Sequence[Path]) -> Iterator[Path]:
    wanted = Path(path).expanduser()
    roots = [*fetch.search_folders(folders), Path()]
    yield from dict.fromkeys((root / wanted).absolute() for root in roots)


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # such as a folder without permission: reading the file will say so
        return True
    return True
