"""Stand-ins for training that a worker process can import, and the runs they are given."""

import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fathom.data.config import DataConfig
from fathom.data.scaling import Scale
from fathom.data.splits import Part, PreparedData
from fathom.errors import StoreError
from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    Emit,
    RunOutcome,
    Task,
)
from fathom.execution.training import Order
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig, RecordConfig, Run, TrainConfig

_RUN = Run(
    name="run",
    seed=0,
    study_seed=0,
    engine="stacked",
    precision="float32",
    data=DataConfig(
        name="digits",
        path=None,
        scaling="unit",
        protocol="holdout",
        validation_share=0.1,
        test_share=0.2,
        limit=None,
        seed=0,
    ),
    model=ModelConfig(
        name=Choice("mlp"), hidden=(8,), activation=(Choice("relu"),), init=Choice("he_normal")
    ),
    loss=Choice("cross_entropy"),
    train=TrainConfig(
        epochs=2,
        batch_size=32,
        drop_last=False,
        lr=0.1,
        optimizer=Choice("sgd"),
        schedule=Choice("constant"),
        clip_norm=None,
        patience=None,
        monitor="validation_accuracy",
    ),
    record=RecordConfig(probe_size=32, histograms=False, weights="none"),
    cell=(),
)


_PART = Part(inputs=torch.zeros(2, 1), targets=torch.zeros(2, dtype=torch.int64))
_DATA = PreparedData(
    train=_PART,
    validation=None,
    test=_PART,
    scale=Scale(),
    num_features=1,
    num_classes=2,
    sample_shape=(1,),
    config=_RUN.data,
    digest="no data",
)


def fake_run(number: int, behaviour: str = "good") -> Run:
    """Make a run; the first word of its name tells `act` what to do with it."""
    return replace(_RUN, name=f"{behaviour} {number}", seed=number)


def fake_task(folder: Path, *runs: Run) -> Task:
    return Task(runs=runs, folder=folder)


def act(task: Task, emit: Emit) -> None:
    """Do what the runs are named after; each call leaves a file, so that calls can be counted."""
    marks = task.folder / task.cohort_id
    marks.mkdir(exist_ok=True)
    calls = len(list(marks.iterdir()))
    (marks / str(calls)).touch()
    words = {run.name.split()[0] for run in task.runs}
    if "deadly" in words or ("deadly_once" in words and calls == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if "busy_once" in words and calls == 0:
        emit(CohortBusy(cohort_id=task.cohort_id))
        return
    if "full_disk" in words:
        raise StoreError("the disk is full")
    if "endless" in words:
        time.sleep(600)
    ids, names = tuple(run.id for run in task.runs), tuple(run.name for run in task.runs)
    if "broken" in words:
        emit(CohortFailed(cohort_id=task.cohort_id, run_ids=ids, names=names, message="broken"))
        return
    if "noisy" in words:
        print("a user's function prints")
    outcomes = tuple(
        RunOutcome(run_id=run.id, name=run.name, outcome="completed", reason="")
        for run in task.runs
    )
    emit(CohortDone(cohort_id=task.cohort_id, outcomes=outcomes))


def order_act(task: Task, emit: Emit) -> Generator[Order, None, None]:
    """Have `act` done elsewhere."""
    yield Order(work=partial(_act, task), data=_DATA, receive=emit)


def _act(task: Task, data: PreparedData, report: Callable[[Any], None]) -> None:
    assert data.digest == _DATA.digest
    act(task, report)


def raises(h: torch.Tensor) -> torch.Tensor:
    """Be an activation that cannot be trained."""
    if h.numel() > 1_000:  # not while it is tried out
        raise ValueError("out of spoons")
    return h * 2
