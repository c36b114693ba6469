"""Engine reference: what it shares with the others, what it refuses, what its bits depend on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from fathom.activations import ACTIVATIONS, register_callable
from fathom.data.splits import PreparedData, prepare
from fathom.engine.by_hand import find_by_hand
from fathom.engine.derivatives import check_activation, check_loss
from fathom.engine.engines import make_engine
from fathom.engine.reference import ReferenceEngine
from fathom.engine.run import train_cohort
from fathom.engine.single import SingleEngine
from fathom.errors import FathomError, StudyError
from fathom.losses import LOSSES
from fathom.optimizers import OPTIMIZERS
from fathom.reference import activations, losses, optimizers, schedules
from fathom.registry import Choice, Registry
from fathom.schedules import SCHEDULES
from fathom.spec.grid import Run
from fathom.spec.study import Study

WRITTEN: list[tuple[Registry[Any], Any]] = [
    (ACTIVATIONS, activations.ACTIVATIONS),
    (LOSSES, losses.LOSSES),
    (OPTIMIZERS, optimizers.OPTIMIZERS),
    (SCHEDULES, schedules.SCHEDULES),
]
FOREIGN = "has no .* written by hand; use engine: single"


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def by_hand(make_run: Callable[..., Run], **settings: Any) -> Run:
    return make_run(engine="reference", precision="float64", **settings)


@pytest.mark.parametrize(("registry", "written"), WRITTEN, ids=lambda x: getattr(x, "kind", ""))
def test_everything_built_in_is_written_by_hand(registry: Registry[Any], written: Any) -> None:
    built_in = [name for name in registry.names() if registry.is_built_in(name)]
    assert built_in
    for name in built_in:
        assert find_by_hand(registry, written, Choice(name)) == (written[name], {})


def test_other_names_mean_the_same(make_run: Callable[..., Run], data: PreparedData) -> None:
    settings = [("silu", "cross_entropy", "constant"), ("swish", "ce", "none")]
    engines = [
        ReferenceEngine([by_hand(make_run, activation=a, loss=b, schedule=c)], data)
        for a, b, c in settings
    ]
    for engine in engines:
        engine.train_epoch(1)
    first, second = (engine.weights() for engine in engines)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("norm", ["none", "layer_norm", "batch_norm"])
@pytest.mark.parametrize("skip", ["none", "residual"])
def test_every_layer_is_measured_alike(
    skip: str, norm: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Each tensor of each view, not only what the tables make of it."""
    settings = {"norm": norm, "skip": skip, "hidden": (9, 9), "seed": 1}
    runs = [by_hand(make_run, activation=phi, **settings) for phi in (["gelu", "tanh"], "relu")]
    engines = ReferenceEngine(runs, data), SingleEngine(runs, data)
    for engine in engines:
        engine.train_epoch(1)
    for ours, theirs in zip(*(engine.probe() for engine in engines), strict=True):
        for name in type(ours).__slots__:
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert (mine is None) == (other is None)
            if mine is not None:
                assert mine.shape == other.shape
                torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("norm", ["none", "layer_norm", "batch_norm"])
def test_weights_have_the_names_and_shapes_of_every_engine(
    norm: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    runs = [by_hand(make_run, norm=norm, skip="residual", seed=seed) for seed in (0, 1)]
    ours, theirs = (kind(runs, data).weights() for kind in (ReferenceEngine, SingleEngine))
    assert {x: t.shape for x, t in ours.items()} == {x: t.shape for x, t in theirs.items()}


def test_bits_do_not_depend_on_the_number_of_threads(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """These products have other bits with two threads, as checked first."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(256, 784)), generator.normal(size=(784, 130))
    products, found = [], []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            products.append(a @ b)
            run = by_hand(make_run, hidden=(784, 130), batch_size=256, epochs=1)
            found.append(train_cohort([run], data).weights)
    if np.array_equal(*products):
        pytest.skip("this BLAS has one thread, or the same bits with two")
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_state_is_a_copy(make_run: Callable[..., Run], data: PreparedData) -> None:
    engine = ReferenceEngine([by_hand(make_run, optimizer="adam", norm="batch_norm")], data)
    engine.train_epoch(1)
    state = engine.state()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    engine.train_epoch(2)
    engine.load(state)
    engine.train_epoch(2)
    assert all(torch.equal(state[name], kept[name]) for name in kept)


# What is refused -------------------------------------------------------------------------------


def test_another_precision_is_refused(make_run: Callable[..., Run], data: PreparedData) -> None:
    run = make_run(engine="reference", precision="float32")
    with pytest.raises(FathomError, match="computes in float64; set precision: float64"):
        train_cohort([run], data)


def test_another_device_is_refused(make_run: Callable[..., Run], data: PreparedData) -> None:
    run = make_run(engine="reference", precision="float64")
    with pytest.raises(FathomError, match="engine 'reference' computes on the CPU alone"):
        make_engine([run], data, torch.device("cuda"))


def bent(h: torch.Tensor) -> torch.Tensor:
    return h + h.tanh()


def test_a_function_of_ones_own_is_refused(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    run = by_hand(make_run, activation=register_callable(bent))
    with pytest.raises(FathomError, match=FOREIGN):
        train_cohort([run], data)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, r"1 problem\n  engine: .*computes in float64; set precision: float64"),
        ({"precision": "tf32"}, r"1 problem\n  precision: .*set precision: float64"),
    ],
)
def test_a_study_says_so_before_anything_is_trained(more: dict[str, Any], told: str) -> None:
    with pytest.raises(StudyError, match=told):
        Study(data="digits", activation="relu", engine="reference", **more)


def test_a_study_names_what_is_not_written_by_hand() -> None:
    own = register_callable(bent)
    LOSSES.add("own_loss", LOSSES.factory("mse"))
    settings: dict[str, Any] = {"data": "digits", "activation": ["relu", own], "loss": "own_loss"}
    study = Study(engine="reference", precision="float64", **settings)
    with pytest.raises(StudyError, match="2 problems") as caught:
        study.runs()
    for kind, name in (("activation", "bent"), ("loss", "own_loss")):
        assert f"{kind}: {kind} '{name}' is not built in" in str(caught.value)
    assert len(Study(engine="single", **settings).runs()) == 2


def test_a_study_of_built_in_parts_is_accepted() -> None:
    study = Study(
        data="digits",
        activation=["swish", {"name": "leaky_relu", "slope": 0.1}],
        loss=["ce", {"name": "hinge", "margin": 5}],
        model={"norm": ["none", "layer_norm", "batch_norm"], "skip": ["none", "residual"]},
        engine="reference",
        precision="float64",
    )
    assert {run.engine for run in study.runs()} == {"reference"}


# Derivatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS.names())
def test_activations_have_their_derivatives(name: str) -> None:
    assert max(check_activation(Choice(name))) <= 1e-11


@pytest.mark.parametrize("name", LOSSES.names())
def test_losses_have_their_derivatives(name: str) -> None:
    assert max(check_loss(Choice(name))) <= 1e-11


def test_a_wrong_derivative_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = activations.ACTIVATIONS["tanh"]
    for factor in (1 + 1e-8, np.nan):
        planted = activations.Activation(honest.value, lambda h, f=factor: f * honest.slope(h))  # type: ignore[misc]
        monkeypatch.setitem(activations.ACTIVATIONS, "tanh", planted)
        assert min(check_activation(Choice("tanh"))) > 1e-9
