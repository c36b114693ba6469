"""The command line: what happens around every command, whatever it does.

This file imports nothing heavy, so that Ctrl-C is answered properly from the first moment on.
"""

import contextlib
import io
import os
import signal
import sys
from types import FrameType
from typing import Final

from fathom.errors import FathomError

USER_ERROR: Final = 2
_SHOW_CURSOR: Final = "\x1b[?25h"  # a bar hides it, and nobody else will be left to bring it back


def main() -> None:
    """Run the command in `sys.argv` and exit.

    The status is 0 when all went well, 1 when not everything could be computed, 2 after a user's
    error. A user's error is one message on standard error. A traceback is a fault of ours.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a name may not fit a terminal's encoding
    from fathom.cli.app import build_app

    try:
        build_app()(prog_name="fathom")
    except FathomError as error:
        print(error, file=sys.stderr)
        sys.exit(USER_ERROR)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the process at once.

    Nothing needs to be tidied up: whatever is saved survives a kill at any moment, and workers and
    locks go when this process goes. An exception instead could surface anywhere, half-way through
    an import or inside a callback that swallows it, and a second Ctrl-C in the middle of tidying.
    """
    text = "\nStopped. Nothing that was saved is lost: run the same command to go on.\n"
    if os.isatty(2):
        text = _SHOW_CURSOR + text
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
    os._exit(128 + number)
