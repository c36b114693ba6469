"""A run's bits do not depend on what trains beside it: cohort size, order, a diverging sibling."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fathom.data.splits import PreparedData, prepare
from fathom.engine.precision import is_available
from fathom.engine.run import train_cohort
from fathom.engine.tables import CohortResult
from fathom.losses import LOSSES
from fathom.spec.grid import Run

ACTIVATIONS = ["relu", "tanh", "sigmoid", "gelu", "selu", "silu", "spline_sigmoid", "softplus"]
ALL_LOSSES = [
    *LOSSES.names(),
    {"name": "hinge", "margin": 5.0},
    {"name": "focal", "gamma": 0.5},
]
PROGRAMS = [
    {"optimizer": "sgd"},
    {"optimizer": {"name": "sgd", "momentum": 0.9}},
    {"optimizer": "adam", "lr": 0.002},
    {"optimizer": "sgd", "clip_norm": 0.5},
    {"optimizer": "sgd", "precision": "bf16"},
    {"optimizer": "sgd", "norm": "layer_norm", "skip": "residual"},
    {"optimizer": {"name": "sgd", "momentum": 0.9}, "norm": "batch_norm"},
    {"optimizer": "adam", "lr": 0.002, "norm": "batch_norm", "skip": "residual"},
    {"optimizer": "sgd", "clip_norm": 0.5, "norm": "layer_norm"},
]


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


ODD = (23, 17, 9)  # no round numbers, on purpose


def members(
    make_run: Callable[..., Run], count: int, hidden: tuple[int, ...] = ODD, **program: object
) -> list[Run]:
    """Make different runs of one program; equal losses are neighbours, as a plan puts them."""
    return [
        make_run(
            activation=ACTIVATIONS[i % len(ACTIVATIONS)],
            loss=ALL_LOSSES[i * len(ALL_LOSSES) // count],
            seed=i,
            hidden=hidden,
            **program,
        )
        for i in range(count)
    ]


def bits_of(result: CohortResult, run: Run) -> dict[str, bytes]:
    """Everything recorded of one run but the times, as bytes."""
    found = {
        name: tensor.numpy().tobytes()
        for name, tensor in result.weights.items()
        if name.startswith(run.id)
    }
    assert found
    for table in (result.epochs, result.layers):
        mine = table["run_id"] == run.id
        for name, column in table.items():
            if name != "epoch_time_s":
                found[name] = np.ascontiguousarray(column[mine]).tobytes()
    return found


@pytest.mark.parametrize("hidden", [ODD, (17, 17), (128, 128), (1,)], ids=str)
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_cohorts_of_any_size_and_order_give_the_same_bits(
    program: dict[str, object],
    hidden: tuple[int, ...],
    make_run: Callable[..., Run],
    data: PreparedData,
) -> None:
    if program.get("precision") == "bf16" and not is_available("bf16", torch.device("cpu")):
        pytest.skip("this CPU has no bfloat16 products")
    if program.get("precision") == "bf16" and hidden == (1,):
        pytest.skip("so small products are not rounded: engine/precision.py, not covered")
    runs = members(make_run, 32, hidden, **program)
    whole = train_cohort(runs, data)
    expected = {run.id: bits_of(whole, run) for run in runs}
    shuffled = [runs[i] for i in torch.randperm(32, generator=torch.Generator().manual_seed(0))]
    for size in (1, 2, 3, 8):
        for start in range(0, 4 * size, size):
            part = shuffled[start : start + size]
            result = train_cohort(part, data)
            for run in part:
                assert bits_of(result, run) == expected[run.id], f"cohort of {size}"


def test_a_diverging_sibling_leaves_no_trace(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    healthy = members(make_run, 3)
    bomb = make_run(activation="exp", lr=1e30, seed=9, hidden=ODD)
    beside = train_cohort([healthy[0], bomb, *healthy[1:]], data)
    apart = train_cohort(healthy, data)
    for run in healthy:
        assert bits_of(beside, run) == bits_of(apart, run)
    index = list(beside.runs["run_id"]).index(bomb.id)
    assert beside.runs["outcome"][index] == "diverged"
    assert 1 <= beside.runs["diverged_step"][index] <= 3
    assert "not finite at step" in str(beside.runs["reason"][index])


def test_a_nan_weight_stays_in_its_run(make_run: Callable[..., Run], data: PreparedData) -> None:
    """Poison one member's weights directly: no product, sum or update may carry it over."""
    from fathom.engine.run import CohortTraining

    runs = members(make_run, 4)
    clean, poisoned = CohortTraining(runs, data), CohortTraining(runs, data)
    poisoned.engine.affines[1].parameter.value[2, 0, 0] = float("nan")  # type: ignore[attr-defined]
    for training in (clean, poisoned):
        training.start()
        training.advance()
    for name, tensor in clean.engine.weights().items():
        other = poisoned.engine.weights()[name]
        for member in (0, 1, 3):
            assert torch.equal(tensor[member], other[member]), name
    assert poisoned.engine.weights()["layers.0.weight"][2].isnan().any()


def test_the_comparison_notices_mixed_runs(
    make_run: Callable[..., Run], data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check of the check: a mean over runs, added in the last place, must be seen."""
    from fathom.engine.stacked import StackedEngine

    honest = StackedEngine.forward

    def planted(self: StackedEngine, *args: object, **options: object) -> torch.Tensor:
        logits = honest(self, *args, **options)  # type: ignore[arg-type]
        return logits + 1e-7 * logits.mean(0, keepdim=True)

    runs = members(make_run, 4)
    monkeypatch.setattr(StackedEngine, "forward", planted)
    whole, part = train_cohort(runs, data), train_cohort(runs[:2], data)
    assert bits_of(whole, runs[0]) != bits_of(part, runs[0])
