"""The executor that needs no other process: one task after another, here."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from fathom.execution.base import (
    RETRY_BUSY_S,
    Backlog,
    CohortBusy,
    Emit,
    Event,
    Execute,
    Task,
)
from fathom.execution.worker import Trainer


@final
@dataclass(frozen=True, slots=True)
class InlineExecutor:
    """Run tasks in this process.

    Attributes:
        execute: Carries out one task.
    """

    execute: Execute = field(default_factory=Trainer)

    def run(self, tasks: Sequence[Task], emit: Emit) -> None:
        """Carry out all tasks, see `Executor.run`."""
        backlog = Backlog(tasks)
        while backlog:
            task = backlog.take(time.monotonic())
            if task is None:
                time.sleep(RETRY_BUSY_S)
            else:
                self._carry_out(task, backlog, emit)

    def _carry_out(self, task: Task, backlog: Backlog, emit: Emit) -> None:
        def pass_on(event: Event) -> None:
            if not isinstance(event, CohortBusy) or backlog.postpone(task, time.monotonic()):
                emit(event)

        self.execute(task, pass_on)
