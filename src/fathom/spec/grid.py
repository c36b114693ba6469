"""Runs: what one cell of a study's grid and one replicate come to, with everything resolved."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal

from fathom.data.config import DataConfig
from fathom.registry import Choice

Norm = Literal["none", "layer_norm", "batch_norm"]
Skip = Literal["none", "residual"]
Units = Literal["none", "ends", "every"]

PLANE: Final = 2  # features that a decision surface lies over

# Settings of `record` that were added when ids had been written already: where they are what they
# were without being there they do not count, so that runs and studies keep their ids.
_ADDED: Final = {"units": "none", "surfaces": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network of one run.

    Attributes:
        name: Architecture with its parameters, such as `mlp` or `resnet18`.
        hidden: Width of each hidden layer of an mlp, from the input on; empty for others.
        activation: One choice for each hidden layer; one for all layers where it is no mlp.
        init: Initializer of every weight matrix and bias.
        norm: Normalisation of every hidden layer's pre-activations; of an mlp.
        skip: `residual` adds a hidden layer's input to its output where both have one width; of an
            mlp.
    """

    name: Choice
    hidden: tuple[int, ...]
    activation: tuple[Choice, ...]
    init: Choice
    norm: Norm = "none"  # what a description by an earlier version means
    skip: Skip = "none"

    @property
    def depth(self) -> int:
        """Number of an mlp's hidden layers; 0 for other architectures."""
        return len(self.hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How one run is trained.

    Attributes:
        epochs: Passes over the training part, at least 1.
        batch_size: Samples in a mini-batch.
        drop_last: Leave out the last, smaller batch of an epoch.
        lr: Base learning rate, scaled by the schedule.
        optimizer: Update rule with its parameters (momentum, weight decay, ...).
        schedule: Learning-rate schedule.
        clip_norm: Largest L2 norm of a run's whole gradient; None for no clipping.
        patience: Epochs without improvement before the run stops; None to train to the end.
        monitor: Validation metric that early stopping and the best weights go by.
    """

    epochs: int
    batch_size: int
    drop_last: bool
    lr: float
    optimizer: Choice
    schedule: Choice
    clip_norm: float | None
    patience: int | None
    monitor: Literal["validation_accuracy", "validation_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """What is measured and kept.

    Attributes:
        probe_size: Samples in the fixed probe batch, the first of the training part.
        histograms: Also keep histograms of activations, pre-activations and weight gradients.
        scores: Also keep what the best network answers on the test part.
        weights: Which weights are kept.
        units: When the life of units is counted on the whole training part: `ends` is before
            training and after the run's last epoch, `every` also after each other epoch.
        surfaces: Number of frames of the decision surface over the plane; None for none.
    """

    probe_size: int
    histograms: bool
    scores: bool = False
    weights: Literal["best_and_last", "last", "none"]
    units: Units = "none"
    surfaces: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One network to train: every setting resolved, nothing left to a default.

    Attributes:
        name: Readable name, unique in its study: what is swept, shortened, and a piece of the hash.
        seed: Replicate number; with the study's seed it keys the initial weights.
        study_seed: The study's seed.
        engine: Which implementation trains it.
        precision: Floating-point type of weights and activations; `tf32` and `bf16` are float32
            with products that round their factors.
        cell: The swept settings as `(dotted path, readable value)`, for tables and legends.
    """

    name: str
    seed: int
    study_seed: int
    engine: Literal["stacked", "single", "reference"]
    precision: Literal["float32", "float64", "tf32", "bf16"]
    data: DataConfig
    model: ModelConfig
    loss: Choice
    train: TrainConfig
    record: RecordConfig
    cell: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        """Content hash: 16 hexadecimal digits over all settings except names and labels."""
        return config_digest(self, leave_out=("name", "cell"))


def cohort_id(runs: Sequence[Run]) -> str:
    """Hash the runs' ids to 16 hexadecimal digits; the order of the runs does not matter."""
    return hashlib.sha256(" ".join(sorted(run.id for run in runs)).encode()).hexdigest()[:16]


def to_plain(config: Any) -> Any:  # noqa: ANN401 - any JSON value comes out
    """Turn configurations into values that JSON can hold.

    Choices become a name or a mapping, tuples become lists.
    """
    if isinstance(config, Choice):
        return config.to_plain()
    if is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_plain(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, (list, tuple)):
        return [to_plain(item) for item in config]
    return config


def config_digest(config: Any, *, leave_out: tuple[str, ...] = ()) -> str:  # noqa: ANN401
    """Hash a configuration: the first 16 hexadecimal digits of the sha256 of its canonical JSON."""
    plain = {key: value for key, value in to_plain(config).items() if key not in leave_out}
    if "record" in plain:
        record = plain["record"].items()
        plain["record"] = {k: v for k, v in record if k not in _ADDED or v != _ADDED[k]}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
