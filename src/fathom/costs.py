"""What a run costs: operations, memory and time, of a multilayer perceptron or any other network.

Times are rough: a product's speed is measured, and shares and overheads were, once, elsewhere.
"""

import functools
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from fathom.activations import ACTIVATIONS
from fathom.data.datasets import Sizes
from fathom.engine.observations import GRID_SIDE, surface_epochs, unit_epochs
from fathom.engine.steps import steps_per_epoch
from fathom.models.build import EVALUATION_BATCH, count_network, is_mlp
from fathom.models.mlp import num_parameters
from fathom.optimizers import OPTIMIZERS
from fathom.registry import Choice
from fathom.spec.grid import Run
from fathom.threads import one_thread

# Bytes that a step of a cohort touches; cohorts beyond it were slower, see docs/log.md.
CACHE_BUDGET: Final = 12 * 2**20
LARGEST_COHORT: Final = 32
EXPECTED_SHARE: Final = 0.6  # of the product peak that whole epochs reach, recording included
NUMBER_S: Final = 5e-9  # seconds that an image network takes for a number kept for backward
LAYER_STEP_S: Final = 100e-6  # seconds that one layer costs a step beside its products
LAYER_PROBE_S: Final = 1e-3  # seconds to measure one layer once, in a small cohort
UNIT_SAMPLE_S: Final = 15e-9  # seconds to judge one unit on one sample
COUNT_S: Final = 300e-6  # seconds that one layer costs a batch beside that
SURFACE_S: Final = 1e-3  # seconds that a frame of a decision surface takes beside its products
UNIT_ROW_BYTES: Final = 1000  # of a unit at an epoch, while its rows become a table
UNITS_OF_A_LAYER: Final = 256  # channels of an image network's layer, roughly
PROCESS_BYTES: Final = 350 * 2**20  # a worker that has imported everything and trained nothing
AUTOGRAD_BYTES: Final = 60 * 2**20  # what torch imports for its optimizers and products beside that
BATCH_COPIES: Final = 1.7  # of what an image network keeps of a batch, while gradients pass it
PROBE_COPIES: Final = 3.8  # likewise, while all layers are measured in float64


class NetworkCost(NamedTuple):
    """What one network of a cohort is made of and takes.

    Attributes:
        parameters: Learned numbers.
        flops: Operations of one sample's forward pass in products; a multiply-add counts as two.
        activation_mb: What the forward pass of one training batch keeps for backward, in MiB.
    """

    parameters: int
    flops: int
    activation_mb: float


def network_cost(run: Run, sizes: Sizes) -> NetworkCost:
    """Count a run's network.

    Args:
        run: Its settings.
        sizes: Of its data.
    """
    counts = count_network(run.model, sizes.sample_shape, sizes.num_classes)
    kept = counts.activation_numbers * run.train.batch_size * _item_size(run)
    return NetworkCost(counts.parameters, counts.flops, kept / 2**20)


