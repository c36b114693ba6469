"""Schedules: closed forms, torch's own schedulers, and what holds at which step."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler as torch_lr

from fathom.errors import ComponentError
from fathom.registry import Choice, Value
from fathom.schedules import SCHEDULES

EPOCHS, STEPS = 12, 7


def factors(name: str, **params: Value) -> list[float]:
    schedule = SCHEDULES.build(Choice(name, tuple(sorted(params.items()))))
    assert schedule.name == name
    return [schedule.factor(s, STEPS, EPOCHS) for s in range(EPOCHS * STEPS)]


def torch_rates(
    make: Callable[[torch.optim.Optimizer], torch_lr.LRScheduler], steps_between: int
) -> list[float]:
    """Follow a torch scheduler over the training from a base rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for step in range(EPOCHS * STEPS):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if (step + 1) % steps_between == 0:
            scheduler.step()
    return rates


def test_constant_is_one() -> None:
    assert factors("constant") == [1.0] * (EPOCHS * STEPS)


def test_step_changes_at_the_first_step_of_the_epoch() -> None:
    got = factors("step", every=4, decay=0.5)
    assert got[: 4 * STEPS] == [1.0] * (4 * STEPS)
    assert got[4 * STEPS : 8 * STEPS] == [0.5] * (4 * STEPS)
    assert got[8 * STEPS :] == [0.25] * (4 * STEPS)


def test_step_is_torchs() -> None:
    expected = torch_rates(lambda o: torch_lr.StepLR(o, step_size=5, gamma=0.3), STEPS)
    assert factors("step", every=5, decay=0.3) == pytest.approx(expected, rel=1e-14)


def test_exponential_is_constant_within_an_epoch_and_torchs() -> None:
    got = factors("exponential", decay=0.9)
    assert got[3 * STEPS : 4 * STEPS] == [math.pow(0.9, 3)] * STEPS
    expected = torch_rates(lambda o: torch_lr.ExponentialLR(o, gamma=0.9), STEPS)
    assert got == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_is_torchs(floor: float) -> None:
    total = EPOCHS * STEPS
    expected = torch_rates(
        lambda o: torch_lr.CosineAnnealingLR(o, T_max=total, eta_min=floor), steps_between=1
    )
    assert factors("cosine", floor=floor) == pytest.approx(expected, rel=1e-11)


def test_cosine_warm_up_is_linear_and_meets_the_cosine_at_one() -> None:
    got = factors("cosine", warmup_epochs=2.0, floor=0.2)
    warmup = 2 * STEPS
    assert got[: warmup + 1] == pytest.approx([(s + 1) / (warmup + 1) for s in range(warmup + 1)])
    assert got[warmup] == 1.0
    assert max(got) == got[warmup]
    middle = warmup + (EPOCHS * STEPS - warmup) // 2
    assert got[middle] == pytest.approx((1.0 + 0.2) / 2)
    assert 0.2 < got[-1] < 0.205


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 4), (1 / 7, 1), (0.0, 0)])
def test_fractions_of_an_epoch_warm_up(epochs: float, steps: int) -> None:
    assert factors("cosine", warmup_epochs=epochs).index(1.0) == steps


def test_a_warm_up_longer_than_the_training_rises_to_the_end() -> None:
    got = factors("cosine", warmup_epochs=100.0)
    assert got == pytest.approx([(s + 1) / (100 * STEPS + 1) for s in range(EPOCHS * STEPS)])
    assert factors("cosine", warmup_epochs=float(EPOCHS))[-1] < 1.0


def test_an_extreme_decay_underflows_to_zero() -> None:
    assert factors("exponential", decay=1e-300)[-1] == 0.0


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("step", {"every": 0}, "every: got 0; must be an integer, >= 1"),
        ("step", {"every": 1.5}, "every: got 1.5; must be an integer"),
        ("step", {"every": True}, "every: got True; must be an integer"),
        ("step", {"decay": 0.0}, "decay: got 0.0; must be a finite number, > 0, <= 1"),
        ("exponential", {"decay": 1.01}, "decay: got 1.01; must be"),
        ("exponential", {"decay": math.nan}, "decay: got nan; must be a finite number"),
        ("cosine", {"floor": -0.1}, "floor: got -0.1; must be"),
        ("cosine", {"warmup_epochs": math.inf}, "warmup_epochs: got inf; must be"),
        ("cosine", {"warmup_epochs": "two"}, "warmup_epochs: got two; must be a finite number"),
        ("cosine", {"warmup": 1.0}, "no parameter 'warmup'"),
    ],
)
def test_bad_parameters_are_told(name: str, params: dict[str, Value], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        factors(name, **params)


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_schedule_starts_at_or_below_the_base_rate(name: str) -> None:
    got = factors(name)
    assert got[0] == 1.0
    assert all(0.0 <= factor <= 1.0 for factor in got)
    assert SCHEDULES.describe(name).endswith(".")
