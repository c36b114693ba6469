"""What a study sets, part by part: the models behind `data`, `model`, `train` and `record`.

Every swept setting is a tuple of values, of one value when nothing is swept. The text below a
setting is what editors show for it.
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES
from fathom.data.config import Augment, Protocol, Scaling
from fathom.data.datasets import DATASETS
from fathom.initializers import INITIALIZERS
from fathom.losses import LOSSES
from fathom.optimizers import OPTIMIZERS
from fathom.registry import Choice
from fathom.schedules import SCHEDULES
from fathom.spec.checks import Axis
from fathom.spec.components import Chosen, Component, Name
from fathom.spec.grid import Norm, Skip, Units
from fathom.spec.values import Flag, Number, Replicates, Text, Texts, Widths, Word

Engine = Literal["stacked", "single", "reference"]
Precision = Literal["float32", "float64", "tf32", "bf16"]
Monitor = Literal["validation_accuracy", "validation_loss"]
Weights = Literal["best_and_last", "last", "none"]

SEED: Final = Number(0, 2**53, whole=True)  # the largest integer that every reader of JSON keeps
DEPTH: Final = Number(1, 1_000, whole=True)
WIDTH: Final = Number(1, 100_000, whole=True)
COUNT: Final = Number(1, 1_000_000, whole=True)
COUNT_OR_NONE: Final = Number(1, 1_000_000_000, whole=True, optional=True)
POSITIVE: Final = Number(0, 1_000_000, open_low=True)
POSITIVE_OR_NONE: Final = Number(0, 1_000_000_000, open_low=True, optional=True)
FRAMES: Final = Number(2, 10_000, whole=True, optional=True)
SHARE: Final = Number(0, 1, open_low=True, open_high=True)


class Part(BaseModel):
    """Settings that belong together; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DataSettings(Part):
    """Which data, and how they are cut and scaled."""

    name: Annotated[tuple[str, ...], Axis(Name(DATASETS))]
    """Data set by name; `arrays` for your own."""
    path: Annotated[str | None, Text(4_096, optional=True)] = None
    """For `arrays` an .npz file with x and y; for data sets of images their folder."""
    image_size: Annotated[int | None, Number(1, 4_096, whole=True, optional=True)] = None
    """Height and width to which decoded images are resized; null to keep their own."""
    classes: Annotated[tuple[str, ...], Texts(100, 1_000)] = ()
    """For `voc`: the classes that are labels, in this order; empty for the usual five."""
    augment: Annotated[tuple[Augment, ...], Axis(Word(get_args(Augment)))] = ("none",)
    """What is done by chance to training images: none, flip, crop or flip_crop."""
    scaling: Annotated[tuple[Scaling, ...], Axis(Word(get_args(Scaling)))] = ("unit",)
    """unit [0, 1]; symmetric [-1, 1]; standard (mean 0, std 1); per_image (the same); none."""
    protocol: Annotated[tuple[Protocol, ...], Axis(Word(get_args(Protocol)))] = ("holdout",)
    """holdout selects on a part of its own, test_as_validation on the test part; or train_test."""
    validation_share: Annotated[tuple[float, ...], Axis(SHARE)] = (0.1,)
    """Share of the training part that holdout sets aside."""
    test_share: Annotated[float, SHARE] = 0.2
    """Share set aside for testing where a data set has no official test part."""
    limit: Annotated[tuple[int | None, ...], Axis(COUNT_OR_NONE)] = (None,)
    """Largest number of samples of each part (train, validation, test); null for all."""
    seed: Annotated[tuple[int, ...], Axis(SEED)] = ()
    """Keys the split and the order of batches; the study's seed when left out."""


class ModelSettings(Part):
    """The network: an mlp by depth and width, or the width of each hidden layer; or another."""

    name: Annotated[tuple[Choice, ...], Axis(Component(ARCHITECTURES))] = (Choice("mlp"),)
    """Architecture; all but mlp are image networks, need engine: single and know no other key."""
    depth: Annotated[tuple[int, ...], Axis(DEPTH)] = (5,)
    """Number of hidden layers."""
    width: Annotated[tuple[int, ...], Axis(WIDTH)] = (128,)
    """Units of every hidden layer."""
    hidden: Annotated[tuple[tuple[int, ...], ...], Axis(Widths(WIDTH, 1_000))] = ()
    """Units of each hidden layer, instead of depth and width; a sweep is a list of lists.

    An empty list, `[]`, is a linear classifier."""
    norm: Annotated[tuple[Norm, ...], Axis(Word(get_args(Norm)))] = ("none",)
    """Normalise each hidden layer before its activation: none, layer_norm or batch_norm."""
    skip: Annotated[tuple[Skip, ...], Axis(Word(get_args(Skip)))] = ("none",)
    """residual adds a hidden layer's input to its output, where both have the same width."""


