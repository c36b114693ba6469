"""From a plan to committed results: what is left to do is carried out, watched and logged."""

import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, get_args

import torch

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES
from fathom.data.splits import prepare
from fathom.errors import FathomError, suggestion
from fathom.execution.base import (
    CohortDone,
    CohortFailed,
    CohortStarted,
    DeviceName,
    EpochDone,
    Event,
    Executor,
    Notice,
    Task,
)
from fathom.execution.inline import InlineExecutor
from fathom.execution.processes import ProcessExecutor
from fathom.execution.progress import Display, Tally, news
from fathom.execution.worker import computed_from, finished_runs, require_same_data
from fathom.plan import Plan
from fathom.registry import Choice, Registry
from fathom.spec.grid import config_digest
from fathom.store.results import StudyFolder

ExecutorName = Literal["auto", "inline", "processes", "ray"]

GPUS_OF_TASK: Final[dict[DeviceName, int]] = {"cpu": 0, "cuda": 1}
MEMORY_SHARE: Final = 0.7  # of what is free; estimates err, and others need memory too


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Where and how a plan is carried out; results do not depend on it.

    Attributes:
        data_folders: Where data sets are looked for, in order.
        allowed_modules: Modules from which the user lets activations be imported.
        executor: Where tasks run.
        address: Of the Ray cluster that executor `ray` uses; None for one of its own.
        num_workers: Tasks at once in that cluster; as many as there is room for when None.
        device: Where the workers compute.
        checkpoint_every_s: Least time between two saved states; 0 saves after every epoch.
    """

    data_folders: tuple[Path, ...] = ()
    allowed_modules: tuple[str, ...] = ()
    executor: ExecutorName = "auto"
    address: str | None = None
    num_workers: int | None = None
    device: DeviceName = "cpu"
    checkpoint_every_s: float = 30.0


def carry_out(plan: Plan, folder: StudyFolder, conditions: Conditions, display: Display) -> Tally:
    """Train and commit whatever of a plan has no result yet; `require_data` comes before.

    Args:
        plan: The whole study.
        folder: Its results folder, open for writing.
        conditions: Where and how.
        display: Shows progress.

    Returns:
        What was done; runs that could not be computed are in `failed`.

    Raises:
        FathomError: If the data or the folder cannot be used.
    """
    finished = finished_runs(folder)
    tally = Tally(plan, finished & {run.id for cohort in plan.cohorts for run in cohort.runs})
    tasks = tasks_of(plan, finished, folder.path, conditions)
    # How much memory the machines of a cluster have is not known here.
    free_mb = free_memory_mb() if conditions.address is None else None
    workers = affordable_workers(plan, free_mb)
    executor = choose_executor(conditions, workers, tasks)

    def follow(event: Event) -> None:
        tally.add(event)
        for line in log_lines(event):
            folder.log(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}")
        display.show(tally, event)

    with display:
        for damage in folder.damages:
            follow(Notice(message=f"damaged, to be computed anew: {damage}"))
        for text in _reservations(plan, workers, executor, tasks):
            follow(Notice(message=text))
        executor.run(tasks, follow)
    return tally


def tasks_of(
    plan: Plan, finished: Container[str], folder: Path, conditions: Conditions
) -> list[Task]:
    """Return the cohorts of a plan as tasks, without the runs that have a result."""
    template = Task(
        runs=(),
        folder=folder,
        data_folders=conditions.data_folders,
        allowed_modules=conditions.allowed_modules,
        checkpoint_every_s=conditions.checkpoint_every_s,
        device=conditions.device,
    )
    tasks = (
        replace(template, runs=cohort.runs, cost=cohort.estimated_s).without(finished)
        for cohort in plan.cohorts
    )
    return [task for task in tasks if task.runs]


def require_data(tasks: Sequence[Task], folder: StudyFolder) -> None:
    """Load each data set once, so that what is wrong with one stops a study before any training.

    A file may be missing, damaged, or another than results come from. It also leaves downloads to
    one process: the workers find them done.

    Raises:
        FathomError: If a data set cannot be used.
    """
    past = computed_from(folder, tasks)
    known = {settings for settings, _ in past}
    configs = dict.fromkeys(run.data for task in tasks for run in task.runs)
    # Of the settings that share a source, the last is loaded: one that results come from.
    ordered = sorted(configs, key=lambda config: config_digest(config) in known)
    for config in {(config.name, config.path): config for config in ordered}.values():
        data = prepare(config, tasks[0].data_folders)
        require_same_data(folder.path, data, past)


@contextmanager
def workplace(
    executor: ExecutorName,
    address: str | None,
    num_workers: int | None,
    device: DeviceName = "cpu",
) -> Iterator[int]:
    """Have a place to run tasks within the block; where that is a cluster, be part of it.

    Args:
        executor: Where tasks are to run.
        address: Of a Ray cluster.
        num_workers: Workers that the user asks for.
        device: Where they are to compute. This machine's GPU has one worker, with as many runs as
            its memory holds; a cluster gives each task a GPU like this machine's.

    Yields:
        The number of workers to plan for: what was asked for, or else what there is room for.

    Raises:
        FathomError: If there is no such place.
    """
    if executor not in get_args(ExecutorName):
        known = get_args(ExecutorName)
        raise FathomError(
            f"unknown executor '{executor}'.{suggestion(executor, known)} Known: {', '.join(known)}"
        )
    if num_workers is not None and num_workers < 1:
        raise FathomError(f"workers: got {num_workers}; must be an integer >= 1")
    if address is not None and executor != "ray":
        raise FathomError(
            f"--address {address}: is of use to executor 'ray' only; add --executor ray"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise FathomError(
            f"--device cuda: torch {torch.__version__} finds no GPU on this machine; leave "
            "--device out, or install a build of torch for your GPU and its driver"
        )
    if device == "cuda" and executor != "ray":
        if num_workers not in {None, 1}:
            raise FathomError(f"workers: got {num_workers}; a GPU has one, so leave it out")
        num_workers = 1
    count = num_workers or num_cores()
    if executor != "ray":
        yield count
        return
    ray, gpus = _ray(), GPUS_OF_TASK[device]
    with ray.joined(address, count):
        ray.require_room(gpus)
        yield num_workers or ray.num_slots(gpus)


def choose_executor(conditions: Conditions, workers: int, tasks: Sequence[Task]) -> Executor:
    """Choose where tasks run.

    Args:
        conditions: What the user wants.
        workers: Workers that this machine has memory for.
        tasks: All tasks.

    Raises:
        FathomError: If worker processes are demanded for functions that only this process knows.
    """
    name, local = conditions.executor, local_functions(tasks)
    if name in {"processes", "ray"} and local:
        raise FathomError(
            f"executor '{name}': {local[0]} is a function of this Python process, "
            "which workers do not know; put it into a module and allow that (fathom.allow), or use "
            "executor 'inline'"
        )
    if name == "ray":
        limit = workers if conditions.address is None else conditions.num_workers
        executor: Executor = _ray().RayExecutor(
            address=conditions.address, num_workers=limit, gpus=GPUS_OF_TASK[conditions.device]
        )
        return executor
    alone = workers == 1 or len(tasks) <= 1 or local
    if name == "inline" or (name == "auto" and alone):
        return InlineExecutor()
    return ProcessExecutor(min(workers, max(1, len(tasks))))


def _ray() -> ModuleType:
    try:
        from fathom.execution import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise FathomError(
            "executor 'ray': Ray is not installed; pip install 'ray>=2.50'"
        ) from error
    return ray


def local_functions(tasks: Iterable[Task]) -> list[str]:
    """Name the functions that were registered in this process and can be found in no other."""
    models = {run.model for task in tasks for run in task.runs}
    used: set[tuple[Registry[Any], Choice]]
    used = {(ACTIVATIONS, phi) for model in models for phi in model.activation}
    used |= {(ARCHITECTURES, model.name) for model in models}
    return sorted(
        f"{registry.kind} '{choice.name}'"
        for registry, choice in used
        if choice.code and not registry.is_foreign(choice.name)
    )


def affordable_workers(plan: Plan, free_mb: float | None) -> int:
    """Return how many of the planned workers fit into memory together, at least one.

    Args:
        plan: The study.
        free_mb: Memory that is free, in MiB; None when unknown.
    """
    workers = plan.workers
    while (
        free_mb
        and workers > 1
        and replace(plan, workers=workers).memory_mb > (MEMORY_SHARE * free_mb)
    ):
        workers -= 1
    return workers


def free_memory_mb() -> float | None:
    """Return the memory that can be had without swapping, in MiB; None when unknown."""
    with suppress(OSError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        if found := re.search(r"MemAvailable:\s*(\d+) kB", text):
            return int(found[1]) / 1024
    return None


def free_device_bytes() -> int:
    """Return the free memory of this machine's GPU."""
    return int(torch.cuda.mem_get_info()[0])


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def log_lines(event: Event) -> list[str]:
    """Write an event for `training.log`: cohorts, outcomes, trouble; epochs are left out."""
    if isinstance(event, CohortStarted):
        how = f"goes on after epoch {event.epoch}" if event.epoch else "starts"
        return [f"cohort {event.cohort_id} of {len(event.run_ids)} runs {how}"]
    if isinstance(event, CohortDone):
        runs = [
            f"run {run.name} {run.outcome}" + (f": {run.reason}" if run.reason else "")
            for run in event.outcomes
        ]
        return [*runs, f"cohort {event.cohort_id} saved"]
    if isinstance(event, CohortFailed):
        return [news(event), *event.detail.splitlines()]
    return [] if isinstance(event, EpochDone) else [news(event)]


def _reservations(
    plan: Plan, workers: int, executor: Executor, tasks: Sequence[Task]
) -> Iterable[str]:
    if workers < plan.workers:
        yield f"{workers} instead of {plan.workers} workers: more would not fit into memory"
    local = local_functions(tasks)
    if local and plan.workers > 1 and isinstance(executor, InlineExecutor):
        yield f"training in this process alone, since no other knows your {local[0]}"
