"""What is looked at, scored and given back is the trained network, with all that it drew."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from fathom import Study
from fathom.api import Results
from fathom.architectures import Act
from fathom.architectures.base import ImageShape
from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import CohortTraining
from fathom.engine.units import count_units
from fathom.spec.grid import Run


class Fourier(nn.Module):
    """Fixed random frequencies as an attribute, and a mask that no `state_dict` holds."""

    def __init__(self, shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> None:
        super().__init__()
        self.frequencies = 0.3 * torch.randn(64, 32)
        self.register_buffer("mask", (torch.rand(32) < 0.7).float(), persistent=False)
        self.hidden, self.output = nn.Linear(32, 16), nn.Linear(16, num_classes)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        features = torch.sin(x.flatten(1) @ self.frequencies) * self.mask
        return self.output(self.act(self.hidden(features)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(
        data={"name": "digits", "protocol": "train_test"},  # so that the last epoch is the best
        engine="single",
        activation="relu",
        model={"name": Fourier},
        train={"epochs": 5, "lr": 0.2},
        record={"units": "ends", "scores": True, "probe_size": 32},
        seeds=[3],
    )


@pytest.fixture(scope="module")
def run(study: Study) -> Run:
    return study.runs()[0]


@pytest.fixture(scope="module")
def data(run: Run) -> PreparedData:
    return prepare(run.data, [])


@pytest.fixture(scope="module")
def results(study: Study, tmp_path_factory: Any) -> Results:
    folder: Path = tmp_path_factory.mktemp("fourier")
    return study.run(folder, executor="inline", progress=False)


def test_units_are_counted_in_the_network_that_trains(run: Run, data: PreparedData) -> None:
    training = CohortTraining([run], data)
    training.start()
    while not training.done:
        training.advance()
    network = training.engine.trainers[0].net  # type: ignore[attr-defined]
    x = data.scale(data.train.inputs, torch.float32)
    (expected,) = count_units(network, x.split(256))
    assert training.progress.seen["units.5.0"][:, 3].equal(expected.active)


def test_scores_are_those_of_the_network_that_trained(run: Run, results: Results) -> None:
    recorded = results.epochs["test_accuracy"][-1]
    assert recorded > 0.5, "the case must learn"
    table = results.frames.scores.sort("sample", "class")
    best = table.group_by("sample").agg(pl.col("label").get(pl.col("logit").arg_max()))
    assert best["label"].mean() == pytest.approx(recorded, abs=1e-9)


def test_the_network_that_comes_back_is_the_one_that_trained(
    run: Run, results: Results, data: PreparedData
) -> None:
    network = results.network(run.id, "last")
    assert not network.training
    with torch.no_grad():
        logits = network(data.scale(data.test.inputs, torch.float32))
    hits = (logits.argmax(1) == data.test.targets).double().mean().item()
    assert hits == pytest.approx(results.epochs["test_accuracy"][-1], abs=1e-9)
    scored = results.frames.scores.sort("sample", "class")["logit"].to_numpy()
    np.testing.assert_allclose(logits.flatten().numpy(), scored, rtol=1e-5, atol=1e-5)
