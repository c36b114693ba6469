"""Whether the three engines agree, and every written derivative is one: measured, here and now."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, final, get_args

import polars as pl

from fathom.activations import ACTIVATIONS
from fathom.api.checks import check
from fathom.data.splits import prepare
from fathom.engine.agreement import CHAOTIC, TOLERANCE, train_side_by_side
from fathom.engine.derivatives import DerivativeDeviations, check_activation, check_loss
from fathom.execution.training import settings_of_workers
from fathom.losses import LOSSES
from fathom.registry import Choice, Registry
from fathom.schedules import SCHEDULES
from fathom.spec import study as spec
from fathom.spec.grid import Norm, Run, Skip

MOST_STEPS: Final = 100_000

# Without surprises of their own: what is tried with everything else.
USUAL_ACTIVATIONS: Final = ["selu", "hardswish", "tanh", "relu", "sigmoid"]
# Beside every loss as it is by default: where a parameter changes the formula.
LOSS_FORMS: Final[list[dict[str, Any]]] = [
    {"name": "kl", "label_smoothing": 0.1},
    {"name": "hinge", "margin": 5.0},
    {"name": "focal", "alpha": 0.25, "gamma": 0.5},
    {"name": "bce", "pos_weight": 9.0},
]
MOMENTUM: Final[dict[str, Any]] = {"name": "sgd", "momentum": 0.9}
OPTIMIZER_FORMS: Final[list[str | dict[str, Any]]] = [
    "sgd",
    MOMENTUM,
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adam",
    {"name": "adam", "weight_decay": 0.01},
    "adamw",
]
SCHEDULE_NUMBERS: Final[dict[str, dict[str, Any]]] = {
    "step": {"every": 7},
    "cosine": {"warmup_epochs": 5, "floor": 0.1},
}
# He's weights lead these to poles or overflow, where rounding is amplified without bound.
CALM_STARTS: Final[dict[str, dict[str, Any]]] = {
    "square": {"name": "he_normal", "factor": 0.5},
    "exp": {"name": "he_normal", "factor": 0.02},
    "tan": {"name": "he_normal", "factor": 0.02},
    "reciprocal": {"name": "normal", "std": 0.05, "bias_std": 1.0},
}
PLAIN: Final[dict[str, Any]] = {"hidden": [12, 10]}
# Where the width changes, as in every plain layer, `permute` leaves units where they are.
ORDERED_ACTIVATIONS: Final = ["sort", "permute"]
ORDERED: Final[dict[str, Any]] = {"hidden": [64, 12, 12]}
# Around the first layer and the third there is a residual connection, around the second not.
REMEDIES: Final[list[dict[str, Any]]] = [
    {"hidden": [64, 12, 12], "norm": norm, "skip": skip}
    for norm in get_args(Norm)
    for skip in get_args(Skip)
    if (norm, skip) != ("none", "none")
]
# A bias before batch_norm has no effect, and its gradient is rounding. So biases start away from 0,
# and Adam's eps is not so small that it makes steps of 1e-9 out of such gradients.
BIASED_START: Final = "torch_default"
REMEDY_OPTIMIZERS: Final[list[str | dict[str, Any]]] = [
    "sgd",
    MOMENTUM,
    {"name": "adam", "eps": 1e-4, "weight_decay": 0.01},
]
REMEDY_ACTIVATIONS: Final = ["selu", "tanh", "relu"]
REMEDY_LOSSES: Final = ["cross_entropy", "hinge"]
BATCH_SIZE: Final = 16
_COMMON: Final[dict[str, Any]] = {
    "precision": "float64",
    "data": {"name": "digits", "limit": 256},
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far the engines are apart, and written derivatives from what they should be.

    Attributes:
        num_steps: Steps that every network was trained.
        trainings: One row for each network: `activation`, `loss`, `optimizer`, `schedule`,
            `norm`, `skip`, `same_state` (each step began from the same state, since the dynamics
            amplifies rounding), the relative deviations `reference_single` and `single_stacked`,
            `moved`, and whether they `agree`; see `fathom.engine.agreement.Deviations`.
        derivatives: One row for each activation and loss: `kind`, `name`, the deviations from
            `autograd` and from `differences`, and whether they `agree`.
    """

    num_steps: int
    trainings: pl.DataFrame
    derivatives: pl.DataFrame

    @property
    def agree(self) -> bool:
        """Whether every single number is within the tolerance."""
        return bool(self.trainings["agree"].all() and self.derivatives["agree"].all())

    @property
    def sentence(self) -> str:
        """What it comes to."""
        counts = f"{self.trainings.height} networks and {self.derivatives.height} derivatives"
        if self.agree:
            return f"All {counts} agree within {TOLERANCE:g}."
        tables = [table.filter(~pl.col("agree")) for table in (self.trainings, self.derivatives)]
        bad = f"{tables[0].height} networks and {tables[1].height} derivatives"
        return f"NOT within {TOLERANCE:g}: {bad}, of {counts}."

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as values that JSON can hold; what is not finite becomes None."""
        return {
            "num_steps": self.num_steps,
            "tolerance": TOLERANCE,
            "agree": self.agree,
            "trainings": _plain_rows(self.trainings),
            "derivatives": _plain_rows(self.derivatives),
        }


def agree(num_steps: int = 50, *, tell: Callable[[str], None] | None = None) -> Agreement:
    """Train tiny networks with all three engines side by side, and check every derivative.

    Every activation with every loss; every form of every loss with every optimizer; every schedule:
    networks 64-12-10-10 on digits, in batches of 16. What moves units with every loss, and every
    normalisation with and without residual connections, for a few activations, losses and
    optimizers: 64-64-12-12-10.

    Args:
        num_steps: Steps to train.
        tell: Told in a sentence how far it has come; it takes about a minute.

    Raises:
        FathomError: If the number of steps is not allowed.
    """
    check("steps", num_steps, minimum=1, maximum=MOST_STEPS, whole=True)
    cohorts = list(_cohorts(num_steps))
    total = sum(map(len, cohorts))
    trainings: list[dict[str, Any]] = []
    with settings_of_workers():
        for runs in cohorts:
            if tell is not None:
                tell(f"{len(trainings)} of {total} networks compared")
            trainings += _train(runs, num_steps)
        derivatives = list(_derivatives())
    return Agreement(
        num_steps=num_steps,
        trainings=pl.DataFrame(trainings),
        derivatives=pl.DataFrame(derivatives),
    )


def _cohorts(num_steps: int) -> Iterator[list[Run]]:
    """Yield the networks to train, those of one cohort together."""
    losses = _built_in(LOSSES)
    calm = [name for name in _built_in(ACTIVATIONS) if name not in CALM_STARTS]
    yield _runs(num_steps, MOMENTUM, activation=calm, loss=losses)
    for name, init in CALM_STARTS.items():
        yield _runs(num_steps, MOMENTUM, activation=name, loss=losses, init=init)
    yield _runs(num_steps, MOMENTUM, model=ORDERED, activation=ORDERED_ACTIVATIONS, loss=losses)
    for optimizer in OPTIMIZER_FORMS:
        yield _runs(num_steps, optimizer, activation=USUAL_ACTIVATIONS, loss=[*losses, *LOSS_FORMS])
    schedules = [{"name": name} | SCHEDULE_NUMBERS.get(name, {}) for name in _built_in(SCHEDULES)]
    yield _runs(num_steps, "sgd", schedule=schedules, activation=USUAL_ACTIVATIONS)
    for model, optimizer in product(REMEDIES, REMEDY_OPTIMIZERS):
        yield _runs(
            num_steps,
            optimizer,
            model=model,
            init=BIASED_START,
            activation=REMEDY_ACTIVATIONS,
            loss=REMEDY_LOSSES,
        )


def _runs(
    num_steps: int,
    optimizer: str | dict[str, Any],
    *,
    schedule: str | Sequence[dict[str, Any]] = "constant",
    model: dict[str, Any] = PLAIN,
    **settings: str | Sequence[str | dict[str, Any]] | dict[str, Any],
) -> list[Run]:
    train = {
        "epochs": num_steps,
        "batch_size": BATCH_SIZE,
        "lr": 0.002,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    return list(spec.Study(**_COMMON, model=model, train=train, **settings).runs())


def _train(runs: Sequence[Run], num_steps: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each network of one cohort."""
    same_state = runs[0].model.activation[0].name in CHAOTIC
    data = prepare(runs[0].data)
    found = train_side_by_side(runs, data, num_steps, from_same_state=same_state)
    for run, deviations in zip(runs, found, strict=True):
        yield {
            "activation": run.model.activation[0].label,
            "loss": run.loss.label,
            "optimizer": run.train.optimizer.label,
            "schedule": run.train.schedule.label,
            "norm": run.model.norm,
            "skip": run.model.skip,
            "same_state": same_state,
            **deviations._asdict(),
            "agree": deviations.agree,
        }


def _derivatives() -> Iterator[dict[str, Any]]:
    """Yield a row for each activation and each form of a loss."""
    for name in _built_in(ACTIVATIONS):
        yield _derivative_row("activation", Choice(name), check_activation(Choice(name)))
    forms = [Choice(name) for name in _built_in(LOSSES)]
    forms += [
        Choice(x["name"], tuple((k, x[k]) for k in sorted(x) if k != "name")) for x in LOSS_FORMS
    ]
    for choice in forms:
        yield _derivative_row("loss", choice, check_loss(choice))


def _derivative_row(kind: str, choice: Choice, found: DerivativeDeviations) -> dict[str, Any]:
    agree = all(deviation <= TOLERANCE for deviation in found)
    return {"kind": kind, "name": choice.label, **found._asdict(), "agree": agree}


def _built_in(registry: Registry[Any]) -> list[str]:
    """Name what comes with the package; the rest is not written by hand."""
    return [name for name in registry.names() if registry.is_built_in(name)]


def _plain_rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        for row in table.iter_rows(named=True)
    ]
