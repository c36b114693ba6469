"""Steps of an epoch: which samples come when, and with which numbers every run updates.

Shapes: R runs, T steps of an epoch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fathom.architectures import ARCHITECTURES, is_mlp
from fathom.data.augment import augment
from fathom.data.splits import PreparedData
from fathom.errors import FathomError
from fathom.optimizers import OPTIMIZERS
from fathom.schedules import SCHEDULES
from fathom.seeds import generator
from fathom.spec.grid import Run


def steps_per_epoch(num_train: int, batch_size: int, *, drop_last: bool) -> int:
    """Count the mini-batches of an epoch.

    Raises:
        FathomError: If there is none.

    >>> steps_per_epoch(1000, 128, drop_last=False), steps_per_epoch(1000, 128, drop_last=True)
    (8, 7)
    """
    steps = num_train // batch_size if drop_last else -(-num_train // batch_size)
    if steps == 0:
        raise FathomError(
            f"train.batch_size: {batch_size} is more than the {num_train} training samples, and "
            "train.drop_last leaves no batch; use a smaller batch or drop_last: false"
        )
    return steps


def check_batches(run: Run, num_train: int) -> None:
    """Refuse batches that a run's network cannot be trained on.

    Raises:
        FathomError: If `batch_norm` would get a batch of a single sample.
    """
    train = run.train
    left_over = 0 if train.drop_last else num_train % train.batch_size
    if _norm(run) == "batch_norm" and 1 in {train.batch_size, left_over}:
        raise FathomError(
            f"train.batch_size: {train.batch_size} makes a batch of one of the {num_train} "
            "training samples, and batch_norm needs two for a variance; use another batch size, "
            "drop_last: true or layer_norm"
        )


def _norm(run: Run) -> object:
    """Return how a run's network normalises, as far as its settings tell."""
    choice = run.model.name
    if is_mlp(choice):
        return run.model.norm
    parameter = ARCHITECTURES.parameters(choice.name).get("norm")
    return dict(choice.params).get("norm", parameter.default if parameter else "none")


def batch_indices(run: Run, num_train: int, epoch: int) -> list[Tensor]:
    """Return the sample numbers of each batch of an epoch, the same for all runs on this data."""
    check_batches(run, num_train)
    order = torch.randperm(num_train, generator=generator(run.data.seed, "order", epoch))
    steps = steps_per_epoch(num_train, run.train.batch_size, drop_last=run.train.drop_last)
    return list(torch.split(order, run.train.batch_size)[:steps])


class TrainingImages:
    """The training part, changed by chance in every epoch as `data.augment` says.

    All engines and all runs on the same data see the same images: the chance is keyed by the data's
    seed and the epoch. Its batches are to be asked for in the order of the epoch.
    """

    def __init__(self, data: PreparedData) -> None:
        self._data = data
        self._chance = generator(data.config.seed, "augment", 0)

    def begin(self, epoch: int) -> None:
        """Begin an epoch, counted from 1."""
        self._chance = generator(self._data.config.seed, "augment", epoch)

    def batch(self, inputs_NI: Tensor, index: Tensor) -> Tensor:
        """Return samples `[B, I]` in storage type.

        Args:
            inputs_NI: The training part's inputs, wherever they lie.
            index: Which of them.
        """
        samples = torch.index_select(inputs_NI, 0, index)
        how = self._data.config.augment
        return augment(samples, self._data.sample_shape, how, self._chance)


def learning_rate(run: Run, step: int, num_steps: int) -> float:
    """Return the rate of a step counted from 0 over all epochs; an epoch has `num_steps`."""
    schedule = SCHEDULES.build(run.train.schedule)
    return run.train.lr * schedule.factor(step, num_steps, run.train.epochs)


def coefficient_table(
    runs: Sequence[Run], epoch: int, num_steps: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Tabulate each run's optimizer coefficients for all steps of an epoch.

    Computed in Python's float64 and rounded once, so that a step needs no arithmetic on scalars.

    Returns:
        Name to `[T, R, 1, 1]`.
    """
    columns: dict[str, list[list[float]]] = {}
    for run in runs:
        rule = OPTIMIZERS.build(run.train.optimizer)
        schedule = SCHEDULES.build(run.train.schedule)
        rows: dict[str, list[float]] = {}
        for step in range((epoch - 1) * num_steps, epoch * num_steps):
            lr = run.train.lr * schedule.factor(step, num_steps, run.train.epochs)
            for name, value in rule.coefficients(lr, step + 1).items():
                rows.setdefault(name, []).append(value)
        for name, row in rows.items():
            columns.setdefault(name, []).append(row)
    return {
        name: torch.tensor(table, dtype=torch.float64).T.to(dtype)[:, :, None, None].contiguous()
        for name, table in columns.items()
    }
