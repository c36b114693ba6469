"""What becomes of one task at the results folder: claimed, trained, committed."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import polars as pl

from fathom.data.config import DataConfig
from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import EpochReport
from fathom.errors import StoreError
from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    CohortStarted,
    DeviceName,
    Emit,
    EpochDone,
    Notice,
    RunOutcome,
    Task,
)
from fathom.execution.training import (
    Failure,
    Order,
    State,
    Trained,
    Training,
    attempt,
    settings_of_workers,
)
from fathom.spec.grid import config_digest
from fathom.store.fingerprint import Fingerprint, machine_fingerprint
from fathom.store.results import StudyFolder

Prepare = Callable[[DataConfig, Sequence[Path]], PreparedData]
Orders = Generator[Order, None, None]


@final
class Trainer:
    """Carries out tasks of one study; what the next task may need again is kept.

    A run whose training raises an exception (a user's activation can) is found by halving its
    cohort: results do not depend on what is trained together, so that the others are unharmed.
    The halves start anew, not from the cohort's saved state.

    Args:
        prepare: Loads a data set.
    """

    def __init__(self, prepare: Prepare = prepare) -> None:
        self._prepare = prepare
        self._folder: StudyFolder | None = None
        self._data: tuple[DataConfig, PreparedData] | None = None
        self._told = 0

    def __call__(self, task: Task, emit: Emit) -> None:
        """Train what is not committed yet of a task's runs, and commit it.

        Raises:
            FathomError: If the results folder or the data cannot be used.
        """
        # Closed, so that a claim is given up at once when training is interrupted.
        with closing(self.orders(task, emit)) as orders:
            for order in orders:
                order.work(order.data, order.receive)

    def orders(self, task: Task, emit: Emit) -> Orders:
        """Do for a task what needs the results folder: claim, go on from what is saved, commit.

        Args:
            task: The task.
            emit: Called with what happens.

        Yields:
            What is to be trained, here or elsewhere, before the next order is asked for. The claim
            is held until the last one is done, or the generator is closed.

        Raises:
            FathomError: If the results folder or the data cannot be used.
        """
        if self._folder is None or self._folder.path != task.folder:
            self._folder = StudyFolder.join(task.folder, fingerprint=fingerprint(task.device))
        with self._folder.claim(task.cohort_id) as mine:
            if mine:
                yield from self._complete(self._folder, task, emit)
                self._tell_damages(self._folder, emit)
            else:
                emit(CohortBusy(cohort_id=task.cohort_id))

    def _complete(self, folder: StudyFolder, task: Task, emit: Emit) -> Orders:
        left = task.without(finished_runs(folder))
        if left.runs == task.runs:
            yield from self._train_or_halve(folder, task, emit)
            return
        folder.drop_state(task.cohort_id)  # this very cohort will not be trained again
        if left.runs:
            yield from self.orders(left, emit)

    def _train_or_halve(self, folder: StudyFolder, task: Task, emit: Emit) -> Orders:
        failure = yield from self._train(folder, task, emit)
        if failure is None:
            return
        folder.drop_state(task.cohort_id)
        if len(task.runs) > 1:
            for half in task.halves():
                yield from self.orders(half, emit)
            return
        emit(
            CohortFailed(
                cohort_id=task.cohort_id,
                run_ids=(task.runs[0].id,),
                names=(task.runs[0].name,),
                message=failure.message,
                detail=failure.detail,
            )
        )

    def _train(
        self, folder: StudyFolder, task: Task, emit: Emit
    ) -> Generator[Order, None, Failure | None]:
        data = self._prepared(task)
        require_same_data(folder.path, data, computed_from(folder))
        state = folder.load_state(task.cohort_id, data=data.digest)
        run_ids = tuple(run.id for run in task.runs)
        ends: list[Trained | Failure] = []

        def receive(report: EpochReport | Trained | Failure | State) -> None:
            match report:
                case EpochReport():
                    emit(_epoch_done(task.cohort_id, run_ids, report))
                case Trained() | Failure():
                    ends.append(report)
                case _:
                    folder.save_state(task.cohort_id, report, data=data.digest)

        epoch = 0 if state is None else int(state["epoch"])
        emit(CohortStarted(cohort_id=task.cohort_id, run_ids=run_ids, epoch=epoch))
        yield Order(work=Training(task=task, state=state), data=data, receive=receive)
        end = ends.pop()
        if isinstance(end, Failure):
            return end
        meta = {"data_config": config_digest(data.config), "data": data.digest}
        parts = (end.frames, end.weights, meta, end.surfaces)
        failure = attempt(partial(folder.commit_cohort, task.cohort_id, *parts))
        if failure is None:
            emit(_cohort_done(task.cohort_id, end.frames["runs"]))
        return failure

    def _prepared(self, task: Task) -> PreparedData:
        config = task.runs[0].data
        if self._data is None or self._data[0] != config:
            self._data = None  # the old data go before the new ones come
            with settings_of_workers():
                self._data = config, self._prepare(config, task.data_folders)
        return self._data[1]

    def _tell_damages(self, folder: StudyFolder, emit: Emit) -> None:
        for damage in folder.damages[self._told :]:
            emit(Notice(message=str(damage)))
        self._told = len(folder.damages)


def fingerprint(device: DeviceName = "cpu") -> Fingerprint:
    """Describe this machine, with the settings of `settings_of_workers`."""
    return machine_fingerprint(flush_denormal=True, device=device)


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


def _epoch_done(cohort_id: str, run_ids: tuple[str, ...], report: EpochReport) -> EpochDone:
    return EpochDone(
        cohort_id=cohort_id,
        run_ids=run_ids,
        epoch=report.epoch,
        epochs=report.epochs,
        # NaN for runs that ended before this epoch, which `fmax` passes over.
        train_accuracy=float(np.fmax.reduce(report.train_accuracy, initial=0.0)),
    )


def _cohort_done(cohort_id: str, runs: pl.DataFrame) -> CohortDone:
    rows = runs.select("run_id", "name", "outcome", "reason").iter_rows(named=True)
    return CohortDone(cohort_id=cohort_id, outcomes=tuple(RunOutcome(**row) for row in rows))
