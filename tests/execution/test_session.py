"""From a plan to results: what is left to do, where it runs, what the log says."""

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fathom.costs import NetworkCost
from fathom.data.datasets import measure
from fathom.errors import DataError, FathomError, StoreError
from fathom.execution.base import (
    Backlog,
    CohortDone,
    CohortFailed,
    CohortStarted,
    EpochDone,
    Event,
    Notice,
    RunOutcome,
    Task,
)
from fathom.execution.inline import InlineExecutor
from fathom.execution.processes import ProcessExecutor
from fathom.execution.progress import choose_display
from fathom.execution.session import (
    Conditions,
    affordable_workers,
    carry_out,
    choose_executor,
    free_memory_mb,
    log_lines,
    num_cores,
    require_data,
    tasks_of,
    workplace,
)
from fathom.execution.worker import Trainer, fingerprint
from fathom.plan import Cohort, Plan, make_plan
from fathom.registry import Choice
from fathom.spec.grid import Run
from fathom.store.results import StudyFolder

MakeRun = Callable[..., Run]


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [make_run(seed=seed, hidden=hidden) for hidden in ((4,), (6,)) for seed in range(3)]


@pytest.fixture
def plan(runs: list[Run]) -> Plan:
    return make_plan(runs, measure, workers=1, rate=1e9)


def test_only_unfinished_runs_become_tasks(plan: Plan, runs: list[Run], tmp_path: Path) -> None:
    finished = {runs[0].id, *(run.id for run in runs[3:])}
    (task,) = tasks_of(plan, finished, tmp_path, Conditions(allowed_modules=("mine",)))
    assert {run.id for run in task.runs} == {runs[1].id, runs[2].id}
    assert (task.folder, task.allowed_modules) == (tmp_path, ("mine",))
    assert 0 < task.cost < max(cohort.estimated_s for cohort in plan.cohorts)


def test_the_most_expensive_task_comes_first(runs: list[Run], tmp_path: Path) -> None:
    tasks = [Task(runs=(run,), folder=tmp_path, cost=n) for n, run in enumerate(runs[:3])]
    backlog = Backlog(tasks)
    taken = [backlog.take(0) for _ in range(3)]
    assert [task.cost for task in taken if task] == [2, 1, 0]
    assert not backlog


