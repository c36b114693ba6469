"""From the loop's tensors to tables: plain columns in the order of `records`.

Shapes: R runs, L linear layers, E epochs (row 0 is before training).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fathom.data.inputs import input_statistics
from fathom.data.splits import PreparedData
from fathom.engine.observations import surfaces_of, unit_columns
from fathom.engine.progress import EPOCH_VALUES, LAYER_VALUES, QUANTITIES, Columns, Progress
from fathom.engine.scores import score_columns
from fathom.models.build import count_network
from fathom.records import Outcome
from fathom.spec.grid import Run
from fathom.surfaces import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortResult:
    """Everything recorded of a cohort.

    Attributes:
        runs: Columns of `records.RUN_COLUMNS`.
        epochs: Columns of `records.EPOCH_COLUMNS`.
        layers: Columns of `records.LAYER_COLUMNS`.
        histograms: Columns of `records.HISTOGRAM_COLUMNS`; empty unless asked for.
        scores: Columns of `records.SCORE_COLUMNS`; empty unless asked for.
        units: Columns of `records.UNIT_COLUMNS`; empty unless asked for.
        surfaces: Decision surfaces by run id; empty unless asked for.
        weights: `<run_id>/<best|last>/layers.<l>.<weight|bias>` in `nn.Linear`'s layout, and
            `norms.<l>.<weight|bias|running_mean|running_var>` where there are any. `best` is
            left out where the last epoch was the best, or none was. The last weights of a run
            that diverged are those that it diverged to.
    """

    runs: Columns
    epochs: Columns
    layers: Columns
    histograms: Columns
    scores: Columns
    units: Columns
    surfaces: dict[str, Surface]
    weights: dict[str, Tensor]


def collect_result(runs: Sequence[Run], progress: Progress, data: PreparedData) -> CohortResult:
    """Cut the loop's tensors into tables, each run up to its own last epoch."""
    ends = progress.last_epoch.tolist()
    return CohortResult(
        runs=_run_columns(runs, progress, data),
        epochs=_epoch_columns(runs, progress.epochs, ends),
        layers=_layer_columns(runs, progress.layers, ends),
        histograms=_histogram_columns(runs, progress.histograms, ends),
        scores=score_columns(runs, progress, data),
        units=unit_columns(runs, progress.seen),
        surfaces=surfaces_of(runs, progress.seen, data),
        weights=_member_weights(runs, progress),
    )


def _outcome(run: Run, progress: Progress, index: int) -> tuple[Outcome, str]:
    step, end = int(progress.diverged_step[index]), int(progress.last_epoch[index])
    if step >= 0:
        loss = progress.epochs[end, index, EPOCH_VALUES.index("train_loss")]
        where = "the loss" if not torch.isfinite(loss) else "the loss after the epoch's last step"
        return "diverged", f"{where} was not finite at step {step} (epoch {end})"
    if end < run.train.epochs:
        best = int(progress.best_epoch[index])
        return (
            "stopped_early",
            f"{run.train.monitor} did not improve for {end - best} epochs after epoch {best}",
        )
    return "completed", ""


def _run_columns(runs: Sequence[Run], progress: Progress, data: PreparedData) -> Columns:
    outcomes = [_outcome(run, progress, index) for index, run in enumerate(runs)]
    num = len(runs)
    seconds = progress.epochs[:, :num, EPOCH_VALUES.index("epoch_time_s")].nansum(0)
    sizes = [
        count_network(run.model, data.sample_shape, data.num_classes).parameters for run in runs
    ]
    probe_size = runs[0].record.probe_size
    inputs = input_statistics(data, probe_size)
    return {
        "run_id": np.array([run.id for run in runs]),
        "name": np.array([run.name for run in runs]),
        "outcome": np.array([outcome for outcome, _ in outcomes]),
        "reason": np.array([reason for _, reason in outcomes]),
        "epochs_run": progress.last_epoch[:num].numpy(),
        "diverged_step": progress.diverged_step[:num].numpy(),
        "best_epoch": progress.best_epoch[:num].numpy(),
        "num_parameters": np.array(sizes),
        "num_features": np.full(num, data.num_features),
        "sample_shape": np.full(num, "x".join(map(str, data.sample_shape))),
        "num_classes": np.full(num, data.num_classes),
        "num_probes": np.full(num, min(probe_size, len(data.train.inputs))),
        "input_mean_square": np.full(num, inputs.mean_square),
        "input_cosine": np.full(num, inputs.cosine),
        "elapsed_s": seconds.numpy(),
    }


