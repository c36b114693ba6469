"""From runs to cohorts: what is trained together, in how much memory and time.

Two runs may share a cohort when one program can train both: same data and order of batches, same
layer shapes, same kind of update. Activation, initializer, loss, rates and seeds may differ.
On a CPU results do not depend on the grouping, so that it can follow the machine: a cohort's
working set should stay near its core's caches. A GPU takes all runs that its memory holds.
"""

import functools
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch

from fathom.activations import ACTIVATIONS
from fathom.data.config import DataConfig
from fathom.data.datasets import Sizes
from fathom.engine.base import EVALUATION_BATCH
from fathom.engine.steps import check_batches, steps_per_epoch
from fathom.models.mlp import layer_sizes, num_parameters
from fathom.optimizers import OPTIMIZERS
from fathom.registry import Choice
from fathom.spec.grid import Run, cohort_id

# Bytes that a step of a cohort touches; cohorts beyond it were slower, see docs/log.md.
CACHE_BUDGET: Final = 12 * 2**20
LARGEST_COHORT: Final = 32
LARGEST_GPU_COHORT: Final = 512
GPU_MEMORY_SHARE: Final = 0.6  # of what is free; libraries and a captured step need some, too
EXPECTED_SHARE: Final = 0.6  # of the product peak that whole epochs reach, recording included
LAYER_STEP_S: Final = 100e-6  # seconds that one layer costs a step beside its products
LAYER_PROBE_S: Final = 1e-3  # seconds to measure one layer once, in a small cohort
PROCESS_BYTES: Final = 310 * 2**20  # a worker that has imported everything and trained nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Runs that one program trains at once.

    Attributes:
        id: Content hash of its runs.
        runs: Its runs; equal activations and losses are neighbours.
        memory_mb: Estimated peak memory of a worker on it, in MiB.
        flops: Floating-point operations of one epoch.
        estimated_s: Estimated time on one core, in seconds.
    """

    id: str
    runs: tuple[Run, ...]
    memory_mb: float
    flops: float
    estimated_s: float

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


def product_rate(device: str = "cpu") -> float:
    """Measure the speed of a batched 128-wide product on one core or a GPU, in operations/s."""
    num = 4 if device == "cpu" else 256
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, b = (torch.rand(num, 128, 128, device=device) for _ in range(2))
        times = []
        for _ in range(7):
            start = time.perf_counter()
            for _ in range(10):
                c = torch.bmm(a, b)
            c[0, 0, 0].item()  # waits for a GPU
            times.append((time.perf_counter() - start) / 10)
    finally:
        torch.set_num_threads(threads)
    return num * 2 * 128**3 / sorted(times)[len(times) // 2]


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


def cohort_size(runs: Sequence[Run], num_features: int, num_classes: int) -> int:
    """Return how many runs like these a core trains best at once.

    A step should stay near the core: weights with their optimizer's state, and activations. The
    more runs, the less each one's share of what a step costs beside its products.

    Args:
        runs: Of one cohort's shapes and update; they may differ in activation.
        num_features: Of the data.
        num_classes: Of the data.
    """
    run = runs[0]
    parameters = num_parameters(num_features, run.model.hidden, num_classes, run.model.norm)
    slots = OPTIMIZERS.build(run.train.optimizer).num_slots
    buffers = sum(map(_buffers, runs)) / len(runs)
    activations = run.train.batch_size * sum(run.model.hidden) * buffers
    working_set = (parameters * (1 + slots) + activations) * _item_size(run)
    return max(2, min(LARGEST_COHORT, int(CACHE_BUDGET / working_set)))


def _buffers(run: Run) -> int:
    """Return what a hidden unit keeps for backward: phi(h), and more where that is not enough."""
    further = any(map(_keeps, set(run.model.activation)))
    return 1 + further + (run.model.norm != "none") + (run.model.skip != "none")


@functools.cache
def _keeps(activation: Choice) -> bool:
    return ACTIVATIONS.build(activation).keeps


def _largest(
    group: Sequence[Run], sizes: Callable[[DataConfig], Sizes], device_bytes: int | None
) -> int:
    known = sizes(group[0].data)
    if device_bytes is None:
        return cohort_size(group, known.num_features, known.num_classes)
    room = GPU_MEMORY_SHARE * device_bytes - _data_bytes(known)
    run_bytes = sum(_run_bytes(run, known) for run in group) / len(group)
    return max(2, min(LARGEST_GPU_COHORT, int(room / run_bytes)))


def _item_size(run: Run) -> int:
    return 8 if run.precision == "float64" else 4


def _cohort(runs: Sequence[Run], sizes: Sizes, rate: float) -> Cohort:
    check_batches(runs[0], sizes.num_train)
    flops = len(runs) * _epoch_flops(runs[0], sizes)
    epoch_s = flops / (rate * EXPECTED_SHARE) + _epoch_overhead_s(runs[0], sizes)
    return Cohort(
        id=cohort_id(runs),
        runs=tuple(runs),
        memory_mb=_memory_bytes(runs, sizes) / 2**20,
        flops=flops,
        estimated_s=epoch_s * runs[0].train.epochs,
    )


def _epoch_flops(run: Run, sizes: Sizes) -> float:
    """Count a multiply and an add per weight: forward, backward to input and to weight."""
    layers = layer_sizes(sizes.num_features, run.model.hidden, sizes.num_classes)
    products = sum(i * o for i, o in layers)
    first = layers[0][0] * layers[0][1]  # nothing differentiates the data
    training = sizes.num_train * (6 * products - 2 * first)
    measuring = (sizes.num_validation + sizes.num_test) * 2 * products
    return float(training + measuring + run.record.probe_size * 6 * products)


def _epoch_overhead_s(run: Run, sizes: Sizes) -> float:
    """Return the time of an epoch that does not depend on the width or the number of runs."""
    train = run.train
    steps = steps_per_epoch(sizes.num_train, train.batch_size, drop_last=train.drop_last)
    passes = (sizes.num_validation + sizes.num_test) / EVALUATION_BATCH
    num_layers = run.model.depth + 1
    return num_layers * (LAYER_STEP_S * (steps + passes / 3) + LAYER_PROBE_S)


def _memory_bytes(runs: Sequence[Run], sizes: Sizes) -> float:
    """Add up what a worker holds at its peak: while it loads the data, or measures and saves."""
    data, cohort = _data_bytes(sizes), sum(_run_bytes(run, sizes) for run in runs)
    cohort *= max(2, len(runs)) / len(runs)  # a single run is padded to two
    return PROCESS_BYTES + data + max(data, cohort)  # data are copied once, when they are cut


def _data_bytes(sizes: Sizes) -> float:
    return sizes.num_samples * sizes.num_features * sizes.item_size


def _run_bytes(run: Run, sizes: Sizes) -> float:
    """Return the bytes of one run of a cohort: its weights in every copy, its units."""
    parameters = num_parameters(
        sizes.num_features, run.model.hidden, sizes.num_classes, run.model.norm
    )
    slots = OPTIMIZERS.build(run.train.optimizer).num_slots
    kept = {"best_and_last": 2, "last": 1, "none": 0}[run.record.weights]
    # The values and the probe's gradients; then a state and its file, or new weights to keep.
    copies = 2 + slots + kept + max(2 * (1 + slots + kept), 2 * min(1, kept))
    units = sum(run.model.hidden) + sizes.num_classes
    rows = max(run.train.batch_size, run.record.probe_size, EVALUATION_BATCH)
    # What forward keeps, and what the probe keeps of every layer: h and dL/dh.
    numbers = units * (rows * _buffers(run) + 2 * run.record.probe_size)
    return (copies * parameters + numbers) * _item_size(run)
