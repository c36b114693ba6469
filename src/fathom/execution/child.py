"""The other end of `processes.py`: the loop of a worker process."""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from fathom.errors import FathomError

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The worker is done with its task, well or badly, and waits for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """No task can succeed; the parent is to stop with this message."""

    message: str


def serve(handle: int) -> None:
    """Carry out tasks that come through a socket until the parent is gone.

    The first message is the function that carries out a task, each later one a task.

    Args:
        handle: File descriptor of the worker's end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(handle)
    connection = Connection(handle)
    with contextlib.suppress(EOFError, ConnectionError):
        execute = connection.recv()
        while True:
            task = connection.recv()
            try:
                execute(task, connection.send)
            except FathomError as error:
                connection.send(Aborted(message=str(error)))
            else:
                connection.send(Finished())


def _die_with_parent(handle: int) -> None:
    """End this process as soon as the parent ends, even in the middle of a task.

    A thread waits for the socket to be hung up. On Linux the kernel does the same where the thread
    cannot, because a user's function holds the interpreter's lock.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(handle, 0)  # 0: nothing but a hang-up is of interest
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
