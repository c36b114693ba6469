"""What one task does, wherever it runs: claim, train, commit."""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from fathom.data.config import DataConfig
from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import EpochReport, train_cohort
from fathom.engine.tables import CohortResult
from fathom.errors import ComponentError, FathomError, StoreError
from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    CohortStarted,
    Emit,
    EpochDone,
    Event,
    Notice,
    RunOutcome,
    Task,
)
from fathom.spec.grid import config_digest
from fathom.spec.own_modules import allow
from fathom.store.fingerprint import Fingerprint, machine_fingerprint
from fathom.store.results import StudyFolder
from fathom.store.tables import make_table

State = dict[str, Tensor]


@final
class Trainer:
    """Carries out tasks of one study; what the next task may need again is kept.

    A run whose training raises an exception (a user's activation can) is found by halving its
    cohort: results do not depend on what is trained together, so that the others are unharmed.
    The halves start anew, not from the cohort's saved state.
    """

    def __init__(self) -> None:
        self._folder: StudyFolder | None = None
        self._data: tuple[DataConfig, PreparedData] | None = None
        self._told = 0

    def __call__(self, task: Task, emit: Emit) -> None:
        """Train what is not committed yet of a task's runs, and commit it.

        Raises:
            FathomError: If the results folder or the data cannot be used.
        """
        for module in task.allowed_modules:
            allow(module)
        if self._folder is None or self._folder.path != task.folder:
            self._folder = StudyFolder.join(task.folder, fingerprint=fingerprint())
        listener = emit if isinstance(emit, _Listener) else _Listener(emit)
        with self._folder.claim(task.cohort_id) as mine, one_thread():
            if mine:
                self._complete(self._folder, task, listener)
                self._tell_damages(self._folder, listener)
            else:
                emit(CohortBusy(cohort_id=task.cohort_id))

    def _complete(self, folder: StudyFolder, task: Task, emit: "_Listener") -> None:
        left = task.without(finished_runs(folder))
        if left.runs == task.runs:
            self._train_or_halve(folder, task, emit)
            return
        folder.drop_state(task.cohort_id)  # this very cohort will not be trained again
        if left.runs:
            self(left, emit)

    def _train_or_halve(self, folder: StudyFolder, task: Task, emit: "_Listener") -> None:
        try:
            self._train(folder, task, emit)
            return
        except (Exception, SystemExit) as error:  # a user's function may do anything
            is_ours = isinstance(error, FathomError) and not isinstance(error, ComponentError)
            if is_ours or emit.failed:
                raise
            problem, detail = _explain(error), traceback.format_exc()
        folder.drop_state(task.cohort_id)
        # Here, outside of the handler, the exception no longer holds on to the cohort's memory.
        if len(task.runs) > 1:
            for half in task.halves():
                self(half, emit)
            return
        emit(
            CohortFailed(
                cohort_id=task.cohort_id,
                run_ids=(task.runs[0].id,),
                names=(task.runs[0].name,),
                message=problem,
                detail=detail,
            )
        )

    def _train(self, folder: StudyFolder, task: Task, emit: Emit) -> None:
        data = self._prepared(task)
        require_same_data(folder.path, data, computed_from(folder))
        state = folder.load_state(task.cohort_id, data=data.digest)
        run_ids = tuple(run.id for run in task.runs)
        epoch = 0 if state is None else int(state["epoch"])
        emit(CohortStarted(cohort_id=task.cohort_id, run_ids=run_ids, epoch=epoch))
        result = train_cohort(
            task.runs,
            data,
            state=state,
            save_state=_saver(folder, task, data.digest),
            on_epoch=lambda report: emit(_epoch_done(task.cohort_id, run_ids, report)),
        )
        frames = {name: make_table(name, columns) for name, columns in _tables(result)}
        meta = {"data_config": config_digest(data.config), "data": data.digest}
        folder.commit_cohort(task.cohort_id, frames, result.weights, meta)
        rows = frames["runs"].select("run_id", "name", "outcome", "reason").iter_rows(named=True)
        outcomes = tuple(RunOutcome(**row) for row in rows)
        emit(CohortDone(cohort_id=task.cohort_id, outcomes=outcomes))

    def _prepared(self, task: Task) -> PreparedData:
        config = task.runs[0].data
        if self._data is None or self._data[0] != config:
            self._data = None  # the old data go before the new ones come
            self._data = config, prepare(config, task.data_folders)
        return self._data[1]

    def _tell_damages(self, folder: StudyFolder, emit: Emit) -> None:
        for damage in folder.damages[self._told :]:
            emit(Notice(message=str(damage)))
        self._told = len(folder.damages)


