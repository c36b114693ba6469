"""The reference engine: the runs of a cohort one after another, each through NumPy by hand.

Shapes: R runs, B batch, I in, O out, L layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # has no types
from torch import Tensor

from fathom.data.splits import Part, PreparedData
from fathom.engine.base import Scores, TrainingSums
from fathom.engine.by_hand import LayerRecord, Trainer
from fathom.engine.probes import LayerView
from fathom.reference.arrays import Array
from fathom.spec.grid import Run


class ReferenceEngine:
    """Train and measure runs one after another, on one core.

    Args:
        runs: Runs on the same data, in float64.
        data: The prepared data of these runs.

    Raises:
        FathomError: If a run asks for another precision, or for what is not written by hand.
    """

    def __init__(self, runs: Sequence[Run], data: PreparedData) -> None:
        self.trainers = [Trainer(run, data) for run in runs]
        self._threads = ThreadpoolController()

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self.trainers[0].step

    def train_epoch(self, epoch: int) -> TrainingSums:
        """Train one epoch; `epoch` counts from 1."""
        with self.settings():
            rows = [trainer.train_epoch(epoch) for trainer in self.trainers]
        return TrainingSums(*torch.tensor(rows, dtype=torch.float64).T)

    def evaluate(self, part: Part) -> Scores:
        """Score every run on a part of the data."""
        with self.settings():
            rows = [trainer.evaluate(part) for trainer in self.trainers]
        return Scores(*torch.tensor(rows, dtype=torch.float64).T)

    def probe(self) -> list[LayerView]:
        """Measure every layer of every run on the probe batch."""
        with self.settings():
            members = [trainer.probe() for trainer in self.trainers]
        return [_view(records) for records in zip(*members, strict=True)]

    def update_ratios(self) -> Tensor:
        """Return the relative size of the last weight step, `[R, L]`; NaN before training."""
        return torch.stack([trainer.ratios for trainer in self.trainers])

    def weights(self) -> dict[str, Tensor]:
        """Return copies of what evaluates every run's network, `[R, O, I]` and `[R, O]`."""
        members = [trainer.weights() for trainer in self.trainers]
        return {name: _stack([arrays[name] for arrays in members]) for name in members[0]}

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and optimizer state, and the step counts."""
        return {
            f"run{number}.{name}": tensor
            for number, trainer in enumerate(self.trainers)
            for name, tensor in trainer.state().items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        for number, trainer in enumerate(self.trainers):
            prefix = f"run{number}."
            mine = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            trainer.load(mine)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Compute as every engine does: with one thread, on which last bits depend.

        And without warnings of overflow: a run that diverges is a result.
        """
        with (
            self._threads.limit(limits=1, user_api="blas"),
            np.errstate(over="ignore", divide="ignore", invalid="ignore"),
        ):
            yield


def _view(records: Sequence[LayerRecord]) -> LayerView:
    """Stack the records of one layer, units before samples."""

    def joined(name: str) -> Tensor | None:
        arrays = [getattr(record, name) for record in records]
        return None if arrays[0] is None else _stack([array.T for array in arrays])

    slopes = [record.saturation_slope for record in records]
    return LayerView(
        pre=_stack([record.pre_BO.T for record in records]),
        act=joined("act_BO"),
        slope=joined("slope_BO"),
        saturation_slope=None if None in slopes else torch.tensor(slopes, dtype=torch.float64),
        grad_pre=_stack([record.grad_pre_BO.T for record in records]),
        grad_weight=_stack([record.grad_weight_IO for record in records]),
        weight=_stack([record.weight_IO for record in records]),
    )


def _stack(arrays: Sequence[Array]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
