"""What is recorded, column by column, with units: the only place where a column is named.

Conventions. *Pre-activation* h is what a linear layer returns, *activation* is phi(h). Layers
count from 1; the last one is the output layer, which has no activation, so its activation columns
are NaN. Epoch 0 is the state before the first step. Layer columns are measured on one fixed probe
batch as a training step sees it, before clipping, with float64 norms. L is the mean loss over the
probe batch.

With a normalisation between the two, pre-activation columns are still those of h = W x + b, and
activation columns those of phi and phi' at the normalised n, which is what phi is given. With a
residual connection the activation is phi's value alone, before the layer's input is added.
`batch_norm` takes the probe batch's own mean and variance for the layer columns, so that gradients
are those that training follows and row 0 shows the normalised network; its running statistics do
not change. Losses and accuracies are those with running statistics, which are mean 0 and variance 1
before training: in row 0, those of the network without normalisation.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

Outcome = Literal["completed", "stopped_early", "diverged"]
UnitState = Literal[
    "alive", "asleep", "dead", "saturated low", "saturated high", "constant", "no number"
]
UNIT_STATES: Final[tuple[UnitState, ...]] = get_args(UnitState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        name: Name in data frames and files.
        unit: Unit in words; `1` for a pure number.
        meaning: One sentence.
        kind: Type of the values.
        volatile: True when a repetition gives another value (times); left out of the canonical
            export.
        optional: True when folders of an earlier version may lack it; null for their runs.
    """

    name: str
    unit: str
    meaning: str
    kind: Literal["text", "int", "float"] = "float"
    volatile: bool = False
    optional: bool = False


_RUN_ID = Column(
    name="run_id", unit="1", kind="text", meaning="Content hash of the run's settings."
)
_EPOCH = Column(
    name="epoch", unit="epochs", kind="int", meaning="Epochs trained; 0 is before training."
)

EPOCH_COLUMNS: Final = (
    _RUN_ID,
    _EPOCH,
    Column(name="lr", unit="1", meaning="Learning rate of the epoch's last step."),
    Column(
        name="train_loss",
        unit="nats",
        meaning="Mean loss over the epoch's batches as they were seen; "
        "at epoch 0 on the probe batch.",
    ),
    Column(name="train_accuracy", unit="share", meaning="Share of hits, seen like train_loss."),
    Column(name="validation_loss", unit="nats", meaning="Mean loss on the validation part."),
    Column(
        name="validation_accuracy", unit="share", meaning="Share of hits on the validation part."
    ),
    Column(name="test_loss", unit="nats", meaning="Mean loss on the test part."),
    Column(name="test_accuracy", unit="share", meaning="Share of hits on the test part."),
    Column(
        name="epoch_time_s",
        unit="s",
        meaning="Wall time of the epoch for the whole cohort divided by its runs.",
        volatile=True,
    ),
)

LAYER_COLUMNS: Final = (
    _RUN_ID,
    _EPOCH,
    Column(
        name="layer", unit="1", kind="int", meaning="Layer, counted from 1; the last is the output."
    ),
    Column(name="act_mean", unit="1", meaning="Mean activation over probe inputs and units."),
    Column(name="act_std", unit="1", meaning="Standard deviation of the activation over the same."),
    Column(name="act_rms", unit="1", meaning="Root mean square of the activation."),
    Column(name="pre_mean", unit="1", meaning="Mean pre-activation over probe inputs and units."),
    Column(name="pre_std", unit="1", meaning="Standard deviation of the pre-activation."),
    Column(
        name="pre_rms", unit="1", meaning="Root mean square of the pre-activation; its square is q."
    ),
    Column(
        name="pre_cosine",
        unit="1",
        meaning="Mean cosine between the pre-activation vectors of two different probe inputs.",
    ),
    Column(name="grad_norm", unit="nats", meaning="L2 norm of dL/dW of the layer's weights."),
    Column(name="grad_mean_abs", unit="nats", meaning="Mean absolute entry of dL/dW."),
    Column(
        name="grad_pre_rms", unit="nats", meaning="Root mean square of dL/dh, L being a mean loss."
    ),
    Column(name="weight_norm", unit="1", meaning="L2 norm of the layer's weights."),
    Column(
        name="update_ratio",
        unit="1",
        meaning="L2 norm of the epoch's last weight step over that of the weights before it.",
    ),
    Column(
        name="dead_share",
        unit="share",
        meaning="Units whose slope phi'(h) is 0 on every probe input.",
    ),
    Column(
        name="soft_dead_share",
        unit="share",
        meaning="Units whose slope is not 0 on less than 1 % of the probe inputs "
        "(dead ones included).",
    ),
    Column(
        name="saturated_share",
        unit="share",
        meaning="Pairs (unit, input) with |phi'(h)| < 5 % of its maximum; NaN for unbounded phi.",
    ),
)

