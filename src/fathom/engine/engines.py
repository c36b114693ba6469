"""The engine that runs ask for, and what it refuses."""

from collections.abc import Sequence

import torch

from fathom.data.splits import PreparedData
from fathom.engine.base import Engine
from fathom.engine.reference import ReferenceEngine
from fathom.engine.single import SingleEngine
from fathom.engine.stacked import CPU, StackedEngine
from fathom.errors import FathomError
from fathom.losses import LOSSES
from fathom.spec.grid import Run


def make_engine(runs: Sequence[Run], data: PreparedData, device: torch.device = CPU) -> Engine:
    """Build the engine that the runs ask for.

    Raises:
        FathomError: If they ask for an engine that knows the CPU alone on another device, for what
            an engine does not have, or if data and loss do not fit.
    """
    name = runs[0].engine
    _check_labels(runs, data)
    if name == "single":
        return SingleEngine(runs, data, device)
    if device.type != "cpu" and name == "reference":
        raise FathomError(
            f"engine '{name}' computes on the CPU alone; leave --device out, or use engine: stacked"
        )
    if device.type != "cpu" and data.config.augment != "none":
        raise FathomError(
            "engine 'stacked' augments on the CPU alone; leave --device out, or data.augment, or "
            "use engine: single"
        )
    return StackedEngine(runs, data, device) if name == "stacked" else ReferenceEngine(runs, data)


def _check_labels(runs: Sequence[Run], data: PreparedData) -> None:
    """Refuse samples with several labels where a loss or an engine takes one.

    Raises:
        FathomError: If one does.
    """
    if not data.multi_label:
        return
    several = f"the samples of '{data.config.name}' may have several"
    for loss in dict.fromkeys(run.loss for run in runs):
        if LOSSES.build(loss).target != "classes":
            raise FathomError(f"loss '{loss.label}' needs one label; {several}; use loss: bce")
    if runs[0].engine != "single":
        name = runs[0].engine
        raise FathomError(f"engine '{name}' needs one label; {several}; use engine: single")
