"""From runs to cohorts: what is trained together, in how much memory and time.

Two runs may share a cohort when one program can train both: same data and order of batches, same
layer shapes, same kind of update. Activation, initializer, loss, rates and seeds may differ.
On a CPU results do not depend on the grouping, so that it can follow the machine: a cohort's
working set should stay near its core's caches. A GPU takes all runs that its memory holds.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from fathom.architectures import ARCHITECTURES
from fathom.costs import (
    NetworkCost,
    cohort_size,
    data_bytes,
    epoch_flops,
    epoch_seconds,
    memory_bytes,
    network_cost,
    observation_seconds,
    product_rate,
    run_bytes,
)
from fathom.data.config import DataConfig
from fathom.data.datasets import Sizes
from fathom.engine.observations import check_plane
from fathom.engine.steps import check_batches
from fathom.optimizers import OPTIMIZERS
from fathom.spec.grid import Run, cohort_id

LARGEST_GPU_COHORT: Final = 512
GPU_MEMORY_SHARE: Final = 0.6  # of what is free; libraries and a captured step need some, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Runs that one program trains at once.

    Attributes:
        id: Content hash of its runs.
        runs: Its runs; equal activations and losses are neighbours.
        memory_mb: Estimated peak memory of a worker on it, in MiB.
        flops: Floating-point operations of one epoch.
        estimated_s: Estimated time on one core, in seconds.
        network: What one of its networks is made of and takes.
    """

    id: str
    runs: tuple[Run, ...]
    memory_mb: float
    flops: float
    estimated_s: float
    network: NetworkCost

    @property
    def epochs(self) -> int:
        """Epochs to train at most."""
        return self.runs[0].train.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A study before anything is spent.

    Attributes:
        cohorts: In the order of execution, the longest first.
        workers: Processes that it is planned for.
        rate: Measured product speed of one core or the GPU, in operations per second.
        device_bytes: Free memory of the GPU that it is planned for; None for a CPU.
    """

    cohorts: tuple[Cohort, ...]
    workers: int
    rate: float
    device_bytes: int | None = None

    @property
    def num_runs(self) -> int:
        """Number of networks to train."""
        return sum(len(cohort.runs) for cohort in self.cohorts)

    @property
    def memory_mb(self) -> float:
        """Estimated peak memory of all workers together, in MiB."""
        largest = sorted((cohort.memory_mb for cohort in self.cohorts), reverse=True)
        return sum(largest[: self.workers])

    @property
    def estimated_s(self) -> float:
        """Estimated time of the whole, each worker taking the longest cohort that is left."""
        loads = [0.0] * self.workers
        for cohort in self.cohorts:
            loads[loads.index(min(loads))] += cohort.estimated_s
        return max(loads)

    @property
    def sizes(self) -> str:
        """Runs, cohorts and workers in words."""
        counts = {"run": self.num_runs, "cohort": len(self.cohorts), "worker": self.workers}
        return ", ".join(f"{n} {name}" if n == 1 else f"{n} {name}s" for name, n in counts.items())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about networks that work and are unlikely to be meant, each once."""
        names = dict.fromkeys(cohort.runs[0].model.name for cohort in self.cohorts)
        said = (text for name in names for text in ARCHITECTURES.build(name).warnings)
        return tuple(dict.fromkeys(said))

    def __str__(self) -> str:
        return f"{self.sizes}: about {self.estimated_s:,.0f} s, {self.memory_mb:,.0f} MiB"


def cohort_key(run: Run) -> Hashable:
    """Return what runs must have in common to share a cohort."""
    train = run.train
    return (
        run.engine,
        run.precision,
        run.data,
        run.model.name,
        run.model.hidden,
        run.model.norm,
        run.model.skip,
        run.record,
        OPTIMIZERS.build(train.optimizer).program,
        (train.epochs, train.batch_size, train.drop_last, train.patience, train.monitor),
        train.clip_norm is None,
    )


