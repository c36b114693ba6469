"""How far a study is: counted from events, shown as one bar or as plain lines."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, final

from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    CohortStarted,
    EpochDone,
    Event,
    Notice,
)
from fathom.plan import Plan

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S: Final = 30.0


@final
class Tally:
    """What is done of a plan and how long the rest will take.

    Work is counted in floating-point operations, so that a deep network's epoch weighs more than a
    shallow one's. An event told twice counts once.

    Args:
        plan: The whole study.
        finished: Ids of the runs that have a result already.
        clock: Seconds that only ever grow.
    """

    def __init__(
        self, plan: Plan, finished: Iterable[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._weight: dict[str, float] = {}
        self._epochs: dict[str, int] = {}
        for cohort in plan.cohorts:
            for run in cohort.runs:
                self._weight[run.id] = cohort.flops / len(cohort.runs)
                self._epochs[run.id] = cohort.epochs
        self._total = sum(w * self._epochs[run_id] for run_id, w in self._weight.items())
        self._planned_s = plan.estimated_s
        self._reached = dict.fromkeys(self._weight, 0)
        self._work, self._num_epochs = 0.0, 0
        self._ended: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self.failed: dict[str, str] = {}
        self.best_accuracy = 0.0
        for run_id in finished:
            self._end(run_id)
        # What earlier commands did says nothing about our speed.
        self._given, self._given_epochs = self._work, self._num_epochs
        self._started_s = clock()

    def add(self, event: Event) -> None:
        """Account for an event."""
        if isinstance(event, CohortStarted):
            work, num_epochs = self._work, self._num_epochs
            self._reach(event.run_ids, event.epoch)
            self._given += self._work - work
            self._given_epochs += self._num_epochs - num_epochs
        elif isinstance(event, EpochDone):
            self._reach(event.run_ids, event.epoch)
            self.best_accuracy = max(self.best_accuracy, event.train_accuracy)
        elif isinstance(event, CohortDone):
            self.outcomes.update(run.outcome for run in event.outcomes if self._end(run.run_id))
        elif isinstance(event, CohortFailed):
            for run_id, name in zip(event.run_ids, event.names, strict=True):
                self.failed[run_id] = name
                self._end(run_id)

    def _reach(self, run_ids: Iterable[str], epoch: int) -> None:
        for run_id in run_ids:
            gain = epoch - self._reached[run_id]
            self._reached[run_id] = epoch
            self._work += gain * self._weight[run_id]
            self._num_epochs += gain

    def _end(self, run_id: str) -> bool:
        fresh = run_id not in self._ended
        self._ended.add(run_id)
        self._reach([run_id], self._epochs[run_id])
        return fresh

    @property
    def num_runs(self) -> int:
        """Runs of the study."""
        return len(self._weight)

    @property
    def num_ended(self) -> int:
        """Runs that have a result or cannot have one."""
        return len(self._ended)

    @property
    def share(self) -> float:
        """Share of the study's work that is done, from 0 to 1."""
        return min(1.0, self._work / self._total) if self._total else 1.0

    @property
    def epochs_per_s(self) -> float:
        """Epochs trained per second, each run's counted."""
        elapsed_s = self._clock() - self._started_s
        return (self._num_epochs - self._given_epochs) / elapsed_s if elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float:
        """Time for the rest at the speed so far; before the first epoch, the plan's estimate."""
        ours = self._work - self._given
        if ours <= 0:
            return self._planned_s * (1 - self.share)
        return (self._clock() - self._started_s) * (self._total - self._work) / ours

    def describe(self) -> str:
        """Say in one line how far the study is."""
        parts = [f"{self.num_ended}/{self.num_runs} runs", f"{self.share:.0%}"]
        if self.outcomes["diverged"]:
            parts.append(f"{self.outcomes['diverged']} diverged")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self.best_accuracy:
            parts.append(f"train accuracy up to {self.best_accuracy:.1%}")
        if self.epochs_per_s:
            parts.append(f"{self.epochs_per_s:.3g} epochs/s")
        if self.num_ended < self.num_runs:
            parts.append(f"{duration(self.remaining_s)} left")
        return " · ".join(parts)


def duration(seconds: float) -> str:
    """Write a time for people.

    >>> duration(0.4), duration(95), duration(7000)
    ('1 s', '2 min', '1 h 57 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def news(event: Event) -> str:
    """Say what an event means to a user; nothing for those that only move the bar."""
    if isinstance(event, CohortFailed):
        names = ", ".join(event.names[:3]) + (" ..." if len(event.names) > 3 else "")
        return f"not computed: {names}: {event.message}"
    if isinstance(event, CohortBusy):
        return f"cohort {event.cohort_id} is being trained by another command; waiting for it"
    return event.message if isinstance(event, Notice) else ""


class Display(Protocol):
    """Shows progress; entered before the first event, left after the last."""

    def __enter__(self) -> "Display": ...

    def __exit__(self, *problem: object) -> None: ...

    def show(self, tally: Tally, event: Event) -> None:
        """Show what an event changed; the tally has it already."""


@final
class FirstFailure:
    """Shows why the first run could not be computed, and nothing else."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._told = False

    def __enter__(self) -> "FirstFailure":
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def show(self, tally: Tally, event: Event) -> None:
        """Print the first failure."""
        if isinstance(event, CohortFailed) and not self._told:
            self._told = True
            self._console.print(news(event), markup=False, highlight=False, soft_wrap=True)


@final
class Lines:
    """Plain lines for logs and pipes: for each cohort and each piece of news, and now and then."""

    def __init__(self, console: "Console", clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last_s = clock()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def show(self, tally: Tally, event: Event) -> None:
        """Print a line when a cohort ended, something happened, or none came for a while."""
        text = news(event)
        overdue = isinstance(event, EpochDone) and self._clock() - self._last_s >= LINE_EVERY_S
        if isinstance(event, CohortDone) or overdue:
            text = tally.describe()
        if text:
            self._last_s = self._clock()
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@final
class Bar:
    """One bar over the whole study on a terminal."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(SpinnerColumn(), BarColumn(), text, console=console)
        self._task = self._progress.add_task("starting", total=1.0)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._progress.stop()

    def show(self, tally: Tally, event: Event) -> None:
        """Move the bar; print news above it."""
        if text := news(event):
            self._progress.console.print(text, markup=False, highlight=False)
        self._progress.update(self._task, completed=tally.share, description=tally.describe())


def choose_display(console: "Console", *, quiet: bool) -> Display:
    """Choose what suits the place where progress is shown."""
    if quiet:
        return FirstFailure(console)
    return Bar(console) if console.is_terminal else Lines(console)
