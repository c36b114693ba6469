"""The three engines side by side: how far their weights are apart after every step.

Three implementations that share no formula: NumPy by hand, torch's autograd with torch's own
optimizers, and the stacked program. What they share is the beginning: initial weights and batches.
The one exception is the derivative of an activation, which `single` takes from the activation's
record as `stacked` does; `derivatives.py` holds that against autograd.

Shapes: R runs, B batch, I in, O out.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fathom.data.splits import PreparedData
from fathom.engine.by_hand import ReferenceEngine
from fathom.engine.single import SingleEngine
from fathom.engine.stacked import StackedEngine
from fathom.engine.steps import coefficient_table, learning_rate
from fathom.errors import FathomError
from fathom.spec.grid import Run

TOLERANCE: Final = 1e-10
# Their dynamics itself amplifies rounding (poles, exponentials of exponentials), so that steps from
# one start tell nothing after a while; each step is compared from the same state.
CHAOTIC: Final = frozenset({"tan", "reciprocal", "exp"})

_MOMENTA: Final = ("momentum_buffer", "exp_avg", "exp_avg_sq")  # torch's names, in order of slots
_WEIGHT_AND_BIAS: Final[tuple[slice | int, ...]] = (slice(-1), -1)  # of a stacked parameter's rows


class Deviations(NamedTuple):
    """Largest relative deviations of any weight of one run after any step; inf for NaN.

    Attributes:
        reference_single: Between the reference and autograd.
        single_stacked: Between autograd and the stacked engine.
        moved: How far the weights have gone from where they began, on the same scale: networks
            that stand still agree about nothing.
    """

    reference_single: float
    single_stacked: float
    moved: float

    @property
    def agree(self) -> bool:
        """Whether the engines moved, and moved alike."""
        apart = max(self.reference_single, self.single_stacked)
        return apart <= TOLERANCE < self.moved < math.inf


def relative_deviations(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Compare two lists of stacked tensors.

    Args:
        ours: Tensors `[R, ...]`.
        theirs: The same, from elsewhere.

    Returns:
        For each run `[R]` the largest difference relative to the largest entry of its tensor;
        inf where something is not finite, so that no comparison can take it for agreement.
    """
    found = []
    for a, b in zip(ours, theirs, strict=True):
        scale = b.flatten(1).abs().amax(1).clamp_min(1e-300)
        found.append((a - b).flatten(1).abs().amax(1) / scale)
    worst = torch.stack(found).amax(0)  # amax hands NaN on
    return torch.where(worst.isfinite(), worst, math.inf)


def train_side_by_side(
    runs: Sequence[Run], data: PreparedData, num_steps: int, *, from_same_state: bool = False
) -> list[Deviations]:
    """Train runs with all three engines and compare after every step.

    Every step counts as an epoch for the learning-rate schedule.

    Args:
        runs: At least two, of one cohort, in float64.
        data: Their prepared data.
        num_steps: Steps to take, at least 1 and at most the runs' epochs.
        from_same_state: Give the others the stacked engine's state after each comparison.

    Returns:
        One entry for each run.

    Raises:
        FathomError: If something is not written by hand, or the schedule ends before the steps.
    """
    if not 1 <= num_steps <= runs[0].train.epochs:
        raise FathomError(
            f"steps: got {num_steps}; must be an integer from 1 to {runs[0].train.epochs}, the "
            "epochs of the runs"
        )
    engines = _SideBySide(runs, data)
    start = list(engines.stacked.weights().values())
    by_hand, stacked, moved = torch.zeros(3, len(runs), dtype=torch.float64)
    for step in range(num_steps):
        engines.take_step(step)
        ours, autograd, theirs = engines.weights()
        by_hand = torch.maximum(by_hand, relative_deviations(ours, autograd))
        stacked = torch.maximum(stacked, relative_deviations(autograd, theirs))
        moved = torch.maximum(moved, relative_deviations(start, theirs))
        if from_same_state:
            engines.equalise()
    table = zip(by_hand.tolist(), stacked.tolist(), moved.tolist(), strict=True)
    return [Deviations(*row) for row in table]


class _SideBySide:
    """One cohort in three engines."""

    def __init__(self, runs: Sequence[Run], data: PreparedData) -> None:
        self.runs, self.data = runs, data
        self.by_hand = ReferenceEngine(runs, data)
        self.single = SingleEngine(runs, data)
        self.stacked = StackedEngine(runs, data)

    def take_step(self, step: int) -> None:
        """Take one step, counted from 0, on the next samples of the training part."""
        size, train = self.runs[0].train.batch_size, self.data.train
        index = torch.arange(step * size, (step + 1) * size) % len(train.targets)
        with self.by_hand.settings():
            for by_hand in self.by_hand.trainers:
                by_hand.descend(by_hand.samples(train, index), num_steps=1)
        for single in self.single.trainers:
            losses, _ = single.losses_and_hits(single.inputs(train, index), train.targets[index])
            single.descend(losses.mean(), learning_rate(single.run, step, 1))
        table = coefficient_table(self.runs, step + 1, 1, torch.float64)
        self.stacked.update.coefficients = {name: rows[0] for name, rows in table.items()}
        self.stacked.train_step(*self.stacked.batch(train, index))

    def weights(self) -> list[list[Tensor]]:
        """Return the weights of the three engines, in the same order."""
        found = [engine.weights() for engine in (self.by_hand, self.single, self.stacked)]
        return [[weights[name] for name in found[0]] for weights in found]

    def equalise(self) -> None:
        """Give the others the stacked engine's weights and what its rule remembers."""
        weights = self.stacked.weights()
        for member, single in enumerate(self.single.trainers):
            single.net.load_state_dict({name: t[member] for name, t in weights.items()})
        for number, affine in enumerate(self.stacked.affines):
            parameter = affine.parameter
            for member in range(len(self.runs)):
                slots = [slot[member] for slot in parameter.slots]
                self._tell_single(member, number, slots)
                self._tell_by_hand(member, number, parameter.value[member], slots)

    def _tell_single(self, member: int, number: int, slots: Sequence[Tensor]) -> None:
        single = self.single.trainers[member]
        weight, bias = list(single.net.parameters())[2 * number : 2 * number + 2]
        kept = single.optimizer.state
        names = [name for name in _MOMENTA if name in kept[weight]]
        for name, slot in zip(names, slots, strict=True):
            kept[weight][name].copy_(slot[:-1].T)
            kept[bias][name].copy_(slot[-1])

    def _tell_by_hand(
        self, member: int, number: int, value: Tensor, slots: Sequence[Tensor]
    ) -> None:
        by_hand = self.by_hand.trainers[member]
        both = slice(2 * number, 2 * number + 2)
        for array, kept, part in zip(
            by_hand.parameters()[both], by_hand.slots[both], _WEIGHT_AND_BIAS, strict=True
        ):
            array[...] = value[part].numpy()
            names = [name for name in kept if name != "step"]
            # Not strict: a rule that forgot something is to be told as a deviation.
            for name, slot in zip(names, slots, strict=False):
                kept[name][...] = slot[part].numpy()
