"""A page beside a training command: served by a process of its own, which ends with the command.

The command does not wait for it, share memory with it, or notice its end.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fathom.errors import FathomError

NEEDED: Final = ("starlette", "uvicorn")
PATIENCE_S: Final = 15.0  # until the open pages have the last data

# -P: a file of the user's in the present folder is not to be taken for one of Python's own.
_COMMAND: Final = (sys.executable, "-P", "-c", "from fathom.cli import main; main()", "live")


def require_packages() -> None:
    """Refuse to begin without the packages that serve the page.

    Raises:
        FathomError: If one is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise FathomError(
            f"the live page needs {' and '.join(missing)}, not installed here; "
            f"pip install {' '.join(NEEDED)}"
        )


@contextlib.contextmanager
def page_beside(folder: Path, allowed_modules: Sequence[str] = ()) -> Iterator[None]:
    """Serve a study's page while the block runs; its address is printed on standard error.

    Args:
        folder: The study's results folder.
        allowed_modules: Modules of the user that theory may take functions from.
    """
    allowed = [option for module in allowed_modules for option in ("--allow", module)]
    process = subprocess.Popen(
        [*_COMMAND, str(folder.absolute()), "--until-input-ends", *allowed],
        stdin=subprocess.PIPE,
        stdout=2,
        start_new_session=True,  # Ctrl-C is for the command, whose end the page sees
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
