"""The executor for one machine: a few worker processes, each with one thread.

Workers are started by hand rather than with `multiprocessing`, whose children import the user's
main script again: a script without a main guard would start itself over and over. A worker's only
tie to its parent is one socket; its hang-up is how either side learns that the other is gone.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Final, final

from fathom.errors import FathomError
from fathom.execution.base import (
    RETRY_BUSY_S,
    Backlog,
    CohortBusy,
    Emit,
    Execute,
    Task,
)
from fathom.execution.child import Aborted, Finished
from fathom.execution.worker import Trainer

# OpenMP reads these when torch is loaded; set later, the threads are there already.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_DEAD: Final = (EOFError, ConnectionError)


@final
class _Worker:
    """One child process, the parent's end of its socket, and the task that it works on."""

    def __init__(self, execute: Execute) -> None:
        ours, theirs = socket.socketpair()
        # The child takes the parent's module path over as it is now, the user's additions included.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from fathom.execution.child import serve; serve({theirs.fileno()})"
        )
        with theirs, _no_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a user's function prints must not end up in our output
                env=os.environ | _ONE_THREAD,
            )
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        self._greeting: Execute | None = execute

    def give(self, task: Task) -> None:
        """Hand over a task; a dead worker is noticed when its answer is awaited."""
        self.task = task
        with contextlib.suppress(*_DEAD):
            if self._greeting is not None:
                self.connection.send(self._greeting)
                self._greeting = None
            self.connection.send(task)

    def kill(self) -> None:
        """End the process at once; it is built to be killed at any moment."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


@final
@dataclass(slots=True)
class ProcessExecutor:
    """Run tasks in worker processes on this machine.

    Attributes:
        num_workers: Processes, at least 1.
        execute: Carries out one task; of a kind that a fresh process can import.
    """

    num_workers: int
    execute: Execute = field(default_factory=Trainer)
    _workers: list[_Worker] = field(default_factory=list, init=False)

    def run(self, tasks: Sequence[Task], emit: Emit) -> None:
        """Carry out all tasks, see `Executor.run`."""
        backlog = Backlog(tasks)
        try:
            while backlog or self._working():
                self._hand_out(backlog)
                connections = [worker.connection for worker in self._working()]
                ready = wait(connections, timeout=RETRY_BUSY_S if backlog else None)
                for worker in [w for w in self._working() if w.connection in ready]:
                    self._receive(worker, backlog, emit)
        finally:
            for worker in self._workers:
                worker.kill()
            self._workers.clear()

    def _working(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _hand_out(self, backlog: Backlog) -> None:
        while len(self._working()) < self.num_workers:
            task = backlog.take(time.monotonic())
            if task is None:
                return
            idle = [worker for worker in self._workers if worker.task is None]
            if not idle:
                idle = [_Worker(self.execute)]
                self._workers += idle
            idle[0].give(task)

    def _receive(self, worker: _Worker, backlog: Backlog, emit: Emit) -> None:
        assert worker.task is not None
        try:
            message = worker.connection.recv()
        except _DEAD:
            task = worker.task
            worker.kill()
            self._workers.remove(worker)
            emit(backlog.lose(task))
            return
        if isinstance(message, Aborted):
            raise FathomError(message.message)
        if isinstance(message, Finished):
            worker.task = None
            return
        is_busy = isinstance(message, CohortBusy)
        if not is_busy or backlog.postpone(worker.task, time.monotonic()):
            emit(message)


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back while a child is made, which inherits that: only the parent reacts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
