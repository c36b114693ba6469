"""What the best networks answer on the test part, kept for metrics of single classes.

Shapes: N samples, K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fathom.data.splits import PreparedData
from fathom.engine.precision import dtype_of
from fathom.engine.progress import Columns, Progress
from fathom.models.build import evaluation_batch, rebuilt_network
from fathom.spec.grid import Run


def score_columns(runs: Sequence[Run], progress: Progress, data: PreparedData) -> Columns:
    """Pass the test part through every run's best network.

    Args:
        runs: The runs of a cohort, at their ends.
        progress: What the loop kept of them, weights included.
        data: Their data.

    Returns:
        Columns of `records.SCORE_COLUMNS`; empty where no run records scores.
    """
    if not runs[0].record.scores:
        return {}
    hot_NK = data.test.targets
    if not data.multi_label:
        hot_NK = torch.nn.functional.one_hot(hot_NK, data.num_classes)
    num, num_classes = hot_NK.shape
    names = data.class_names or tuple(map(str, range(num_classes)))
    logits = [_logits(run, index, progress, data) for index, run in enumerate(runs)]
    return {
        "run_id": np.repeat([run.id for run in runs], num * num_classes),
        "sample": np.tile(np.repeat(np.arange(num), num_classes), len(runs)),
        "class": np.tile(np.arange(num_classes), num * len(runs)),
        "class_name": np.tile(np.array(names), num * len(runs)),
        "label": np.tile(hot_NK.long().flatten().numpy(), len(runs)),
        "multi_label": np.full(num * num_classes * len(runs), int(data.multi_label)),
        "logit": torch.cat(logits).double().flatten().numpy(),
    }


@torch.no_grad()
def _logits(run: Run, index: int, progress: Progress, data: PreparedData) -> Tensor:
    """Return a run's logits of the test part, `[N, K]`."""
    dtype = dtype_of(run.precision)
    kept = progress.best if progress.best and progress.best_epoch[index] > 0 else progress.last
    network = rebuilt_network(
        run.model,
        {name: tensor[index] for name, tensor in kept.items()},
        data.sample_shape,
        data.num_classes,
        dtype,
        seeds=(run.study_seed, run.seed),
    )
    size = evaluation_batch(run.model, data.sample_shape, data.num_classes)
    batches = torch.split(data.test.inputs, size)
    return torch.cat([network(data.scale(batch, dtype)) for batch in batches])
