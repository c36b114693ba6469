"""The published study's two landmarks on the whole of MNIST, from its own study file."""

import os
from pathlib import Path

import numpy as np
import pytest

from fathom.data.splits import prepare
from fathom.engine.run import train_cohort
from fathom.engine.tables import CohortResult
from fathom.errors import DataError
from fathom.spec.grid import Run
from fathom.spec.load import load_study

FOLDERS = [Path(p) for p in os.environ.get("FATHOM_DATA", "").split(os.pathsep) if p]


def train(epochs: int, **cell: object) -> tuple[Run, CohortResult]:
    """Train the one cell of `deep-mlp` that is named, as its file says, for some epochs."""
    sets = [f"{key.replace('__', '.')}={value}" for key, value in cell.items()]
    study = load_study("deep-mlp", sets=[*sets, f"train.epochs={epochs}"])
    (run,) = study.runs()
    try:
        data = prepare(run.data, FOLDERS)
    except DataError:
        pytest.skip("MNIST is not at hand: set FATHOM_DATA to a folder that holds MNIST/raw")
    return run, train_cohort([run], data)


@pytest.mark.slow
def test_relu_with_he_at_five_layers_learns() -> None:
    _, result = train(5, activation="relu", init="he_normal", model__depth=5)
    assert result.epochs["test_accuracy"][-1] > 0.93


@pytest.mark.slow
def test_sigmoid_with_xavier_at_ten_layers_does_not_and_the_gradients_show_why() -> None:
    """It answers the commonest digit for ever: 1,135 of the 10,000 test images are ones."""
    _, result = train(5, activation="sigmoid", init="xavier_normal", model__depth=10)
    np.testing.assert_array_equal(result.epochs["test_accuracy"][1:], 0.1135)
    first_epoch = result.layers["epoch"] == 0
    norms = result.layers["grad_norm"][first_epoch]
    assert norms[0] / norms[-1] < 1e-4  # the first layer's gradient beside the last one's
