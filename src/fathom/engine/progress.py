"""What the loop over epochs remembers, as tensors that can be saved and loaded.

Shapes: R runs, L linear layers, E epochs (row 0 is before training).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fathom.engine.probes import HISTOGRAM_BINS
from fathom.records import EPOCH_COLUMNS, LAYER_COLUMNS

EPOCH_VALUES: Final = tuple(c.name for c in EPOCH_COLUMNS if c.name not in ("run_id", "epoch"))
LAYER_VALUES: Final = tuple(
    c.name for c in LAYER_COLUMNS if c.name not in ("run_id", "epoch", "layer")
)
QUANTITIES: Final = ("pre_activation", "activation", "grad_weight")
State = dict[str, Tensor]
Columns = dict[str, npt.NDArray[np.generic]]


@dataclass(slots=True, kw_only=True)
class Progress:
    """Everything that the loop remembers beside the engine.

    Attributes:
        epoch: Epochs trained.
        epochs: `[E + 1, R, columns]`, NaN where not reached.
        layers: `[E + 1, R, L, columns]`.
        histograms: `[E + 1, R, L, 3, bins + 2]`, or empty.
        last_epoch: Last epoch that counts for each run `[R]`; -1 while it is going.
        diverged_step: First step with a non-finite loss `[R]`; -1.
        best_score: Best validation score so far `[R]`, larger is better.
        best_epoch: Its epoch `[R]`.
        best: Weights at the best epoch; `last`: weights at the last epoch that counts.
        seen: What was seen of whole networks, see `observations`; empty unless asked for.
    """

    epoch: int
    epochs: Tensor
    layers: Tensor
    histograms: Tensor
    last_epoch: Tensor
    diverged_step: Tensor
    best_score: Tensor
    best_epoch: Tensor
    best: dict[str, Tensor]
    last: dict[str, Tensor]
    seen: dict[str, Tensor]

    def state(self) -> State:
        """Return it as flat tensors."""
        plain: State = {"epoch": torch.tensor(self.epoch)}
        for name in _TENSORS:
            plain[name] = getattr(self, name).clone()
        for kind in _DICTS:
            plain |= {f"{kind}.{k}": v.clone() for k, v in getattr(self, kind).items()}
        return plain

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self.epoch = int(state["epoch"])
        for name in _TENSORS:
            setattr(self, name, state[name].clone())
        for kind in _DICTS:
            prefix = f"{kind}."
            found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            setattr(self, kind, found)


_TENSORS: Final = (
    "epochs",
    "layers",
    "histograms",
    "last_epoch",
    "diverged_step",
    "best_score",
    "best_epoch",
)
_DICTS: Final = ("best", "last", "seen")


def new_progress(width: int, rows: int, num_layers: int, *, keep_histograms: bool) -> Progress:
    """Make the empty progress of `width` runs over `rows` epochs (row 0 included)."""
    shape = (rows, width, num_layers, len(QUANTITIES), HISTOGRAM_BINS + 2)
    return Progress(
        epoch=-1,
        epochs=_nan(rows, width, len(EPOCH_VALUES)),
        layers=_nan(rows, width, num_layers, len(LAYER_VALUES)),
        histograms=_nan(*shape) if keep_histograms else _nan(0),
        last_epoch=torch.full((width,), -1),
        diverged_step=torch.full((width,), -1),
        best_score=torch.full((width,), float("-inf"), dtype=torch.float64),
        best_epoch=torch.zeros(width, dtype=torch.int64),
        best={},
        last={},
        seen={},
    )


def _nan(*shape: int) -> Tensor:
    return torch.full(shape, float("nan"), dtype=torch.float64)
