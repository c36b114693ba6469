"""Training as work that needs no results folder, so that it can be done on another machine."""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import gethostname
from typing import Any, final

import polars as pl
import torch
from torch import Tensor

from fathom.data.splits import PreparedData
from fathom.engine.memory import is_out_of_memory
from fathom.engine.run import train_cohort
from fathom.engine.tables import CohortResult
from fathom.errors import ComponentError, FathomError
from fathom.execution.base import Task
from fathom.models.build import changed_code
from fathom.spec.grid import Run
from fathom.spec.own_modules import allow
from fathom.store.tables import TableName, make_table
from fathom.surfaces import Surface
from fathom.threads import no_denormals, one_thread

State = dict[str, Tensor]
Report = Callable[[Any], None]
Work = Callable[[PreparedData, Report], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Work that is to be done for a task.

    Attributes:
        work: Called with the data and with what takes its reports; can be pickled.
        data: What it computes from; many orders share it.
        receive: Takes the reports, in the process that gave the order.
    """

    work: Work
    data: PreparedData
    receive: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What is to be committed of a cohort."""

    frames: dict[TableName, pl.DataFrame]
    weights: dict[str, Tensor]
    surfaces: dict[str, Surface]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something cannot be computed: a sentence for the user, and more for the log."""

    message: str
    detail: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The work of training one cohort.

    It reports an `EpochReport` after each epoch and a `State` now and then; in the end what was
    `Trained`, or a `Failure`.

    Attributes:
        task: The cohort; none of its runs has a result.
        state: Where it goes on; None to start.
    """

    task: Task
    state: State | None

    def __call__(self, data: PreparedData, report: Report) -> None:
        """Train with the settings that every executor computes under.

        Raises:
            FathomError: If it failed through no fault of the cohort.
        """
        reporter = _Reporter(report)
        with settings_of_workers():
            failure = attempt(lambda: self._train(data, reporter), reporter)
        if failure is not None:
            report(failure)

    def _train(self, data: PreparedData, report: Report) -> None:
        for module in self.task.allowed_modules:
            allow(module)
        _require_same_code(self.task.runs)
        result = train_cohort(
            self.task.runs,
            data,
            state=self.state,
            save_state=_saver(self.task.checkpoint_every_s, report),
            on_epoch=report,
            device=torch.device(self.task.device),
        )
        frames = {name: make_table(name, columns) for name, columns in _tables(result)}
        report(Trained(frames=frames, weights=result.weights, surfaces=result.surfaces))


def _require_same_code(runs: Iterable[Run]) -> None:
    """Check that functions of a user's modules are here what they were where the study was read.

    Raises:
        FathomError: If one is not, so that results would have the wrong name.
    """
    for run in runs:
        changed = changed_code(run.model)
        if changed is not None:
            raise FathomError(
                f"{changed}: its code on {gethostname()} is not what it was when the study was "
                "read; bring every machine to the same state and run the command again"
            )


class _Reporter:
    """Passes reports on, and remembers when that failed: then it was not the training that did.

    Args:
        report: Takes them.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self.failed = False

    def __call__(self, given: object) -> None:
        self.failed = True
        self._report(given)
        self.failed = False


def attempt(action: Callable[[], None], reporter: _Reporter | None = None) -> Failure | None:
    """Do what a user's function, or want of memory, may stop.

    Args:
        action: What to do.
        reporter: Through which it reports; an exception out of that is not the action's.

    Returns:
        What stopped it, as text: an exception would hold on to the memory of what it left.

    Raises:
        FathomError: If it failed for another reason.
        SystemExit: If `reporter` raised it.
    """
    try:
        action()
    except (Exception, SystemExit) as error:  # a user's function may do anything
        is_ours = isinstance(error, FathomError) and not isinstance(error, ComponentError)
        if is_ours or (reporter is not None and reporter.failed):
            raise
        return Failure(message=_explain(error), detail=traceback.format_exc())
    return None


@contextmanager
def settings_of_workers() -> Iterator[None]:
    """Compute with one thread and without denormal numbers; put both back afterwards.

    Every executor computes under these settings: they decide the last bits.
    """
    with one_thread(), no_denormals():
        yield


def _explain(error: BaseException) -> str:
    if isinstance(error, ComponentError):
        return str(error)
    if is_out_of_memory(error):
        told = str(error).partition("\n")[0] or type(error).__name__
        return f"there is not enough memory for it even alone: {told}"
    return f"training raised {type(error).__name__}: {error}"


def _saver(every_s: float, report: Report) -> Callable[[Callable[[], State]], None]:
    last_s = time.monotonic()

    def save(state: Callable[[], State]) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= every_s:
            report(state())
            last_s = time.monotonic()

    return save


def _tables(result: CohortResult) -> Iterator[tuple[Any, Any]]:
    for name in ("runs", "epochs", "layers", "histograms", "scores", "units"):
        if columns := getattr(result, name):
            yield name, columns
