"""From runs to results: the epochs of one cohort, whichever engine trains it.

The loop's whole state is one flat dict of tensors, so that going on after an interruption is: load
it and enter the loop. A run that diverges or stops early keeps its slot until the cohort ends; its
rows end there, and its last weights are those of its last epoch.

Shapes: R runs, L linear layers, E epochs (row 0 is before training).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fathom.data.splits import Part, PreparedData
from fathom.engine.base import Scores
from fathom.engine.engines import make_engine
from fathom.engine.memory import told_by
from fathom.engine.observations import check_plane, observe
from fathom.engine.precision import products_in
from fathom.engine.probes import histograms, measure_layer
from fathom.engine.progress import (
    EPOCH_VALUES,
    LAYER_VALUES,
    QUANTITIES,
    State,
    new_progress,
)
from fathom.engine.stacked import CPU
from fathom.engine.tables import CohortResult, collect_result
from fathom.models.build import count_network
from fathom.spec.grid import Run

SMALLEST_PROBE: Final = 2  # what a study may say; two inputs have a cosine


class EpochReport(NamedTuple):
    """What a watcher is told after each epoch; arrays are `[R]`.

    Attributes:
        epoch: Epochs trained so far.
        epochs: Epochs to train at most.
        running: Which runs are still going.
        train_accuracy: Share of hits on the epoch's batches.
    """

    epoch: int
    epochs: int
    running: np.ndarray[tuple[int], np.dtype[np.bool_]]
    train_accuracy: np.ndarray[tuple[int], np.dtype[np.float64]]


class CohortTraining:
    """One cohort on its way; `train_cohort` drives it.

    Args:
        runs: Runs that share data, layer shapes and update program, without padding.
        data: Their prepared data.
        device: Where to compute.

    Raises:
        FathomError: If engine, data and what is to be recorded do not fit.
    """

    def __init__(self, runs: Sequence[Run], data: PreparedData, device: torch.device = CPU) -> None:
        check_plane(runs[0], data.num_features, multi_label=data.multi_label)
        self.runs, self.data, self.device = tuple(runs), data, device
        # Never one: a batched product over one run takes another kernel, with other bits.
        padded = [*runs, runs[0]] if len(runs) == 1 and runs[0].engine == "stacked" else runs
        self.engine = make_engine(padded, data, device)
        self.width = len(padded)
        self.progress = new_progress(
            self.width,
            runs[0].train.epochs + 1,
            count_network(runs[0].model, data.sample_shape, data.num_classes).num_layers,
            keep_histograms=runs[0].record.histograms,
        )

    @property
    def running(self) -> Tensor:
        """Which runs are still going, `[R]`."""
        return self.progress.last_epoch < 0

    @property
    def done(self) -> bool:
        """True when no run needs another epoch."""
        return not bool(self.running.any())

    def state(self) -> State:
        """Return everything that the next epoch depends on."""
        engine = {f"engine.{name}": tensor for name, tensor in self.engine.state().items()}
        return engine | self.progress.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        prefix = "engine."
        inner = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.engine.load(inner)
        self.progress.load({k: v for k, v in state.items() if not k.startswith(prefix)})

    def start(self) -> None:
        """Measure the untrained networks: row 0."""
        started = time.perf_counter()
        self.progress.epoch = 0
        size = self.runs[0].record.probe_size
        train = self.data.train
        probe = Part(inputs=train.inputs[:size], targets=train.targets[:size])
        rates = torch.zeros(self.width, dtype=torch.float64)
        self._write_row(self.engine.evaluate(probe), rates)
        self._observe(self.running)
        self._stop_clock(started, self.running)

    def advance(self) -> None:
        """Train and measure one epoch."""
        started = time.perf_counter()
        progress = self.progress
        progress.epoch += 1
        with told_by("train.batch_size", self.runs[0].train.batch_size):
            sums = self.engine.train_epoch(progress.epoch)
        self._write_row(Scores(sums.loss, sums.accuracy), sums.lr)
        self._note_divergence(sums.first_bad_step)
        self._select()
        going = self.running
        self._retire()
        self._observe(going)
        self._stop_clock(started, going)

    def _stop_clock(self, started: float, going: Tensor) -> None:
        """Write down what an epoch took, last: what is measured and observed is part of it."""
        elapsed = (time.perf_counter() - started) / len(self.runs)
        column = EPOCH_VALUES.index("epoch_time_s")
        self.progress.epochs[self.progress.epoch, going, column] = elapsed

    def _observe(self, going: Tensor) -> None:
        progress = self.progress
        observe(
            progress.seen,
            progress.epoch,
            self.runs,
            self.engine.weights,
            self.data,
            going=going,
            ended=progress.last_epoch == progress.epoch,
            device=self.device,
        )

    def _write_row(self, train: Scores, lr: Tensor) -> None:
        """Measure, and write down all but the time."""
        train = _without_chance_hits(train)
        test = _without_chance_hits(self.engine.evaluate(self.data.test))
        validation = self._validation(test)
        columns = {
            "lr": lr,
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "validation_loss": validation.loss,
            "validation_accuracy": validation.accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
        }
        with told_by("record.probe_size", self.runs[0].record.probe_size, least=SMALLEST_PROBE):
            self._measure()
        columns["epoch_time_s"] = torch.full_like(lr, float("nan"))
        row = torch.stack([columns[name] for name in EPOCH_VALUES], 1)
        running = self.running
        self.progress.epochs[self.progress.epoch, running] = row[running]

    def _validation(self, test: Scores) -> Scores:
        if self.data.validation is None:
            return Scores(*(torch.full_like(column, float("nan")) for column in test))
        if self.data.validation is self.data.test:  # as in spline-vgp and deep-mlp
            return test
        return _without_chance_hits(self.engine.evaluate(self.data.validation))

    def _measure(self) -> None:
        progress, running = self.progress, self.running
        ratios = self.engine.update_ratios()
        for layer, view in enumerate(self.engine.probe()):
            columns = measure_layer(view) | {"update_ratio": ratios[:, layer]}
            row = torch.stack([columns[name].cpu() for name in LAYER_VALUES], 1)
            progress.layers[progress.epoch, running, layer] = row[running]
            if progress.histograms.numel():
                for name, rows in histograms(view).items():
                    kind = QUANTITIES.index(name)
                    progress.histograms[progress.epoch, running, layer, kind] = rows[running]

    def _select(self) -> None:
        """Keep each run's weights where its validation score is the best so far."""
        progress, monitor = self.progress, self.runs[0].train.monitor
        if self.data.validation is None:  # nothing to select by: the last epoch is the best
            progress.best_epoch[self.running] = progress.epoch
            return
        score = progress.epochs[progress.epoch, :, EPOCH_VALUES.index(monitor)]
        score = -score if monitor.endswith("loss") else score
        healthy = self.running & (progress.diverged_step < 0)
        better = healthy & (score > progress.best_score)
        progress.best_score = torch.where(better, score, progress.best_score)
        progress.best_epoch[better] = progress.epoch
        record = self.runs[0].record
        if record.weights == "best_and_last" or record.scores:  # scores are the best network's
            progress.best = _replace(progress.best, self.engine.weights, better)

    def _note_divergence(self, first_bad_step: Tensor) -> None:
        """Write down the step at which runs diverged in this epoch."""
        progress = self.progress
        fresh = self.running & (first_bad_step > 0)
        progress.diverged_step[fresh] = first_bad_step[fresh].long()
        finite = torch.isfinite(progress.epochs[progress.epoch][:, self._loss_columns()]).all(1)
        # The update after the last batch can be the fatal one: the evaluation then tells.
        silent = self.running & ~finite & ~fresh
        progress.diverged_step[silent] = self.engine.step

    def _retire(self) -> None:
        """End the runs that diverged, ran out of patience or reached the last epoch."""
        progress, train = self.progress, self.runs[0].train
        over = progress.diverged_step >= 0
        if train.patience is not None:
            over |= progress.epoch - progress.best_epoch >= train.patience
        ended = self.running & (over | torch.tensor(progress.epoch >= train.epochs))
        if self.runs[0].record.weights != "none" or self.runs[0].record.scores:
            progress.last = _replace(progress.last, self.engine.weights, ended)
        progress.last_epoch[ended] = progress.epoch

    def _loss_columns(self) -> list[int]:
        names = ["train_loss", "test_loss"]
        names += [] if self.data.validation is None else ["validation_loss"]
        return [EPOCH_VALUES.index(name) for name in names]


