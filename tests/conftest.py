"""What tests share: one thread, no denormals, a short way to write a run, the command line."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from command import STUDY, Fathom, Outcome
from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES
from fathom.cli import main
from fathom.data.config import DataConfig
from fathom.data.datasets import DATASETS
from fathom.initializers import INITIALIZERS
from fathom.losses import LOSSES
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig, RecordConfig, Run, TrainConfig
from made_data import DIGITS


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Train in tests as workers do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@contextmanager
def _registries_kept() -> Iterator[None]:
    """Forget the components that a test adds: messages of other tests list what is known."""
    tables = [
        (getattr(registry, table), getattr(registry, table).copy())
        for registry in (ACTIVATIONS, ARCHITECTURES, DATASETS, INITIALIZERS, LOSSES)
        for table in ("_factories", "_coded", "_allowed")
    ]
    yield
    for table, before in tables:
        table.clear()
        table.update(before)


@pytest.fixture(autouse=True, scope="module")
def _registries_of_a_file() -> Iterator[None]:
    with _registries_kept():
        yield


@pytest.fixture(autouse=True)
def _registries_of_a_test(_registries_of_a_file: None) -> Iterator[None]:
    with _registries_kept():
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def fathom(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Fathom]:
    """Run a command in this process, which is quick."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path = list(sys.path)

    def call(*args: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fathom", *args])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), printed.out, printed.err)

    yield call
    sys.path[:] = path
    for number, handler in handlers.items():
        signal.signal(number, handler)


def as_choice(value: str | dict[str, Any] | Choice) -> Choice:
    if isinstance(value, Choice):
        return value
    if isinstance(value, str):
        return Choice(value)
    params = {key: item for key, item in value.items() if key != "name"}
    return Choice(value["name"], tuple(sorted(params.items())))


def build_run(
    *,
    activation: Any = "relu",
    init: Any = "he_normal",
    loss: Any = "cross_entropy",
    optimizer: Any = "sgd",
    schedule: Any = "constant",
    hidden: tuple[int, ...] = (12, 10),
    norm: Any = "none",
    skip: Any = "none",
    seed: int = 0,
    engine: Any = "stacked",
    precision: Any = "float32",
    data: DataConfig = DIGITS,
    record: RecordConfig | None = None,
    **train: Any,
) -> Run:
    """Make a run on digits; an activation may be a list, one for each hidden layer."""
    phis = activation if isinstance(activation, list) else [activation] * len(hidden)
    settings: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 32,
        "drop_last": False,
        "lr": 0.05,
        "clip_norm": None,
        "patience": None,
        "monitor": "validation_accuracy",
    }
    return Run(
        name=f"{activation}-{init}-{seed}",
        seed=seed,
        study_seed=42,
        engine=engine,
        precision=precision,
        data=data,
        model=ModelConfig(
            name=Choice("mlp"),
            hidden=hidden,
            activation=tuple(as_choice(phi) for phi in phis),
            init=as_choice(init),
            norm=norm,
            skip=skip,
        ),
        loss=as_choice(loss),
        train=TrainConfig(
            optimizer=as_choice(optimizer), schedule=as_choice(schedule), **(settings | train)
        ),
        record=record or RecordConfig(probe_size=64, histograms=False, weights="best_and_last"),
        cell=(),
    )


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    return build_run
