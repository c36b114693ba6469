"""A writer that commits and lists files; as a script it starts in milliseconds, to be killed.

Arguments: the folder that holds the package, the folder to write to, the number of files. It goes
on where an earlier one stopped, and prints the name of each file that is saved.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from fathom.errors import StoreError
from fathom.store import manifest
from fathom.store.commit import commit, make_folder, remove_leftovers

SIZE_BYTES = 10_000


def write_files(root: Path, num_files: int) -> Iterator[str]:
    """Commit what is not listed yet; yields each name when it is saved."""
    make_folder(root / "files")
    manifest.mend(root / "manifest")
    remove_leftovers(root / "files")
    listed = {record["name"] for record in manifest.read(root / "manifest").records}
    for k in range(num_files):
        name = f"files/{k}"
        if name not in listed:
            digest = commit(root / name, bytes([65 + k]) * SIZE_BYTES)
            manifest.append(root / "manifest", {"name": name, "sha256": digest})
            yield name


if __name__ == "__main__":
    try:
        for saved in write_files(Path(sys.argv[2]), int(sys.argv[3])):
            with suppress(OSError):  # the screen is no part of the store
                os.write(1, f"{saved}\n".encode())
    except StoreError as error:
        sys.exit(str(error))
