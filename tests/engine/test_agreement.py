"""Three implementations of training, in float64, step by step: by hand, autograd's, stacked."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from fathom.activations import ACTIVATIONS
from fathom.api.agreement import CALM_STARTS
from fathom.data.splits import PreparedData, prepare
from fathom.engine.agreement import (
    CHAOTIC,
    TOLERANCE,
    Deviations,
    relative_deviations,
    train_side_by_side,
)
from fathom.engine.run import train_cohort
from fathom.errors import FathomError
from fathom.losses import LOSSES
from fathom.spec.grid import Run

OPTIMIZERS = [
    "sgd",
    {"name": "sgd", "momentum": 0.9},
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adam",
    "adamw",
]
# Beside every loss as it is by default: where a parameter changes the formula.
LOSS_FORMS = [
    {"name": "kl", "label_smoothing": 0.1},
    {"name": "hinge", "margin": 5.0},
    {"name": "focal", "alpha": 0.25, "gamma": 0.5},
    {"name": "focal", "alpha": 0.1, "gamma": 5.0},
    {"name": "bce", "pos_weight": 9.0},
]
SCHEDULES = [
    {"name": "step", "every": 7},
    {"name": "exponential", "decay": 0.9},
    {"name": "cosine", "warmup_epochs": 5, "floor": 0.1},
]
STEPS = 50


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def side_by_side(
    runs: list[Run], data: PreparedData, *, from_same_state: bool = False, num_steps: int = STEPS
) -> list[Deviations]:
    """Train in batches of 16 with all three engines."""
    longer = [
        replace(run, train=replace(run.train, epochs=num_steps, batch_size=16)) for run in runs
    ]
    return train_side_by_side(longer, data, num_steps, from_same_state=from_same_state)


def compare(runs: list[Run], data: PreparedData, *, from_same_state: bool) -> float:
    """Return the largest relative deviation of any weight of any engine after any step."""
    found = side_by_side(runs, data, from_same_state=from_same_state)
    assert all(row.moved > 0 for row in found), "nothing was trained"
    return max(max(row.reference_single, row.single_stacked) for row in found)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS.names())
def test_every_activation_with_every_optimizer_agrees(
    name: str, optimizer: object, make_run: Callable[..., Run], data: PreparedData
) -> None:
    init = CALM_STARTS.get(name, "he_normal")
    runs = [
        make_run(
            activation=name, init=init, optimizer=optimizer, precision="float64", seed=seed, lr=lr
        )
        for seed, lr in [(0, 0.005), (1, 0.002)]
    ]
    worst = compare(runs, data, from_same_state=name in CHAOTIC)
    assert worst <= TOLERANCE


@pytest.mark.parametrize(
    ("loss", "optimizer"),
    [*product(LOSSES.names(), OPTIMIZERS), *product(LOSS_FORMS, OPTIMIZERS[:1])],
    ids=str,
)
def test_every_loss_with_every_optimizer_agrees(
    loss: object, optimizer: object, make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [
        make_run(
            activation=phi, loss=loss, optimizer=optimizer, precision="float64", lr=0.01, seed=seed
        )
        for seed, phi in enumerate(["selu", "hardswish", "tanh", "relu", "sigmoid"])
    ]
    assert compare(runs, data, from_same_state=False) <= TOLERANCE


@pytest.mark.parametrize("loss", LOSSES.names())
def test_every_loss_and_clipping_agree(
    loss: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [
        make_run(activation=phi, loss=loss, precision="float64", clip_norm=limit, seed=seed)
        for seed, (phi, limit) in enumerate([("tanh", 0.05), ("relu", 1.0), ("relu", 100.0)])
    ]
    assert compare(runs, data, from_same_state=False) <= TOLERANCE


def test_a_mixed_cohort_agrees(make_run: Callable[..., Run], data: PreparedData) -> None:
    """Activations, losses, initializers and rates mixed within a cohort and within a network."""
    runs = [
        make_run(activation=phi, loss=loss, init=init, precision="float64", lr=lr, seed=3)
        for phi, loss, init, lr in [
            ("relu", "cross_entropy", "he_normal", 0.1),
            (["tanh", "selu"], "cross_entropy", "orthogonal", 0.01),
            ("gelu", "mse", "xavier_uniform", 0.05),
            (["relu", "sigmoid"], "mse", "torch_default", 0.2),
            ("tanh", "kl", "orthogonal", 0.1),
            ("relu", {"name": "hinge", "margin": 1.0}, "he_normal", 0.02),
            ("relu", {"name": "hinge", "margin": 5.0}, "he_normal", 0.02),
            ("selu", {"name": "focal", "gamma": 0.5}, "he_normal", 0.1),
            ("selu", {"name": "focal", "alpha": 0.25}, "he_normal", 0.2),
            ("tanh", "mse_softmax", "xavier_uniform", 0.5),
            (["gelu", "tanh"], {"name": "bce", "pos_weight": 9.0}, "he_normal", 0.02),
        ]
    ]
    assert compare(runs, data, from_same_state=False) <= TOLERANCE


@pytest.mark.parametrize(
    "settings",
    [
        {"schedule": {"name": "step", "every": 1, "decay": 0.5}, "lr": 0.2},
        {"schedule": {"name": "cosine", "warmup_epochs": 1.5}, "optimizer": "adam", "lr": 0.01},
        {"clip_norm": 0.3, "optimizer": {"name": "sgd", "momentum": 0.9}, "drop_last": True},
        {"norm": "layer_norm", "skip": "residual", "hidden": (16, 16)},
        {"norm": "batch_norm", "init": "torch_default"},
        {"norm": "batch_norm", "skip": "residual", "hidden": (16, 16), "init": "torch_default"},
    ],
    ids=str,
)
def test_whole_trainings_record_the_same(
    settings: dict[str, object], make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Every number of every table, through batches, schedules, evaluation and measurement."""
    tables = [
        train_cohort(
            [
                make_run(
                    engine=engine,
                    precision="float64",
                    epochs=3,
                    batch_size=48,
                    seed=seed,
                    activation=phi,
                    **settings,
                )
                for seed, phi in enumerate(["tanh", "gelu"])
            ],
            data,
        )
        for engine in ("stacked", "single", "reference")
    ]
    for kind, exact in (("epochs", {"epoch"}), ("layers", {"epoch", "layer"})):
        stacked, *others = (getattr(result, kind) for result in tables)
        for name, other in product(set(stacked) - {"run_id", "epoch_time_s"}, others):
            tolerance = 0 if name in exact else TOLERANCE
            np.testing.assert_allclose(
                stacked[name], other[name], rtol=tolerance, atol=1e-15, err_msg=name
            )