def _epoch_columns(runs: Sequence[Run], rows: Tensor, ends: Sequence[int]) -> Columns:
    """Flatten `[E, R, columns]` to one row per run and epoch."""
    counts = [ends[index] + 1 for index in range(len(runs))]
    values = torch.cat([rows[:count, index] for index, count in enumerate(counts)]).numpy()
    return {
        "run_id": np.repeat([run.id for run in runs], counts),
        "epoch": np.concatenate([np.arange(count) for count in counts]),
        **{name: values[:, column] for column, name in enumerate(EPOCH_VALUES)},
    }


def _layer_columns(runs: Sequence[Run], rows: Tensor, ends: Sequence[int]) -> Columns:
    """Flatten `[E, R, L, columns]` to one row per run, epoch and layer."""
    num_layers = rows.shape[2]
    counts = [ends[index] + 1 for index in range(len(runs))]
    pieces = [rows[:count, index].flatten(0, 1) for index, count in enumerate(counts)]
    values = torch.cat(pieces).numpy()
    epochs = np.concatenate([np.arange(count) for count in counts])
    return {
        "run_id": np.repeat([run.id for run in runs], [count * num_layers for count in counts]),
        "epoch": np.repeat(epochs, num_layers),
        "layer": np.tile(np.arange(1, num_layers + 1), len(epochs)),
        **{name: values[:, column] for column, name in enumerate(LAYER_VALUES)},
    }


def _histogram_columns(runs: Sequence[Run], rows: Tensor, ends: Sequence[int]) -> Columns:
    """Flatten `[E, R, L, quantity, edges and counts]` to one row per bin."""
    if not rows.numel():
        return {}
    table: dict[str, list[npt.NDArray[np.generic]]] = {}
    for index, run in enumerate(runs):
        present = rows[: ends[index] + 1, index]
        for epoch, layer, kind in np.argwhere(~np.isnan(present[..., 2].numpy())):
            for name, column in _bins(present[epoch, layer, kind]).items():
                table.setdefault(name, []).append(column)
            size = len(table["bin"][-1])
            keys = {"run_id": run.id, "epoch": epoch, "layer": layer + 1}
            for name, value in {**keys, "quantity": QUANTITIES[kind]}.items():
                table.setdefault(name, []).append(np.full(size, value))
    return {name: np.concatenate(columns) for name, columns in table.items()}


def _bins(row: Tensor) -> Columns:
    low, high, counts = row[0].item(), row[1].item(), row[2:].numpy()
    edges = np.linspace(low, high, len(counts) + 1)
    return {
        "bin": np.arange(len(counts)),
        "low": edges[:-1],
        "high": edges[1:],
        "count": counts.astype(np.int64),
    }


def _member_weights(runs: Sequence[Run], progress: Progress) -> dict[str, Tensor]:
    found = {}
    for index, run in enumerate(runs):
        if run.record.weights == "none":  # they were kept for scores alone
            continue
        kinds = {"last": progress.last}
        # Epoch 0 means that no epoch was ever the best: the run diverged in its first one.
        is_older = 0 < progress.best_epoch[index] < progress.last_epoch[index]
        if is_older and progress.best and run.record.weights == "best_and_last":
            kinds["best"] = progress.best
        for kind, weights in kinds.items():
            for name, tensor in weights.items():
                found[f"{run.id}/{kind}/{name}"] = tensor[index].clone()
    return found
