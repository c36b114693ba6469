"""What an engine offers to the loop over epochs, whatever it is made of.

Shapes: R runs, L linear layers (the output layer included).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

from fathom.data.splits import Part
from fathom.engine.probes import LayerView


class TrainingSums(NamedTuple):
    """What one epoch of training tells, all `[R]` in float64.

    Attributes:
        loss: Mean loss over the epoch's batches as they were seen.
        accuracy: Share of hits, seen likewise.
        lr: Learning rate of the last step.
        first_bad_step: First step with a non-finite loss, counted from 1 over all epochs; else -1.
    """

    loss: Tensor
    accuracy: Tensor
    lr: Tensor
    first_bad_step: Tensor


class Scores(NamedTuple):
    """Mean loss and share of hits of every run, `[R]` in float64."""

    loss: Tensor
    accuracy: Tensor


class Engine(Protocol):
    """Trains and measures the runs of one cohort."""

    @property
    def step(self) -> int:
        """Steps taken so far."""

    def train_epoch(self, epoch: int) -> TrainingSums:
        """Train one epoch; `epoch` counts from 1."""

    def evaluate(self, part: Part) -> Scores:
        """Score every run on a part of the data."""

    def probe(self) -> Iterable[LayerView]:
        """Measure every layer on the probe batch as a training step sees it, without an update.

        So `batch_norm` takes the probe batch's own statistics, gradients flow through these, and
        running statistics stay as they are. Running ones would measure another network: before
        training they are 0 and 1, as if nothing were normalised, and gradients that take them for
        constants have directions that no step ever follows.

        A view holds until the next one is asked for.
        """

    def update_ratios(self) -> Tensor:
        """Return the relative size of the last weight step, `[R, L]`; NaN before training."""

    def weights(self) -> Mapping[str, Tensor]:
        """Return what evaluates every run's network: `layers.<l>.<weight|bias>`, `norms.<l>....`.

        The names and shapes are those of `models.mlp.MLP`, behind the runs: `[R, O, I]` and
        `[R, O]`.
        """

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
