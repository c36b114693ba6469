"""One task: what is committed, what is told, what becomes of a run that cannot be trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from fathom.activations import register_callable
from fathom.data.config import DataConfig
from fathom.engine.tables import CohortResult
from fathom.errors import StoreError
from fathom.execution import training, worker
from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    CohortStarted,
    EpochDone,
    Event,
    Notice,
    Task,
)
from fathom.execution.training import settings_of_workers
from fathom.execution.worker import Trainer, fingerprint
from fathom.spec.grid import Run
from fathom.store.results import StudyFolder

MakeRun = Callable[..., Run]


def new_folder(path: Path) -> StudyFolder:
    return StudyFolder.open(
        path, study_yaml="name: made\n", study_digest="0" * 16, fingerprint=fingerprint()
    )


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return new_folder(tmp_path / "made")


def train(folder: StudyFolder, *runs: Run, **settings: Any) -> list[Event]:
    events: list[Event] = []
    Trainer()(Task(runs=runs, folder=folder.path, **settings), events.append)
    return events


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def digest_of(run: Run, folder: StudyFolder) -> str:
    (digest,) = (
        record["runs"][run.id] for record in folder.committed().values() if run.id in record["runs"]
    )
    return str(digest)


def test_a_task_is_trained_told_and_committed(folder: StudyFolder, make_run: MakeRun) -> None:
    runs = make_run(), make_run(activation="tanh")
    events = train(folder, *runs)
    assert [type(event) for event in events] == [CohortStarted, EpochDone, EpochDone, CohortDone]
    assert [event.epoch for event in of(EpochDone, events)] == [1, 2]
    accuracy = folder.table("epochs").group_by("epoch").agg(pl.col("train_accuracy").max())
    best = dict(accuracy.iter_rows())
    assert [event.train_accuracy for event in of(EpochDone, events)] == [best[1], best[2]]
    assert {run.run_id for run in events[-1].outcomes} == {run.id for run in runs}  # type: ignore[union-attr]
    assert worker.finished_runs(folder) == {run.id for run in runs}


def test_what_is_finished_is_not_trained_again(folder: StudyFolder, make_run: MakeRun) -> None:
    first, second = make_run(), make_run(activation="tanh")
    train(folder, first)
    events = train(folder, first, second)
    assert [event.run_ids for event in of(CohortStarted, events)] == [(second.id,)]
    assert train(folder, first, second) == []


def test_a_held_cohort_is_busy(folder: StudyFolder, make_run: MakeRun) -> None:
    task = Task(runs=(make_run(),), folder=folder.path)
    with folder.claim(task.cohort_id):
        events = train(folder, *task.runs)
    assert of(CohortBusy, events) == events == [CohortBusy(cohort_id=task.cohort_id)]
    assert of(CohortDone, train(folder, *task.runs)), "free again"


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_going_on_gives_the_same_bits(
    folder: StudyFolder, tmp_path: Path, make_run: MakeRun, stop_at: int
) -> None:
    runs = make_run(epochs=4), make_run(epochs=4, activation="gelu")
    task = Task(runs=runs, folder=folder.path, checkpoint_every_s=0)

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == stop_at + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer()(task, interrupt)
    events = train(folder, *runs)
    assert [event.epoch for event in of(CohortStarted, events)] == [stop_at]
    whole = new_folder(tmp_path / "whole")
    train(whole, *runs)
    assert folder.canonical_digest() == whole.canonical_digest()


def test_a_damaged_state_is_told_and_costs_time_only(
    folder: StudyFolder, tmp_path: Path, make_run: MakeRun
) -> None:
    run = make_run(epochs=3)
    task = Task(runs=(run,), folder=folder.path, checkpoint_every_s=0)

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer()(task, interrupt)
    (state,) = (folder.path / "cohorts" / task.cohort_id).glob("state*")
    state.write_bytes(state.read_bytes()[:-9])
    events = train(folder, run)
    assert [event.epoch for event in of(CohortStarted, events)] == [0]
    assert "state" in of(Notice, events)[0].message
    whole = new_folder(tmp_path / "whole")
    train(whole, run)
    assert folder.canonical_digest() == whole.canonical_digest()


def quits(h: torch.Tensor) -> torch.Tensor:
    if h.numel() > 1_000:  # not while it is tried out
        raise SystemExit(3)
    return h * 2


def raises(h: torch.Tensor) -> torch.Tensor:
    if h.numel() > 1_000:
        raise ValueError("out of spoons")
    return h * 2


@pytest.fixture
def registered() -> dict[str, Any]:
    return {f.__name__: register_callable(f) for f in (quits, raises)}


@pytest.mark.parametrize(
    ("name", "told"),
    [("raises", "raised ValueError: out of spoons"), ("quits", "raised SystemExit: 3")],
)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_run_that_raises_is_named_and_its_siblings_are_unharmed(
    folder: StudyFolder,
    tmp_path: Path,
    make_run: MakeRun,
    registered: dict[str, Any],
    name: str,
    told: str,
    place: int,
) -> None:
    good = [make_run(seed=seed) for seed in range(4)]
    bad = make_run(activation=registered[name])
    events = train(folder, *good[:place], bad, *good[place:])
    (failure,) = of(CohortFailed, events)
    assert failure.run_ids == (bad.id,)
    assert told in failure.message
    clean = new_folder(tmp_path / "clean")
    train(clean, *good)
    assert [digest_of(run, folder) for run in good] == [digest_of(run, clean) for run in good]


def test_a_cohort_too_large_for_memory_is_halved(
    folder: StudyFolder, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_cohort = training.train_cohort

    def starve(runs: Sequence[Run], *args: Any, **settings: Any) -> CohortResult:
        if len(runs) > 2 or any(run.model.depth > 2 for run in runs):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return train_cohort(runs, *args, **settings)

    monkeypatch.setattr(training, "train_cohort", starve)
    small = [make_run(seed=seed) for seed in range(5)]
    events = train(folder, *small)
    assert worker.finished_runs(folder) == {run.id for run in small}
    assert of(CohortFailed, events) == []
    huge = make_run(hidden=(9, 9, 9))
    (failure,) = of(CohortFailed, train(folder, huge))
    assert failure.message.startswith("there is not enough memory for it even alone")


@pytest.mark.parametrize("failure", [SystemExit(1), OSError("nobody listens"), KeyboardInterrupt()])
def test_a_listener_that_fails_is_no_failure_of_training(
    folder: StudyFolder, make_run: MakeRun, failure: BaseException
) -> None:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochDone):
            raise failure

    task = Task(runs=(make_run(), make_run(seed=1)), folder=folder.path)
    with pytest.raises(type(failure)):
        Trainer()(task, listen)
    assert [type(event) for event in events] == [CohortStarted, EpochDone]


def test_a_failure_of_the_store_is_nobodys_fault(
    folder: StudyFolder, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(StudyFolder, "commit_cohort", full)
    with pytest.raises(StoreError, match="no space left"):
        train(folder, make_run(), make_run(seed=1))


def test_other_data_of_the_same_name_are_refused(
    folder: StudyFolder, tmp_path: Path, make_run: MakeRun
) -> None:
    data = DataConfig(
        name="arrays",
        path="own.npz",
        scaling="none",
        protocol="holdout",
        validation_share=0.2,
        test_share=0.2,
        limit=None,
        seed=0,
    )
    rng = np.random.default_rng(0)
    for number in range(2):
        x = rng.random((60, 4))
        np.savez(tmp_path / "own.npz", x=x, y=np.arange(60) % 2)
        run = make_run(data=data, seed=number)
        if number == 0:
            train(folder, run, data_folders=(tmp_path,))
            continue
        with pytest.raises(StoreError, match=r"own\.npz has changed since"):
            train(folder, run, data_folders=(tmp_path,))


def test_settings_of_torch_are_put_back() -> None:
    threads = torch.get_num_threads()
    for flushes in (False, True):
        torch.set_flush_denormal(flushes)
        torch.set_num_threads(2)
        tiny = torch.tensor(1e-40)
        with settings_of_workers():
            assert (torch.get_num_threads(), float(tiny * 1)) == (1, 0)
        assert torch.get_num_threads() == 2
        assert (float(tiny * 1) == 0) is flushes
    torch.set_num_threads(threads)
