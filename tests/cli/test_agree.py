"""The verb that shows whether the three engines agree."""

import json
from itertools import product

import numpy as np
import pytest

from command import Fathom
from fathom.activations import ACTIVATIONS
from fathom.losses import LOSSES
from fathom.optimizers import OPTIMIZERS
from fathom.reference import losses, optimizers
from fathom.reference.arrays import Array
from fathom.schedules import SCHEDULES


def test_every_component_has_its_line(fathom: Fathom) -> None:
    outcome = fathom("agree", "--steps", "2")
    assert outcome.code == 0
    lines = {line.split()[0] for line in outcome.out.splitlines() if line}
    names = {line.partition("(")[0] for line in lines}
    for registry in (ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES):
        assert set(registry.names()) <= names
    assert {"layer_norm", "batch_norm", "residual"} <= names
    assert outcome.out.rstrip().endswith("agree within 1e-10.")
    assert "All " in outcome.out
    assert "nan" not in outcome.out


def test_json_has_every_pair(fathom: Fathom) -> None:
    outcome = fathom("agree", "--steps", "1", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert found["agree"] is True
    pairs = {(row["activation"], row["loss"]) for row in found["trainings"]}
    assert {(a, b) for a in ACTIVATIONS.names() for b in LOSSES.names()} <= pairs
    assert all(row["moved"] > 0 for row in found["trainings"])
    remedies = {(row["norm"], row["skip"]) for row in found["trainings"]}
    assert remedies == {*product(["none", "layer_norm", "batch_norm"], ["none", "residual"])}
    kinds = [row["kind"] for row in found["derivatives"]]
    assert kinds.count("activation") == len(ACTIVATIONS.names())
    assert kinds.count("loss") >= len(LOSSES.names())


def test_only_what_is_built_in_is_compared(fathom: Fathom) -> None:
    ACTIVATIONS.add("own_tanh", ACTIVATIONS.factory("tanh"))
    outcome = fathom("agree", "--steps", "1")
    assert outcome.code == 0
    assert "own_tanh" not in outcome.out


@pytest.mark.slow
def test_all_agree_after_fifty_steps(fathom: Fathom) -> None:
    outcome = fathom("agree")
    assert outcome.code == 0
    assert "643 networks on digits" in outcome.out
    assert "50 steps" in outcome.out


@pytest.mark.parametrize("planted", [1 + 1e-7, np.nan])
def test_a_wrong_loss_is_told_with_status_1(
    planted: float, fathom: Fathom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(logits: Array, target: np.ndarray, **parameters: float) -> losses.LossAndGrad:
        value, grad = losses.focal(logits, target, **parameters)
        return losses.LossAndGrad(value, planted * grad)

    monkeypatch.setitem(losses.LOSSES, "focal", wrong)
    outcome = fathom("agree", "--steps", "1", "--json")
    assert outcome.code == 1
    found = json.loads(outcome.out)
    assert not found["agree"]
    bad = {row["name"] for row in found["derivatives"] if not row["agree"]}
    assert bad == {"focal", "focal(alpha=0.25, gamma=0.5)"}
    assert {row["loss"] for row in found["trainings"] if not row["agree"]} == bad


def test_a_wrong_rule_is_told_with_status_1(
    fathom: Fathom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Momentum that is forgotten shows from the second step on."""

    def forgetful(param: Array, grad: Array, state: optimizers.State, **numbers: float) -> None:
        optimizers.sgd(param, grad, {}, **numbers)  # type: ignore[arg-type]

    monkeypatch.setitem(optimizers.OPTIMIZERS, "sgd", forgetful)
    outcome = fathom("agree", "--steps", "2")
    assert outcome.code == 1
    assert "NOT within 1e-10: " in outcome.out
    assert outcome.out.rstrip().endswith("derivatives.")


@pytest.mark.parametrize("steps", ["0", "-3", "1000000"])
def test_steps_have_a_range(steps: str, fathom: Fathom) -> None:
    outcome = fathom("agree", "--steps", steps)
    assert outcome.code == 2
    assert f"steps: got {steps}; must be an integer, >= 1, <= 100000" in outcome.err