def product_rate(device: str = "cpu") -> float:
    """Measure the speed of a batched 128-wide product on one core or a GPU, in operations/s."""
    num = 4 if device == "cpu" else 256
    with one_thread():
        a, b = (torch.rand(num, 128, 128, device=device) for _ in range(2))
        times = []
        for _ in range(7):
            start = time.perf_counter()
            for _ in range(10):
                c = torch.bmm(a, b)
            c[0, 0, 0].item()  # waits for a GPU
            times.append((time.perf_counter() - start) / 10)
    return num * 2 * 128**3 / sorted(times)[len(times) // 2]


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
    if not is_mlp(run.model):
        return 1  # one such network fills a core
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


def _item_size(run: Run) -> int:
    return 8 if run.precision == "float64" else 4


def epoch_flops(run: Run, sizes: Sizes) -> float:
    """Count the operations of a run's epoch: forward, backward to input and weights, measuring."""
    forward = count_network(run.model, sizes.sample_shape, sizes.num_classes).flops
    first = 2 * sizes.num_features * run.model.hidden[0] if run.model.hidden else 0
    training = sizes.num_train * (3 * forward - first)  # nothing differentiates the data
    measuring = (sizes.num_validation + sizes.num_test) * forward
    return float(training + measuring + run.record.probe_size * 3 * forward)


def epoch_seconds(runs: Sequence[Run], sizes: Sizes, rate: float) -> float:
    """Estimate the time of a cohort's epoch on one core or a GPU.

    Args:
        runs: Of one cohort.
        sizes: Of their data.
        rate: Operations per second of a product, as `product_rate` measures it.
    """
    run = runs[0]
    flops = len(runs) * epoch_flops(run, sizes)
    times = 1 if run.engine == "stacked" else len(runs)  # the others train one after another
    beside = _epoch_overhead_s(run, sizes) + _elementwise_s(run, sizes)
    return flops / (rate * EXPECTED_SHARE) + times * beside


def _elementwise_s(run: Run, sizes: Sizes) -> float:
    """Return the time that an epoch's normalisations, activations and poolings take.

    In proportion to the numbers that they keep; evaluation keeps none and takes a third. Those of
    an mlp are in `EXPECTED_SHARE`.
    """
    if is_mlp(run.model):
        return 0.0
    kept = count_network(run.model, sizes.sample_shape, sizes.num_classes).activation_numbers
    return NUMBER_S * kept * (sizes.num_train + (sizes.num_validation + sizes.num_test) / 3)


def _epoch_overhead_s(run: Run, sizes: Sizes) -> float:
    """Return the time of an epoch that does not depend on the width or the number of runs."""
    train = run.train
    steps = steps_per_epoch(sizes.num_train, train.batch_size, drop_last=train.drop_last)
    passes = (sizes.num_validation + sizes.num_test) / EVALUATION_BATCH
    num_layers = count_network(run.model, sizes.sample_shape, sizes.num_classes).num_layers
    return num_layers * (LAYER_STEP_S * (steps + passes / 3) + LAYER_PROBE_S)


def observation_seconds(runs: Sequence[Run], sizes: Sizes, rate: float) -> float:
    """Estimate the time that counting units and keeping surfaces adds to a cohort's training.

    Args:
        runs: Of one cohort.
        sizes: Of their data.
        rate: Operations per second of a product.
    """
    run = runs[0]
    counts = count_network(run.model, sizes.sample_shape, sizes.num_classes)
    forward_s = counts.flops / (rate * EXPECTED_SHARE)
    units = sum(run.model.hidden) or counts.activation_numbers
    batches = counts.num_layers * sizes.num_train / EVALUATION_BATCH
    counting_s = sizes.num_train * (forward_s + units * UNIT_SAMPLE_S) + batches * COUNT_S
    surface_s = SURFACE_S + GRID_SIDE**2 * forward_s
    times, frames = len(unit_epochs(run)), len(surface_epochs(run))
    return len(runs) * (times * counting_s + frames * surface_s)


def memory_bytes(runs: Sequence[Run], sizes: Sizes) -> float:
    """Add up what a worker holds at its peak: while it loads the data, or measures and saves."""
    data, cohort = data_bytes(sizes), sum(run_bytes(run, sizes) for run in runs)
    if runs[0].engine == "stacked":
        cohort *= max(2, len(runs)) / len(runs)  # a single run is padded to two
    process = PROCESS_BYTES + (AUTOGRAD_BYTES if runs[0].engine == "single" else 0)
    return process + data + max(data, cohort)  # data are copied once, when they are cut


def data_bytes(sizes: Sizes) -> float:
    """Return the bytes of all parts of a data set in memory."""
    return sizes.num_samples * sizes.num_features * sizes.item_size


def run_bytes(run: Run, sizes: Sizes) -> float:
    """Return the bytes of one run of a cohort: its weights in every copy, its units."""
    counts = count_network(run.model, sizes.sample_shape, sizes.num_classes)
    slots = OPTIMIZERS.build(run.train.optimizer).num_slots
    kept = {"best_and_last": 2, "last": 1, "none": 0}[run.record.weights]
    held = (2 + slots + kept) * counts.parameters  # values and gradients; optimizer; kept ones
    # A state and its file, or new weights to keep.
    saved = max(2 * (1 + slots + kept), 2 * min(1, kept)) * counts.parameters
    seen = _observed_bytes(run, counts.num_layers, sizes.num_classes)
    if is_mlp(run.model):
        return (held + saved + _mlp_numbers(run, sizes)) * _item_size(run) + seen
    probes = min(run.record.probe_size, sizes.num_train)
    batch = min(run.train.batch_size, sizes.num_train)
    samples = max(BATCH_COPIES * batch, PROBE_COPIES * probes)
    # What autograd keeps is free again when a state is saved.
    return (held + max(saved, samples * counts.activation_numbers)) * _item_size(run) + seen


def _observed_bytes(run: Run, num_layers: int, num_classes: int) -> int:
    """Return the bytes of what is seen of a run's network: rows; frames in memory and a state."""
    units = sum(run.model.hidden) or UNITS_OF_A_LAYER * num_layers
    frames = 3 * len(surface_epochs(run)) * GRID_SIDE**2 * num_classes * 4
    return len(unit_epochs(run)) * units * UNIT_ROW_BYTES + frames


def _mlp_numbers(run: Run, sizes: Sizes) -> int:
    """Count what forward keeps, and what the probe keeps of every layer: h and dL/dh."""
    units = sum(run.model.hidden) + sizes.num_classes
    rows = max(run.train.batch_size, run.record.probe_size, EVALUATION_BATCH)
    return units * (rows * _buffers(run) + 2 * run.record.probe_size)
