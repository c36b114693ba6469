"""How far losses step at their rates, and what is said of a comparison."""

import math

import pytest

from fathom.losses import LOSSES, LossStep, compare_steps, loss_step
from fathom.registry import Choice, Value


def step(
    name: str, lr: float = 0.1, optimizer: str = "sgd", num_classes: int = 10, **params: Value
) -> LossStep:
    loss = LOSSES.build(Choice(name, tuple(sorted(params.items()))))
    return loss_step(name, loss, num_classes, optimizer, lr)


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_a_hinge_steps_as_many_times_farther_as_there_are_classes(num_classes: int) -> None:
    """sqrt(K (K - 1)) over sqrt((K - 1) / K) is K."""
    found = step("hinge", num_classes=num_classes)
    assert found.ratio == pytest.approx(num_classes, rel=1e-12)
    expected = math.sqrt(num_classes * (num_classes - 1))
    assert found.scale == pytest.approx(expected, rel=1e-12)
    assert found.first_step == pytest.approx(0.1 * expected, rel=1e-12)
    assert found.words == f"steps {num_classes} times those of cross entropy at one rate"


def test_kl_steps_like_cross_entropy() -> None:
    assert step("kl").ratio == 1
    assert step("kl").words == "steps as long as those of cross entropy at one rate"


def test_adam_divides_the_scale_out() -> None:
    found = step("hinge", optimizer="adamw")
    assert math.isnan(found.first_step)
    assert found.words == "steps of adamw do not depend on it"
    assert "same lengths" in compare_steps([found, step("cross_entropy", optimizer="adamw")])


def test_losses_at_one_rate_step_differently() -> None:
    assert compare_steps([step("hinge"), step("cross_entropy")]).startswith("First steps differ")
    assert compare_steps([step("hinge", 0.01), step("cross_entropy")]).startswith("Every loss")
    assert compare_steps([step("hinge", 0.0102), step("cross_entropy")]).startswith("First steps")


def test_every_step_needs_its_like() -> None:
    fair = [step("cross_entropy", lr) for lr in (0.1, 0.01)]
    fair += [step("hinge", lr) for lr in (0.01, 0.001)]
    assert compare_steps(fair).startswith("Every loss")
    assert compare_steps(fair[:3]).startswith("First steps differ")
    mixed = [step("cross_entropy"), step("hinge", 0.0949, "adam")]
    assert compare_steps(mixed).startswith("First steps differ")


def test_one_loss_is_no_comparison() -> None:
    assert compare_steps([step("hinge"), step("hinge", 1.0)]) == ""
    assert compare_steps([]) == ""