def test_every_engine_sees_the_same_augmented_images(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    changed = replace(data, config=replace(data.config, augment="flip_crop"))

    def losses(engine: str, seen: PreparedData) -> np.ndarray:
        run = make_run(engine=engine, precision="float64", epochs=3, data=seen.config)
        return train_cohort([run], seen).epochs["train_loss"]

    stacked, single, reference = (losses(e, changed) for e in ("stacked", "single", "reference"))
    np.testing.assert_allclose(stacked, single, rtol=TOLERANCE)
    np.testing.assert_allclose(stacked, reference, rtol=TOLERANCE)
    plain = losses("stacked", data)
    assert plain[0] == stacked[0]  # before training
    assert (np.abs(plain[1:] - stacked[1:]) > 1e-3).all()


def test_the_comparison_notices_a_wrong_update(
    make_run: Callable[..., Run], data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check of the check: an update that is off by a millionth must be seen."""
    from fathom.engine import sinks

    honest = sinks.ApplyUpdate.affine

    def planted(self: sinks.ApplyUpdate, layer: object, left: object, delta: torch.Tensor) -> None:
        honest(self, layer, left, delta * (1 + 1e-6))  # type: ignore[arg-type]

    monkeypatch.setattr(sinks.ApplyUpdate, "affine", planted)
    runs = [make_run(precision="float64", seed=seed) for seed in (0, 1)]
    for row in side_by_side(runs, data):
        assert row.single_stacked > TOLERANCE >= row.reference_single
        assert not row.agree


def test_the_comparison_notices_a_wrong_reference(
    make_run: Callable[..., Run], data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fathom.reference import losses

    def planted(logits: np.ndarray, target: np.ndarray) -> losses.LossAndGrad:
        value, grad = losses.cross_entropy(logits, target)
        return losses.LossAndGrad(value, grad * (1 + 1e-6))

    monkeypatch.setitem(losses.LOSSES, "cross_entropy", planted)
    runs = [make_run(precision="float64", seed=seed) for seed in (0, 1)]
    for row in side_by_side(runs, data):
        assert row.reference_single > TOLERANCE >= row.single_stacked
        assert not row.agree


def test_nan_is_no_agreement(make_run: Callable[..., Run], data: PreparedData) -> None:
    """Three engines that all come to NaN, beside a run that stays finite."""
    wild = make_run(activation="square", hidden=(16, 16, 16), lr=100.0, precision="float64")
    calm = make_run(hidden=(16, 16, 16), precision="float64")
    first, second = side_by_side([wild, calm], data)
    assert first == Deviations(np.inf, np.inf, np.inf)
    assert not first.agree
    assert second.agree
    nan = torch.tensor([[1.0, np.nan], [1.0, 2.0]])
    assert relative_deviations([nan], [nan]).tolist() == [np.inf, 0.0]


def test_standing_still_is_no_agreement(make_run: Callable[..., Run], data: PreparedData) -> None:
    runs = [make_run(precision="float64", seed=seed, lr=0.0) for seed in (0, 1)]
    for row in side_by_side(runs, data, num_steps=2):
        assert row == Deviations(0.0, 0.0, 0.0)
        assert not row.agree


@pytest.mark.parametrize("num_steps", [0, 3])
def test_steps_are_those_of_the_schedule(
    num_steps: int, make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [make_run(precision="float64", seed=seed, epochs=2) for seed in (0, 1)]
    with pytest.raises(FathomError, match="must be an integer from 1 to 2"):
        train_side_by_side(runs, data, num_steps)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_every_schedule_agrees(
    schedule: object, make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [make_run(precision="float64", seed=seed, schedule=schedule) for seed in (0, 1)]
    assert compare(runs, data, from_same_state=False) <= TOLERANCE