def make_plan(
    runs: Sequence[Run],
    sizes: Callable[[DataConfig], Sizes],
    *,
    workers: int = 1,
    rate: float | None = None,
    device_bytes: int | None = None,
    grouping: Iterable[Iterable[str]] = (),
) -> Plan:
    """Group runs into cohorts and estimate what they cost.

    Args:
        runs: All runs of a study.
        sizes: Tells the sizes of a data set.
        workers: Processes to keep busy, at least 1.
        rate: Product speed of one core or the GPU in operations per second; else it is measured.
        device_bytes: Free memory of the GPU that computes; None for a CPU.
        grouping: Ids of runs that are to share a cohort, as in an earlier plan; other runs are
            grouped as the number of workers suggests.
    """
    if rate is None:
        rate = product_rate("cpu" if device_bytes is None else "cuda")
    kept = _kept(runs, grouping)
    placed = {run.id for members in kept for run in members}
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        if run.id in placed:
            continue
        groups.setdefault(cohort_key(run), []).append(run)
    least = -(-workers // len(groups)) if groups else 1
    pieces = (
        members
        for group in groups.values()
        for members in _pieces(group, least, _largest(group, sizes, device_bytes))
    )
    cohorts = [_cohort(members, sizes(members[0].data), rate) for members in (*kept, *pieces)]
    cohorts.sort(key=lambda cohort: (-cohort.estimated_s, cohort.id))
    return Plan(cohorts=tuple(cohorts), workers=workers, rate=rate, device_bytes=device_bytes)


def _kept(runs: Sequence[Run], grouping: Iterable[Iterable[str]]) -> list[list[Run]]:
    """Find earlier groups again; one that is no cohort by the rules of today is dropped."""
    left = {run.id: run for run in runs}
    kept = []
    for ids in grouping:
        members = [left[run_id] for run_id in dict.fromkeys(ids) if run_id in left]
        if len({cohort_key(run) for run in members}) == 1:
            kept.append(members)
            for run in members:
                del left[run.id]
    return kept


def _pieces(group: Sequence[Run], least: int, largest: int) -> list[list[Run]]:
    """Cut a group into at least so many cohorts of nearly equal size, if it has the runs.

    Equal activations and losses come to stand side by side.
    """
    ordered = sorted(group, key=_neighbourhood)
    count = max(-(-len(group) // largest), min(least, len(group) // 2), 1)
    bounds = [round(i * len(group) / count) for i in range(count + 1)]
    return [ordered[a:b] for a, b in pairwise(bounds)]


def _neighbourhood(run: Run) -> tuple[str, ...]:
    return (*(phi.label for phi in run.model.activation), run.loss.label, run.id)


def _largest(
    group: Sequence[Run], sizes: Callable[[DataConfig], Sizes], device_bytes: int | None
) -> int:
    known = sizes(group[0].data)
    if device_bytes is None:
        return cohort_size(group, known.num_features, known.num_classes)
    room = GPU_MEMORY_SHARE * device_bytes - data_bytes(known)
    mean_bytes = sum(run_bytes(run, known) for run in group) / len(group)
    return max(2, min(LARGEST_GPU_COHORT, int(room / mean_bytes)))


def _cohort(runs: Sequence[Run], sizes: Sizes, rate: float) -> Cohort:
    check_batches(runs[0], sizes.num_train)
    check_plane(runs[0], sizes.num_features, multi_label=sizes.multi_label)
    training_s = epoch_seconds(runs, sizes, rate) * runs[0].train.epochs
    return Cohort(
        id=cohort_id(runs),
        runs=tuple(runs),
        memory_mb=memory_bytes(runs, sizes) / 2**20,
        flops=len(runs) * epoch_flops(runs[0], sizes),
        estimated_s=training_s + observation_seconds(runs, sizes, rate),
        network=network_cost(runs[0], sizes),
    )
