"""A network without hidden layers, `hidden: []`, from the study to the page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import fathom
from fathom.data.splits import prepare
from fathom.engine.agreement import train_side_by_side
from fathom.errors import FathomError
from fathom.models.mlp import initial_weights
from fathom.spec.grid import Run
from made_data import DIGITS

LINEAR: dict[str, Any] = {
    "name": "linear",
    "data": {"name": "digits", "limit": 128, "scaling": "unit"},
    "activation": "relu",
    "model": {"hidden": []},
    "train": {"epochs": 1, "lr": 0.5, "batch_size": 128},
    "precision": "float64",
}
QUIET: dict[str, Any] = {"workers": 1, "progress": False}


def test_the_three_engines_agree(make_run: Callable[..., Run]) -> None:
    runs = [make_run(hidden=(), precision="float64", loss=loss) for loss in ("hinge", "kl")]
    assert all(found.agree for found in train_side_by_side(runs, prepare(DIGITS), 2))


@pytest.mark.parametrize("engine", ["stacked", "single", "reference"])
def test_one_step_is_that_of_softmax_regression(engine: str, tmp_path: Path) -> None:
    """dE/dW = (softmax(W x + b) - t) x^T, averaged over the batch, which is all the data here."""
    study = fathom.Study(**LINEAR, engine=engine)
    (run,) = study.runs()
    results = study.run(tmp_path, **QUIET)
    data = prepare(run.data)
    x = data.scale(data.train.inputs, torch.float64)
    ((weight, bias),) = initial_weights(run, data.num_features, data.num_classes)
    error = torch.softmax(x @ weight.T + bias, 1)
    error[range(len(x)), data.train.targets] -= 1
    found = results.weights(run.name, "last")
    expected = weight - 0.5 * error.T @ x / len(x)
    torch.testing.assert_close(found["layers.0.weight"], expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        found["layers.0.bias"], bias - 0.5 * error.mean(0), rtol=1e-10, atol=1e-12
    )
    logits = results.network(run.name, "last")(x)
    assert logits.shape == (len(x), data.num_classes)


@pytest.fixture(scope="module")
def mixed() -> fathom.Study:
    """Make a study of a linear classifier beside networks with hidden layers."""
    return fathom.Study(**LINEAR | {"model": {"hidden": [[], [8], [8, 8]]}})


def depths(runs: Sequence[Run]) -> list[int]:
    return [run.model.depth for run in runs]


def test_it_stands_beside_deeper_ones(mixed: fathom.Study, tmp_path: Path) -> None:
    assert depths(mixed.runs()) == [0, 1, 2]
    assert mixed.runs()[0].cell == (("model.hidden", "none"),)
    results = mixed.run(tmp_path, **QUIET)
    assert results.runs["depth"].to_list() == [0, 1, 2]
    assert results.layers.filter(run_id=mixed.runs()[0].id)["layer"].unique().to_list() == [1]
    verdict = results.verdicts.filter(run_id=mixed.runs()[0].id).to_dicts()[0]
    assert verdict["verdict_predicted"] == "no prediction"
    assert "there is no hidden layer" in verdict["sentence_predicted"]
    assert results.report(formats=()).is_file()


def test_a_plan_and_a_prediction_know_it(mixed: fathom.Study) -> None:
    predicted = mixed.predict().to_dicts()
    assert [row["verdict"] == "no prediction" for row in predicted] == [True, False, False]
    assert mixed.plan(workers=1).num_runs == 3


def test_written_out_it_reads_back(tmp_path: Path) -> None:
    study = fathom.Study(**LINEAR)
    (tmp_path / "again.yaml").write_text(study.spec.resolved_yaml())
    again = fathom.Study.load(tmp_path / "again.yaml")
    assert [run.id for run in again.runs()] == [run.id for run in study.runs()]


def test_activations_that_nothing_applies_are_one_run() -> None:
    study = fathom.Study(**LINEAR | {"activation": ["relu", "tanh"]})
    with pytest.raises(
        FathomError, match="the same run: without hidden layers there is no activation; keep one"
    ):
        study.runs()


@pytest.mark.parametrize("init", ["torch_default", "orthogonal"])
def test_initializers(init: str) -> None:
    (run,) = fathom.Study(**LINEAR, init=init).runs()
    ((weight, _),) = initial_weights(run, 64, 10)
    assert weight.isfinite().all()
    assert weight.std() > 0


def test_an_initializer_that_follows_the_activation_is_refused() -> None:
    with pytest.raises(FathomError, match="'critical' follows the activation of a hidden layer"):
        fathom.Study(**LINEAR, init="critical").runs()
