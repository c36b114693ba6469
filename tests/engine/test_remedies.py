"""Normalised layers and residual connections, stacked against autograd, in float64."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import train_cohort
from fathom.engine.single import SingleEngine
from fathom.engine.stacked import StackedEngine
from fathom.engine.steps import coefficient_table
from fathom.spec.grid import Run

TOLERANCE = 1e-10
STEPS = 50


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def relative_difference(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> float:
    """Largest difference of two lists of tensors, relative to the largest entry of each tensor."""
    assert all(bool(torch.isfinite(x).all()) for x in (*a, *b)), "nothing to compare"
    scale = [max(float(x.abs().max()), 1e-300) for x in b]
    return max(float((x - y).abs().max()) / s for x, y, s in zip(a, b, scale, strict=True))


def compare(runs: list[Run], data: PreparedData) -> float:
    """Train both engines and return the largest relative difference.

    It is that of any weight after any step, and of the loss on new data after the last.
    """
    stacked, single = StackedEngine(runs, data), SingleEngine(runs, data)
    x_all = data.scale(data.train.inputs, torch.float64)
    worst = 0.0
    for step in range(STEPS):
        index = torch.arange(step * 16, step * 16 + 16) % len(data.train.targets)
        x, target = x_all[index], data.train.targets[index]
        stacked.update.coefficients = step_coefficients(runs, step)
        stacked.train_step(torch.cat([x.T, torch.ones(1, len(x)).double()]), target)
        for trainer in single.trainers:
            losses, _ = trainer.losses_and_hits(x, target)
            trainer.descend(losses.mean(), trainer.run.train.lr)
        mine, theirs = stacked.weights(), single.weights()
        worst = max(worst, relative_difference(list(mine.values()), list(theirs.values())))
    losses = [[engine.evaluate(data.test).loss] for engine in (stacked, single)]
    return max(worst, relative_difference(*losses))


def step_coefficients(runs: list[Run], step: int) -> dict[str, torch.Tensor]:
    table = coefficient_table(runs, step + 1, 1, torch.float64)
    return {name: rows[0] for name, rows in table.items()}


@pytest.mark.parametrize(
    "optimizer",
    [{"name": "sgd", "momentum": 0.9}, {"name": "adam", "eps": 1e-4, "weight_decay": 0.01}],
    ids=str,
)
@pytest.mark.parametrize("phi", ["relu", "tanh", "selu"])
@pytest.mark.parametrize("skip", ["none", "residual"])
@pytest.mark.parametrize("norm", ["none", "layer_norm", "batch_norm"])
def test_remedies_agree(
    norm: str,
    skip: str,
    phi: str,
    optimizer: object,
    make_run: Callable[..., Run],
    data: PreparedData,
) -> None:
    """Around the first layer and the third there is a residual connection, around the second not.

    A bias before `batch_norm` has no effect, and its gradient is rounding. So biases start away
    from 0, and Adam's eps is not so small that it makes steps of 1e-9 out of such gradients.
    """
    remedies = {"norm": norm, "skip": skip, "hidden": (64, 12, 12), "init": "torch_default"}
    runs = [
        make_run(
            activation=phi, optimizer=optimizer, precision="float64", seed=seed, lr=lr, **remedies
        )
        for seed, lr in [(0, 0.005), (1, 0.002)]
    ]
    assert compare(runs, data) <= TOLERANCE


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", {"name": "sgd", "weight_decay": 0.01}, {"name": "sgd", "momentum": 0.9}],
    ids=str,
)
@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
def test_a_mixed_normalised_cohort_agrees(
    norm: str, optimizer: object, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Plain descent and decay, and activations and losses mixed."""
    remedies = {"norm": norm, "skip": "residual", "hidden": (9, 9), "init": "torch_default"}
    runs = [
        make_run(
            activation=phi, loss=loss, optimizer=optimizer, precision="float64", lr=lr, **remedies
        )
        for phi, loss, lr in [
            ("relu", "cross_entropy", 0.05),
            (["tanh", "gelu"], "mse", 0.01),
            (["gelu", "selu"], "cross_entropy", 0.02),
        ]
    ]
    assert compare(runs, data) <= TOLERANCE


@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
def test_clipping_counts_the_parameters_of_norms(
    norm: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    remedies = {"norm": norm, "skip": "residual", "init": "torch_default", "hidden": (8, 8)}
    runs = [
        make_run(precision="float64", clip_norm=limit, seed=seed, **remedies)
        for seed, limit in enumerate([0.05, 1.0, 100.0])
    ]
    assert compare(runs, data) <= TOLERANCE


@pytest.mark.parametrize(
    "settings",
    [
        {"norm": "layer_norm", "skip": "residual", "hidden": (16, 16)},
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
        for engine in ("stacked", "single")
    ]
    for kind, exact in (("epochs", {"epoch"}), ("layers", {"epoch", "layer"})):
        stacked, single = (getattr(result, kind) for result in tables)
        for name in set(stacked) - {"run_id", "epoch_time_s"}:
            tolerance = 0 if name in exact else 1e-9
            np.testing.assert_allclose(
                stacked[name], single[name], rtol=tolerance, atol=1e-15, err_msg=name
            )