class _Listener:
    """Passes events on, and remembers when that failed: then it was not the training that did.

    Args:
        emit: Whom to pass them to.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.failed = False

    def __call__(self, event: Event) -> None:
        self.failed = True
        self._emit(event)
        self.failed = False


def fingerprint() -> Fingerprint:
    """Describe this machine, with the settings of `one_thread`."""
    return machine_fingerprint(flush_denormal=True)


def finished_runs(folder: StudyFolder) -> set[str]:
    """Return the ids of the runs that are committed."""
    return {run_id for record in folder.committed().values() for run_id in record["runs"]}


def computed_from(folder: StudyFolder, tasks: Iterable[Task] = ()) -> set[tuple[str, str]]:
    """Return what results were computed from: digests of data settings, each with one of the data.

    Args:
        folder: Whose committed cohorts are looked at.
        tasks: Cohorts whose saved states are looked at, too.
    """
    metas = [record["meta"] for record in folder.committed().values()]
    committed = {(meta["data_config"], meta["data"]) for meta in metas}
    return committed | {
        (config_digest(task.runs[0].data), data)
        for task in tasks
        for data in folder.state_data(task.cohort_id)
    }


def require_same_data(folder: Path, data: PreparedData, past: Iterable[tuple[str, str]]) -> None:
    """Refuse to mix results of different data under one name, such as a file that was replaced.

    Args:
        folder: The results folder.
        data: What is to be computed from.
        past: What `computed_from` returned.

    Raises:
        StoreError: If the folder holds results of other data.
    """
    config = data.config
    settings = config_digest(config)
    if any(known == settings and digest != data.digest for known, digest in past):
        raise StoreError(
            f"{folder}: was computed from other data: {config.path or config.name} has "
            "changed since. Put the old data back, or choose another results folder"
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread and without denormal numbers, which are slow; put back afterwards.

    Every executor computes under these settings: they decide the last bits.
    """
    threads, flushes = torch.get_num_threads(), _flushes_denormal()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushes)


def _flushes_denormal() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)  # torch has a setter, but no getter
    return bool((smallest * 0.5) == 0)


def _explain(error: BaseException) -> str:
    if isinstance(error, ComponentError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return f"there is not enough memory for it even alone ({text.splitlines()[0]})"
    return f"training raised {text}"


def _saver(folder: StudyFolder, task: Task, data: str) -> Callable[[Callable[[], State]], None]:
    last_s = time.monotonic()

    def save(state: Callable[[], State]) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= task.checkpoint_every_s:
            folder.save_state(task.cohort_id, state(), data=data)
            last_s = time.monotonic()

    return save


def _tables(result: CohortResult) -> Iterator[tuple[Any, Any]]:
    for name in ("runs", "epochs", "layers", "histograms"):
        if columns := getattr(result, name):
            yield name, columns


def _epoch_done(cohort_id: str, run_ids: tuple[str, ...], report: EpochReport) -> EpochDone:
    return EpochDone(
        cohort_id=cohort_id,
        run_ids=run_ids,
        epoch=report.epoch,
        epochs=report.epochs,
        # NaN for runs that ended before this epoch, which `fmax` passes over.
        train_accuracy=float(np.fmax.reduce(report.train_accuracy, initial=0.0)),
    )