def _without_chance_hits(scores: Scores) -> Scores:
    """Leave out the accuracy where the loss is not finite: NaN logits always answer class 0."""
    hits = torch.where(torch.isfinite(scores.loss), scores.accuracy, float("nan"))
    return Scores(scores.loss, hits)


def _replace(
    old: dict[str, Tensor], weights: Callable[[], Mapping[str, Tensor]], which: Tensor
) -> dict[str, Tensor]:
    """Take the present weights of the runs that `which [R]` names, the old ones elsewhere."""
    if not which.any():
        return old
    new = weights()
    if not old:
        return dict(new)
    return {
        name: torch.where(which.view(-1, *[1] * (tensor.dim() - 1)), tensor, old[name])
        for name, tensor in new.items()
    }


def train_cohort(
    runs: Sequence[Run],
    data: PreparedData,
    *,
    state: Mapping[str, Tensor] | None = None,
    save_state: Callable[[Callable[[], State]], None] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    device: torch.device = CPU,
) -> CohortResult:
    """Train the runs of a cohort to their ends and return everything recorded.

    Args:
        runs: Runs that share data, layer shapes, batch size, epochs and update program.
        data: Their prepared data.
        state: What `save_state` was given last, to go on bit for bit; None to start.
        save_state: Called after every epoch but the last with a function that returns the whole
            state; whoever does not want to keep this one does not call it.
        on_epoch: Told about each epoch.
        device: Where to compute.

    Raises:
        FathomError: If the device has no products of the runs' precision.
    """
    with products_in(runs[0].precision, device):
        training = CohortTraining(runs, data, device)
        if state is None:
            training.start()
        else:
            training.load(state)
        while not training.done:
            training.advance()
            if on_epoch is not None:
                on_epoch(_report(training))
            if save_state is not None and not training.done:
                save_state(training.state)
    return collect_result(training.runs, training.progress, data)


def _report(training: CohortTraining) -> EpochReport:
    progress, num = training.progress, len(training.runs)
    row = progress.epochs[progress.epoch, :num].numpy()
    return EpochReport(
        epoch=progress.epoch,
        epochs=training.runs[0].train.epochs,
        running=training.running[:num].numpy(),
        train_accuracy=row[:, EPOCH_VALUES.index("train_accuracy")],
    )