def test_carrying_out_twice_trains_once(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "made"
    for expected in (6, 0):
        folder = StudyFolder.open(
            path, study_yaml="name: made\n", study_digest="0" * 16, fingerprint=fingerprint()
        )
        tally = carry_out(
            plan, folder, Conditions(executor="inline"), choose_display(Console(), quiet=True)
        )
        assert tally.outcomes.total() == expected
        assert tally.num_ended == tally.num_runs == 6
    log = (path / "training.log").read_text().splitlines()
    assert sum(" completed" in line for line in log) == 6


def own_data_run(make_run: MakeRun, path: Path, seed: int, **settings: object) -> Run:
    """Make a run on `own.npz` in a folder, whose content the seed decides."""
    rng = np.random.default_rng(seed)
    np.savez(path / "own.npz", x=rng.random((60, 4)), y=np.arange(60) % 2)
    base = make_run(epochs=4)
    own = {"name": "arrays", "path": "own.npz", "limit": None, "scaling": "none"} | settings
    return replace(base, data=replace(base.data, **own))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder.open(
        tmp_path / "made",
        study_yaml="name: made\n",
        study_digest="0" * 16,
        fingerprint=fingerprint(),
    )


def test_missing_data_are_told_before_any_training(
    make_run: MakeRun, folder: StudyFolder, tmp_path: Path
) -> None:
    base = make_run()
    lost = replace(base, data=replace(base.data, name="arrays", path="nowhere.npz"))
    tasks = [Task(runs=(r,), folder=folder.path, data_folders=(tmp_path,)) for r in (base, lost)]
    with pytest.raises(DataError, match=r"nowhere\.npz"):
        require_data(tasks, folder)


def test_data_other_than_committed_are_told_before_any_training(
    make_run: MakeRun, folder: StudyFolder, tmp_path: Path
) -> None:
    """Even where other settings of the same file, with no result yet, come first and last."""

    def tasks(seed: int) -> list[Task]:
        runs = [own_data_run(make_run, tmp_path, seed, limit=n) for n in (10, 20, 30)]
        return [Task(runs=(r,), folder=folder.path, data_folders=(tmp_path,)) for r in runs]

    Trainer()(tasks(0)[1], lambda _: None)
    require_data(tasks(0), folder)
    with pytest.raises(StoreError, match=r"own\.npz has changed since"):
        require_data(tasks(1), folder)


def test_data_other_than_a_saved_state_came_from_are_told(
    make_run: MakeRun, folder: StudyFolder, tmp_path: Path
) -> None:
    task = Task(
        runs=(own_data_run(make_run, tmp_path, 0),),
        folder=folder.path,
        data_folders=(tmp_path,),
        checkpoint_every_s=0,
    )

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer()(task, interrupt)
    require_data([task], folder)
    own_data_run(make_run, tmp_path, 1)
    with pytest.raises(StoreError, match=r"own\.npz has changed since"):
        require_data([task], folder)
    events: list[Event] = []
    Trainer()(task, events.append)  # a worker would rather start anew than mix
    assert isinstance(events[0], CohortStarted)
    assert events[0].epoch == 0


class TestExecutors:
    def tasks(self, runs: list[Run], folder: Path) -> list[Task]:
        return [Task(runs=(run,), folder=folder) for run in runs]

    @pytest.mark.parametrize(
        ("workers", "num_tasks", "kind"),
        [(1, 3, InlineExecutor), (2, 1, InlineExecutor), (2, 3, ProcessExecutor)],
    )
    def test_auto(
        self, runs: list[Run], tmp_path: Path, workers: int, num_tasks: int, kind: type
    ) -> None:
        chosen = choose_executor(Conditions(), workers, self.tasks(runs[:num_tasks], tmp_path))
        assert type(chosen) is kind

    def test_no_more_processes_than_tasks(self, runs: list[Run], tmp_path: Path) -> None:
        chosen = choose_executor(Conditions(), 16, self.tasks(runs[:3], tmp_path))
        assert isinstance(chosen, ProcessExecutor)
        assert chosen.num_workers == 3

    def test_functions_of_this_process_stay_here(self, make_run: MakeRun, tmp_path: Path) -> None:
        own = self.tasks(
            [make_run(activation=Choice("mine", code="ab"), seed=n) for n in (0, 1)], tmp_path
        )
        assert type(choose_executor(Conditions(), 2, own)) is InlineExecutor
        for name in ("processes", "ray"):
            with pytest.raises(FathomError, match=f"'{name}': activation 'mine' is a function of"):
                choose_executor(Conditions(executor=name), 2, own)  # type: ignore[arg-type]
        imported = [make_run(activation=Choice("m:f", code="ab"), seed=n) for n in (0, 1)]
        chosen = choose_executor(Conditions(), 2, self.tasks(imported, tmp_path))
        assert type(chosen) is ProcessExecutor

    def test_workers_know_installed_functions(
        self, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        point = EntryPoint("installed", "m:f", "fathom.activations")
        monkeypatch.setattr("fathom.registry.entry_points", lambda group: [point])
        choice = Choice("installed", code="ab")
        own = self.tasks([make_run(activation=choice, seed=n) for n in (0, 1)], tmp_path)
        assert type(choose_executor(Conditions(), 2, own)) is ProcessExecutor


@pytest.mark.parametrize(
    ("free_mb", "workers"), [(None, 4), (1e6, 4), (1_000, 4), (500, 2), (100, 1)]
)
def test_workers_fit_into_memory(runs: list[Run], free_mb: float | None, workers: int) -> None:
    """Four workers of 150 MiB each, on 70 % of what is free."""
    cohort = Cohort(
        id="a",
        runs=tuple(runs),
        memory_mb=150,
        flops=1,
        estimated_s=1,
        network=NetworkCost(1, 1, 1.0),
    )
    plan = Plan(cohorts=(cohort,) * 5, workers=4, rate=1)
    assert affordable_workers(plan, free_mb) == workers


def test_the_machine_is_asked() -> None:
    free = free_memory_mb()
    assert free is None or free > 10
    assert num_cores() >= 1


def test_the_log_tells_cohorts_outcomes_and_trouble() -> None:
    outcomes = (
        RunOutcome(run_id="1", name="one", outcome="completed", reason=""),
        RunOutcome(run_id="2", name="two", outcome="diverged", reason="nan at step 3"),
    )
    assert log_lines(CohortDone(cohort_id="c", outcomes=outcomes)) == [
        "run one completed",
        "run two diverged: nan at step 3",
        "cohort c saved",
    ]
    assert log_lines(CohortStarted(cohort_id="c", run_ids=("1",), epoch=3)) == [
        "cohort c of 1 runs goes on after epoch 3"
    ]
    failed = CohortFailed(
        cohort_id="c", run_ids=("1",), names=("one",), message="no", detail="line 1\nline 2"
    )
    assert log_lines(failed) == ["not computed: one: no", "line 1", "line 2"]
    assert log_lines(Notice(message="news")) == ["news"]


def test_an_unknown_executor_is_refused() -> None:
    with (
        pytest.raises(FathomError, match=r"unknown executor 'proceses'. Did you mean 'processes'"),
        workplace("proceses", None, None),  # type: ignore[arg-type]
    ):
        pass


class TestDevice:
    def test_a_gpu_that_is_not_there_is_missed_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with (
            pytest.raises(
                FathomError, match=r"--device cuda: torch .* finds no GPU on this machine; leave"
            ),
            workplace("auto", None, None, "cuda"),
        ):
            pass

    def test_a_gpu_has_one_worker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        with workplace("auto", None, None, "cuda") as workers:
            assert workers == 1
        with (
            pytest.raises(FathomError, match="workers: got 8; a GPU has one"),
            workplace("auto", None, 8, "cuda"),
        ):
            pass

    def test_the_device_is_part_of_what_decides_the_bits(self) -> None:
        cpu, gpu = fingerprint()["bits"], fingerprint("cuda")["bits"]
        assert cpu == {name: text for name, text in gpu.items() if name in cpu}
        assert set(gpu) - set(cpu) == {"device", "cuda"}
