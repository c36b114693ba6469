"""The three engines side by side: how far their weights are apart after every step.

Three implementations that share no formula: NumPy by hand, torch's autograd with torch's own
optimizers, and the stacked program. What they share is the beginning: initial weights and batches.
The one exception is the derivative of an activation, which `single` takes from the activation's
record as `stacked` does; `derivatives.py` holds that against autograd.

Shapes: R runs, B batch, I in, O out.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fathom.data.splits import PreparedData
from fathom.engine.by_hand import Trainer as HandTrainer
from fathom.engine.reference import ReferenceEngine
from fathom.engine.single import SingleEngine
from fathom.engine.single import Trainer as AutogradTrainer
from fathom.engine.stacked import StackedEngine
from fathom.engine.steps import coefficient_table, learning_rate
from fathom.errors import FathomError
from fathom.spec.grid import Run

TOLERANCE: Final = 1e-10
# Their dynamics itself amplifies rounding (poles, exponentials of exponentials), so that steps from
# one start tell nothing after a while; each step is compared from the same state.
CHAOTIC: Final = frozenset({"tan", "reciprocal", "exp"})

_MOMENTA: Final = ("momentum_buffer", "exp_avg", "exp_avg_sq")  # torch's names, in order of slots


class Deviations(NamedTuple):
    """Largest relative deviations of any weight of one run after any step; inf for NaN.

    Attributes:
        reference_single: Between the reference and autograd.
        single_stacked: Between autograd and the stacked engine.
        moved: How far what is trained has gone from where it began, on the same scale: networks
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
    *_, start = engines.weights()
    trained = [name for name in start if "running" not in name]
    by_hand, stacked, moved = torch.zeros(3, len(runs), dtype=torch.float64)
    for step in range(num_steps):
        engines.take_step(step)
        ours, autograd, theirs = engines.weights()
        by_hand = torch.maximum(by_hand, _apart(ours, autograd, start))
        stacked = torch.maximum(stacked, _apart(autograd, theirs, start))
        moved = torch.maximum(moved, _apart(start, theirs, trained))
        if from_same_state:
            engines.equalise()
    table = zip(by_hand.tolist(), stacked.tolist(), moved.tolist(), strict=True)
    return [Deviations(*row) for row in table]


def _apart(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], names: Collection[str]
) -> Tensor:
    return relative_deviations([ours[name] for name in names], [theirs[name] for name in names])


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

    def weights(self) -> list[dict[str, Tensor]]:
        """Return the weights of the three engines, running statistics included."""
        return [engine.weights() for engine in (self.by_hand, self.single, self.stacked)]

    def equalise(self) -> None:
        """Give the others the stacked engine's weights and what its rule remembers."""
        weights, memory = self.stacked.weights(), self._memory()
        trainers = zip(self.by_hand.trainers, self.single.trainers, strict=True)
        for member, (by_hand, single) in enumerate(trainers):
            own = {name: tensor[member] for name, tensor in weights.items()}
            slots = {name: [slot[member] for slot in held] for name, held in memory.items()}
            _tell_by_hand(by_hand, own, slots)
            _tell_single(single, own, slots)

    def _memory(self) -> dict[str, list[Tensor]]:
        """Return the stacked engine's slots of each parameter, named and laid out as weights."""
        found = {}
        for affine in self.stacked.affines:
            slots, name = affine.parameter.slots, f"layers.{affine.index}"
            found[f"{name}.weight"] = [slot[:, :-1].transpose(1, 2) for slot in slots]
            found[f"{name}.bias"] = [slot[:, -1] for slot in slots]
        for norm in self.stacked.norms:
            if norm is not None:
                slots, name = norm.parameter.slots, f"norms.{norm.index}"
                found[f"{name}.weight"] = [slot[:, 0] for slot in slots]
                found[f"{name}.bias"] = [slot[:, 1] for slot in slots]
        return found


def _tell_by_hand(
    trainer: HandTrainer, weights: Mapping[str, Tensor], slots: Mapping[str, Sequence[Tensor]]
) -> None:
    for name, array in trainer.weights().items():
        array[...] = weights[name].numpy()
    for name, kept in zip(trainer.parameter_names(), trainer.slots, strict=True):
        remembered = [array for key, array in kept.items() if key != "step"]
        # Not strict: a rule that forgot something is to be told as a deviation.
        for array, slot in zip(remembered, slots[name], strict=False):
            array.T[...] = slot.numpy()


def _tell_single(
    trainer: AutogradTrainer, weights: Mapping[str, Tensor], slots: Mapping[str, Sequence[Tensor]]
) -> None:
    trainer.net.load_state_dict(dict(weights))
    for name, parameter in trainer.net.named_parameters():
        kept = trainer.optimizer.state[parameter]
        held = [momentum for momentum in _MOMENTA if momentum in kept]
        for momentum, slot in zip(held, slots[name], strict=True):
            kept[momentum].copy_(slot)
