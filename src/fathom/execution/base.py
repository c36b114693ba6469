"""What every executor has in common: tasks go in, events come out.

A *task* is one cohort that is to be trained and committed. Whoever carries it out reports *events*,
plain records that travel between processes; the progress bar, the log and the exit code are made
from them alone. An executor decides where tasks run and nothing else, so that all executors give
the same results.
"""

from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Protocol

from fathom.spec.grid import Run, cohort_id

RETRY_BUSY_S: Final = 0.5  # a dead owner's cohort is to be taken over within 2 s
MAX_DEATHS: Final = 3
DeviceName = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One cohort to train.

    Attributes:
        runs: The runs, in the order of the plan; what is committed already is left out.
        folder: The study's results folder.
        data_folders: Where data sets are looked for, in order.
        allowed_modules: Modules from which the user lets activations be imported.
        checkpoint_every_s: Least time between two saved states; 0 saves after every epoch.
        device: Where it computes.
        cost: Estimated effort in any unit; the most expensive tasks start first.
        deaths: Workers that died on this task.
    """

    runs: tuple[Run, ...]
    folder: Path
    data_folders: tuple[Path, ...] = ()
    allowed_modules: tuple[str, ...] = ()
    checkpoint_every_s: float = 30.0
    device: DeviceName = "cpu"
    cost: float = 0.0
    deaths: int = 0

    @property
    def cohort_id(self) -> str:
        """Content hash of the run ids: equal runs resume each other's state."""
        return cohort_id(self.runs)

    def without(self, finished: Container[str]) -> "Task":
        """Leave out the runs with these ids."""
        runs = tuple(run for run in self.runs if run.id not in finished)
        return replace(self, runs=runs, cost=self.cost * len(runs) / max(1, len(self.runs)))

    def halves(self) -> tuple["Task", "Task"]:
        """Cut a task of at least two runs in two; what each run computes does not depend on it."""
        middle = len(self.runs) // 2
        parts = self.runs[:middle], self.runs[middle:]
        first, second = (replace(self, runs=runs, cost=self.cost / 2, deaths=0) for runs in parts)
        return first, second


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How one run ended, as in the table of runs."""

    run_id: str
    name: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortStarted:
    """Training begins, or goes on after `epoch`."""

    cohort_id: str
    run_ids: tuple[str, ...]
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """One more epoch of a cohort is trained.

    Attributes:
        cohort_id: The cohort.
        run_ids: Its runs.
        epoch: Epochs trained so far.
        epochs: Epochs to train at most.
        train_accuracy: Highest share of hits on the epoch's batches among the runs.
    """

    cohort_id: str
    run_ids: tuple[str, ...]
    epoch: int
    epochs: int
    train_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortDone:
    """A cohort is committed to the results folder."""

    cohort_id: str
    outcomes: tuple[RunOutcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortFailed:
    """Runs could not be computed; a later command tries them again.

    Attributes:
        cohort_id: The cohort.
        run_ids: The runs that have no result.
        names: Their readable names.
        message: One sentence for the user.
        detail: More for the log, such as a traceback through the user's function.
    """

    cohort_id: str
    run_ids: tuple[str, ...]
    names: tuple[str, ...]
    message: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortBusy:
    """Another runner holds the cohort; the executor comes back to it."""

    cohort_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the user should know and the study survives: a damaged file, a dead worker."""

    message: str


Event = CohortStarted | EpochDone | CohortDone | CohortFailed | CohortBusy | Notice


Emit = Callable[[Event], None]
Execute = Callable[[Task, Emit], None]


class Executor(Protocol):
    """Where tasks run."""

    def run(self, tasks: Sequence[Task], emit: Emit) -> None:
        """Carry out all tasks and report what happens as it happens, in this process and thread.

        A failed task leaves the others alone. An exception out of `emit`, or a
        `KeyboardInterrupt`, stops all work at once; what was saved is safe.

        Args:
            tasks: The tasks, in any order.
            emit: Called with each event.

        Raises:
            FathomError: If no task can succeed: the disk is full, the data are gone.
        """
        ...


class Backlog:
    """Tasks yet to be done, the most expensive first.

    Those that another runner holds are asked for again when nothing else is left.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._ready = deque(sorted(tasks, key=lambda task: -task.cost))
        self._held: deque[tuple[float, Task]] = deque()
        self._reported: set[str] = set()

    def __len__(self) -> int:
        return len(self._ready) + len(self._held)

    def take(self, now_s: float) -> Task | None:
        """Return the next task that may be tried at a moment, or None."""
        if self._ready:
            return self._ready.popleft()
        if self._held and self._held[0][0] <= now_s:
            return self._held.popleft()[1]
        return None

    def postpone(self, task: Task, now_s: float) -> bool:
        """Put off a task that another runner holds; True when this is news about its cohort."""
        self._held.append((now_s + RETRY_BUSY_S, task))
        news = task.cohort_id not in self._reported
        self._reported.add(task.cohort_id)
        return news

    def lose(self, task: Task) -> Notice | CohortFailed:
        """Account for a worker that died on a task: try again, then in halves, then give up."""
        deaths = task.deaths + 1
        who = _who(task)
        if deaths < MAX_DEATHS:
            self._ready.appendleft(replace(task, deaths=deaths))
            return Notice(message=f"a worker died while it trained {who}; starting it again")
        if len(task.runs) > 1:
            self._ready.extendleft(reversed(task.halves()))
            return Notice(message=f"{deaths} workers died while they trained {who}; halving them")
        return CohortFailed(
            cohort_id=task.cohort_id,
            run_ids=tuple(run.id for run in task.runs),
            names=tuple(run.name for run in task.runs),
            message=f"{deaths} workers died while they trained it. The system may have killed them "
            "for want of memory: use fewer workers (--workers) or a smaller network",
        )

    def give_back(self, task: Task) -> Notice:
        """Take back a task whose machine is gone, which is no fault of the task."""
        self._ready.appendleft(task)
        return Notice(message=f"a node was lost while it trained {_who(task)}; starting it again")


def _who(task: Task) -> str:
    return task.runs[0].name if len(task.runs) == 1 else f"{len(task.runs)} runs"
