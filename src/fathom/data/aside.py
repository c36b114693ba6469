"""Files written aside and then renamed: nobody ever sees half of one under its name."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

_READABLE: Final = 0o644


@contextmanager
def written_aside(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which takes its name at the end of the block if nothing failed.

    Not covered: a power cut soon after, which may leave a file without its content.

    Args:
        path: The name; its folder is made if there is none.

    Yields:
        The file.

    Raises:
        OSError: If the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream:
            yield cast(BinaryIO, stream)
        Path(aside).chmod(_READABLE)  # it was made for its owner alone
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