# Not stored: theory gives them again from the settings and the input's statistics. Named like what
# is measured where the two can be laid side by side.
PREDICTION_COLUMNS: Final = (
    _RUN_ID,
    Column(name="layer", unit="1", kind="int", meaning="Hidden layer, counted from 1."),
    Column(
        name="pre_log10",
        unit="decades",
        meaning="Predicted mean of log10 of pre_rms before training.",
    ),
    Column(
        name="pre_log10_sd", unit="decades", meaning="Its standard deviation over initial weights."
    ),
    Column(
        name="gradient_log10",
        unit="decades",
        meaning="Predicted log10 of grad_pre_rms over that of the last hidden layer.",
    ),
    Column(
        name="gradient_log10_sd",
        unit="decades",
        meaning="Its standard deviation over initial weights.",
    ),
    Column(name="pre_cosine", unit="1", meaning="Predicted pre_cosine before training."),
    Column(name="dead_share", unit="share", meaning="Predicted dead_share before training."),
    Column(
        name="saturated_share", unit="share", meaning="Predicted saturated_share before training."
    ),
)

HISTOGRAM_COLUMNS: Final = (
    _RUN_ID,
    _EPOCH,
    Column(name="layer", unit="1", kind="int", meaning="Layer, counted from 1."),
    Column(
        name="quantity",
        unit="1",
        kind="text",
        meaning="pre_activation, activation or grad_weight.",
    ),
    Column(name="bin", unit="1", kind="int", meaning="Bin, counted from 0."),
    Column(name="low", unit="1", meaning="Lower edge of the bin."),
    Column(name="high", unit="1", meaning="Upper edge of the bin."),
    Column(
        name="count", unit="1", kind="int", meaning="Values in the bin; the last edge is included."
    ),
)

SCORE_COLUMNS: Final = (
    _RUN_ID,
    Column(name="sample", unit="1", kind="int", meaning="Sample of the test part, from 0."),
    Column(name="class", unit="1", kind="int", meaning="Class, counted from 0."),
    Column(name="class_name", unit="1", kind="text", meaning="Its name, or its number."),
    Column(name="label", unit="1", kind="int", meaning="1 if the sample is of the class, else 0."),
    Column(
        name="multi_label", unit="1", kind="int", meaning="1 if a sample may have several, else 0."
    ),
    Column(name="logit", unit="1", meaning="What the run's best network answers."),
)

# Counted over the whole training part in evaluation: `batch_norm` by its running statistics. A
# channel of a convolution is a unit and each of its positions a sample; so is each token. After
# `sort` and `permute` a unit is a place in the order.
UNIT_COLUMNS: Final = (
    _RUN_ID,
    _EPOCH,
    Column(
        name="layer",
        unit="1",
        kind="int",
        meaning="Activation, counted from 1 in the order of the signal.",
    ),
    Column(
        name="place",
        unit="1",
        kind="text",
        meaning="The linear map that the activation reads, as weights name it; where the network "
        "does not tell, the activation with a number, such as `relu 2`.",
    ),
    Column(name="unit", unit="1", kind="int", meaning="Unit or channel, counted from 0."),
    Column(
        name="state",
        unit="1",
        kind="text",
        meaning="alive, asleep, dead, saturated low or high, constant, or no number.",
    ),
    Column(
        name="active_share",
        unit="share",
        meaning="Samples with a slope phi'(h) other than 0.",
    ),
    Column(
        name="low_share",
        unit="share",
        meaning="Samples with h < 0 and |phi'(h)| < 5 % of its maximum; NaN for unbounded phi.",
    ),
    Column(name="high_share", unit="share", meaning="Likewise with h >= 0."),
    Column(name="act_min", unit="1", meaning="Smallest phi(h)."),
    Column(name="act_max", unit="1", meaning="Largest phi(h)."),
    Column(name="samples", unit="1", kind="int", meaning="Samples, times positions."),
)

RUN_COLUMNS: Final = (
    _RUN_ID,
    Column(name="name", unit="1", kind="text", meaning="Readable name, unique in the study."),
    Column(name="outcome", unit="1", kind="text", meaning="completed, stopped_early or diverged."),
    Column(name="reason", unit="1", kind="text", meaning="Why it stopped; empty when completed."),
    Column(name="epochs_run", unit="epochs", kind="int", meaning="Epochs that count for the run."),
    Column(
        name="diverged_step",
        unit="steps",
        kind="int",
        meaning="First step with a non-finite loss; -1.",
    ),
    Column(
        name="best_epoch",
        unit="epochs",
        kind="int",
        meaning="Epoch of the best weights; 0 if none was.",
    ),
    Column(
        name="num_parameters",
        unit="1",
        kind="int",
        meaning="Weights and biases, those of normalisations included.",
    ),
    Column(
        name="num_features", unit="1", kind="int", meaning="Entries of an input.", optional=True
    ),
    Column(
        name="sample_shape",
        unit="1",
        kind="text",
        meaning="Shape of an input: 28x28 is a grey image, 3x32x32 a coloured one.",
        optional=True,
    ),
    Column(name="num_classes", unit="1", kind="int", meaning="Classes of the data.", optional=True),
    Column(
        name="num_probes",
        unit="1",
        kind="int",
        meaning="Probe inputs: as many as were asked for, or all training samples if fewer.",
        optional=True,
    ),
    Column(
        name="input_mean_square",
        unit="1",
        meaning="Mean square of the scaled features over probe inputs; |x|^2 / n_0 of theory.",
        optional=True,
    ),
    Column(
        name="input_cosine",
        unit="1",
        meaning="Mean cosine between the scaled vectors of two different probe inputs; "
        "NaN if one is 0.",
        optional=True,
    ),
    Column(name="elapsed_s", unit="s", meaning="Sum of epoch_time_s.", volatile=True),
)
