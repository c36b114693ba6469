"""What all tests share: one thread, no denormals, and a short way to write a run."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from fathom.data.config import DataConfig
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig, RecordConfig, Run, TrainConfig

DIGITS = DataConfig(
    name="digits",
    path=None,
    scaling="unit",
    protocol="holdout",
    validation_share=0.2,
    test_share=0.2,
    limit=256,
    seed=0,
)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Train in tests as workers do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


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
            name="mlp",
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
