"""The program of a step: what it counts, and that it never asks the device for a number."""

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fathom import optimizers
from fathom.activations import ACTIVATIONS
from fathom.data.splits import PreparedData, prepare
from fathom.engine.epoch import EpochTables, Repeater
from fathom.engine.stacked import StackedEngine
from fathom.losses import LOSSES
from fathom.spec.grid import Run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def test_tables_hand_out_each_step_and_add_up() -> None:
    tables = EpochTables(2, CPU)
    batches = [torch.tensor([4, 1, 3]), torch.tensor([0, 2])]
    for steps_before in (0, 2):  # the same memory serves every epoch
        rate = torch.tensor([[[0.1], [0.2]], [[0.3], [0.4]]]).view(2, 2, 1, 1)
        tables.begin(batches, {"rate": rate}, steps_before)
        samples, numbers = tables.current(3)
        assert samples.tolist() == [4, 1, 3]
        assert numbers["rate"].flatten().tolist() == pytest.approx([0.1, 0.2])
        tables.note(torch.ones(2, 3), torch.tensor([[1, 1, 0], [0, 0, 0]]))
        samples, numbers = tables.current(2)
        assert samples.tolist() == [0, 2]
        assert numbers["rate"].flatten().tolist() == pytest.approx([0.3, 0.4])
        tables.note(torch.tensor([[1.0, 1.0], [1.0, float("inf")]]), torch.ones(2, 2))
        assert tables.loss_sum.tolist() == [5.0, float("inf")]
        assert tables.hit_sum.tolist() == [4.0, 2.0]
        assert tables.first_bad.tolist() == [-1.0, 2.0 + steps_before]


def test_repeated_does_what_it_is_told() -> None:
    calls: list[int] = []
    repeater = Repeater(CPU)
    for times in (0, 5):
        repeater.repeat(lambda: calls.append(1), times)
    assert len(calls) == 5


def test_an_engine_is_freed_at_once(make_run: Callable[..., Run], data: PreparedData) -> None:
    """A cycle of references would keep one cohort's memory while the next is trained."""
    gc.disable()
    try:
        trained = engine(make_run, data)
        trained.train_epoch(1)
        list(trained.probe())
        gone = weakref.ref(trained)
        del trained
        assert gone() is None
    finally:
        gc.enable()


class NoReadingBack(TorchDispatchMode):
    """Fails on whatever makes the host wait for the device."""

    WAITING = (
        "_local_scalar_dense",
        "nonzero",
        "is_nonzero",
        "masked_select",
        "equal",
        "_unique2",
        "lift_fresh",  # a tensor made of a number on the host
    )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = func.overloadpacket.__name__
        assert name not in self.WAITING, f"{name} waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def adam_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_all_runs(kernel: Any, *args: Any) -> None:
        decoupled = "adamw" in str(kernel)
        optimizers._adam_of_all_runs(*args, decoupled=decoupled)

    monkeypatch.setattr(optimizers, "_adam_run_by_run", of_all_runs)


STEPS = [
    {"optimizer": "sgd"},
    {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}},
    {"optimizer": "adam"},
    {"optimizer": {"name": "adamw", "weight_decay": 0.1}},
    {"optimizer": "sgd", "clip_norm": 0.5},
    {"optimizer": "sgd", "norm": "layer_norm", "skip": "residual", "hidden": (16, 16)},
    {"optimizer": "adam", "norm": "batch_norm", "skip": "residual", "hidden": (16, 16)},
]


def engine(
    make_run: Callable[..., Run],
    data: PreparedData,
    names: Sequence[str] = ("relu", "tanh", "gelu", "spline_sigmoid", "mish"),
    **given: object,
) -> StackedEngine:
    losses = LOSSES.names()
    runs = [
        make_run(**{"activation": name, "loss": losses[seed % len(losses)], "seed": seed} | given)
        for seed, name in enumerate(names)
    ]
    return StackedEngine(runs, data)


@pytest.mark.parametrize("given", STEPS, ids=str)
@pytest.mark.usefixtures("adam_as_on_a_gpu")
def test_no_step_waits_for_the_device(
    given: dict[str, object], make_run: Callable[..., Run], data: PreparedData
) -> None:
    trained = engine(make_run, data, ACTIVATIONS.names(), **given)
    trained.train_epoch(1)  # fills the tables
    trained._tables._row.zero_()
    with torch.inference_mode(), NoReadingBack():
        trained._next_step(8)


def test_the_check_notices_a_step_that_waits() -> None:
    with pytest.raises(AssertionError, match="waits for the device"), NoReadingBack():
        torch.ones(1).item()


@pytest.mark.parametrize(
    "optimizer", ["adam", {"name": "adam", "weight_decay": 0.1}, "adamw"], ids=str
)
def test_adam_of_all_runs_equals_adam_run_by_run(
    optimizer: object,
    make_run: Callable[..., Run],
    data: PreparedData,
    request: pytest.FixtureRequest,
) -> None:
    given = {"optimizer": optimizer, "precision": "float64"}
    here = engine(make_run, data, **given)
    here.train_epoch(1)
    request.getfixturevalue("adam_as_on_a_gpu")
    there = engine(make_run, data, **given)
    there.train_epoch(1)
    for name, tensor in here.weights().items():
        torch.testing.assert_close(there.weights()[name], tensor, rtol=1e-9, atol=1e-12)


class Recording(TorchDispatchMode):
    """Does what a CUDA graph does, on a CPU: the same operations on the same memory, replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            several = isinstance(result, tuple)  # such as sorted numbers and their places
            for old, new in zip(result, again, strict=True) if several else [(result, again)]:
                if isinstance(old, torch.Tensor) and new.data_ptr() != old.data_ptr():
                    old.copy_(new)  # a captured step has its intermediate results in place


class ReplayingRepeater(Repeater):
    """Takes the first step, captures the second, and replays it from then on."""

    def repeat(self, step: Callable[[], None], times: int) -> None:
        if not hasattr(self, "recording"):
            step()
            self.recording = Recording()
            with self.recording:
                step()
            times -= 2
        for _ in range(times):
            self.recording.replay()


@pytest.mark.parametrize("writes_ones", [True, False])
@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "sgd"},
        {"optimizer": {"name": "sgd", "momentum": 0.9}},
        {"optimizer": "adam"},
        {"norm": "layer_norm", "skip": "residual", "hidden": (16, 16)},
        {"norm": "batch_norm", "skip": "residual", "hidden": (16, 16)},
        {"names": ("sort", "permute", "relu", "sort"), "hidden": (16, 16)},
    ],
    ids=str,
)
@pytest.mark.usefixtures("adam_as_on_a_gpu")
def test_a_replayed_step_trains_as_the_step_does(
    given: dict[str, object],
    writes_ones: bool,
    make_run: Callable[..., Run],
    data: PreparedData,
) -> None:
    """Between epochs the memory is used by evaluation, the probe and a smaller last batch."""
    plain, replayed = (engine(make_run, data, **given) for _ in range(2))
    replayed._repeater = ReplayingRepeater(CPU)
    replayed.space.always_writes_ones = writes_ones
    for epoch in (1, 2, 3):
        losses = []
        for trained in (plain, replayed):
            losses.append(trained.train_epoch(epoch).loss)
            trained.evaluate(data.test)
            list(trained.probe())
        agrees = torch.equal(losses[0], losses[1])
        assert agrees or (not writes_ones and epoch > 1)
    # Without the ones in the captured step, the comparison must see the difference.
    assert agrees == writes_ones