class TrainSettings(Part):
    """How runs are trained."""

    epochs: Annotated[tuple[int, ...], Axis(Number(1, 100_000, whole=True))] = (5,)
    """Passes over the training part."""
    batch_size: Annotated[tuple[int, ...], Axis(COUNT)] = (128,)
    """Samples in a mini-batch."""
    lr: Annotated[tuple[float, ...], Axis(POSITIVE)] = (0.01,)
    """Base learning rate."""
    optimizer: Annotated[tuple[Choice, ...], Axis(Component(OPTIMIZERS))] = (Choice("sgd"),)
    """Update rule."""
    schedule: Annotated[tuple[Choice, ...], Axis(Component(SCHEDULES))] = (Choice("constant"),)
    """Learning-rate schedule."""
    clip_norm: Annotated[tuple[float | None, ...], Axis(POSITIVE_OR_NONE)] = (None,)
    """Largest L2 norm of a run's whole gradient; null for no clipping."""
    patience: Annotated[tuple[int | None, ...], Axis(COUNT_OR_NONE)] = (None,)
    """Epochs without improvement before a run stops; null to train to the end."""
    monitor: Annotated[Monitor, Word(get_args(Monitor))] = "validation_accuracy"
    """What early stopping and the best weights go by."""
    drop_last: Annotated[bool, Flag()] = False
    """Leave out the last, smaller batch of an epoch."""


class RecordSettings(Part):
    """What is measured and kept."""

    probe_size: Annotated[int, Number(2, 100_000, whole=True)] = 256
    """Samples in the fixed batch that layers are measured on."""
    histograms: Annotated[bool, Flag()] = False
    """Also keep histograms of activations, pre-activations and weight gradients."""
    scores: Annotated[bool, Flag()] = False
    """Also keep what the best network answers on the test part, for metrics of each class."""
    weights: Annotated[Weights, Word(get_args(Weights))] = "best_and_last"
    """Which weights are kept."""
    units: Annotated[Units, Word(get_args(Units))] = "none"
    """Count dead, asleep and saturated units on all training data: none, ends, every (epoch)."""
    surfaces: Annotated[int | None, FRAMES] = None
    """Frames of the decision surface to keep, from epoch 0 to the last; for data of two features.
    """


class StudySettings(Part):
    """What is common to all runs of a study, and every axis that they may differ in."""

    name: Annotated[str, Text(200)] = "study"
    """What the study is called."""
    description: Annotated[str, Text(10_000, empty=True, lines=True)] = ""
    """What it is for."""
    seed: Annotated[int, SEED] = 42
    """With a replicate's number it keys the initial weights."""
    seeds: Annotated[int | tuple[int, ...], Replicates()] = 1
    """Number of replicates of every cell, or a list of their own numbers."""
    engine: Annotated[Engine, Word(get_args(Engine))] = "stacked"
    """stacked trains many runs at once; single one by one, by autograd; reference by hand."""
    precision: Annotated[Precision, Word(get_args(Precision))] = "float32"
    """Floating-point type of weights and activations."""
    activation: Annotated[tuple[Chosen, ...], Axis(Component(ACTIVATIONS, per_layer=True))]
    """Activation of the hidden layers, or one for each: {per_layer: [tanh, selu]}."""
    init: Annotated[tuple[Choice, ...], Axis(Component(INITIALIZERS))] = (Choice("he_normal"),)
    """Initializer of weights and biases."""
    loss: Annotated[tuple[Choice, ...], Axis(Component(LOSSES))] = (Choice("cross_entropy"),)
    """Loss function."""
    data: DataSettings
    """Which data, and how they are cut and scaled."""
    model: ModelSettings = ModelSettings()
    """The network."""
    train: TrainSettings = TrainSettings()
    """How runs are trained."""
    record: RecordSettings = RecordSettings()
    """What is measured and kept."""
