"""Every update rule against torch's own, run by run, in float64."""

import pytest
import torch

from fathom.errors import ComponentError
from fathom.optimizers import OPTIMIZERS, Optimizer
from fathom.registry import Choice

CASES = [
    Choice("sgd"),
    Choice("sgd", (("weight_decay", 0.1),)),
    Choice("sgd", (("momentum", 0.9),)),
    Choice("sgd", (("momentum", 0.8), ("weight_decay", 0.03))),
    Choice("sgd", (("momentum", 0.9), ("nesterov", True), ("weight_decay", 0.01))),
    Choice("adam"),
    Choice("adam", (("beta1", 0.8), ("eps", 1e-4), ("weight_decay", 0.1))),
    Choice("adamw"),
    Choice("adamw", (("beta2", 0.95), ("weight_decay", 0.2))),
]
RATES = (0.3, 0.01, 1.0)


def coefficients(rule: Optimizer, step: int) -> dict[str, torch.Tensor]:
    rows = [rule.coefficients(rate, step) for rate in RATES]
    return {
        name: torch.tensor([row[name] for row in rows], dtype=torch.float64).view(-1, 1, 1)
        for name in rows[0]
    }


@pytest.mark.parametrize("choice", CASES, ids=lambda c: c.label)
def test_update_equals_torch_for_every_run(choice: Choice) -> None:
    rule = OPTIMIZERS.build(choice)
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(len(RATES), 4, 5, dtype=torch.float64, generator=generator)
    param = start.clone()
    slots = tuple(torch.zeros_like(param) for _ in range(rule.num_slots))
    twins = [member.clone().requires_grad_() for member in start]
    theirs = [rule.torch([twin], rate) for twin, rate in zip(twins, RATES, strict=True)]
    for step in range(1, 21):
        grad = torch.randn(param.shape, dtype=torch.float64, generator=generator)
        for twin, g, optimizer in zip(twins, grad, theirs, strict=True):
            twin.grad = g.clone()
            optimizer.step()
        rule.update(param, grad.clone(), slots, coefficients(rule, step))
    expected = torch.stack([twin.detach() for twin in twins])
    torch.testing.assert_close(param, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "choice", [c for c in CASES if OPTIMIZERS.build(c).fused], ids=lambda c: c.label
)
def test_fused_step_equals_update_with_the_formed_gradient(choice: Choice) -> None:
    rule = OPTIMIZERS.build(choice)
    assert rule.fused is not None
    generator = torch.Generator().manual_seed(2)
    shape = {"dtype": torch.float64, "generator": generator}
    param = torch.randn(3, 4, 5, **shape)
    slots = tuple(torch.randn(3, 4, 5, **shape) for _ in range(rule.num_slots))
    left, right = torch.randn(3, 4, 6, **shape), torch.randn(3, 6, 5, **shape)
    c = coefficients(rule, 1)
    plain, plain_slots = param.clone(), tuple(slot.clone() for slot in slots)
    rule.update(plain, left @ right, plain_slots, c)
    scaled = right if rule.scale is None else right * c[rule.scale]
    rule.fused(param, left, scaled, slots, c)
    torch.testing.assert_close(param, plain, rtol=1e-13, atol=1e-14)
    for slot, other in zip(slots, plain_slots, strict=True):
        torch.testing.assert_close(slot, other, rtol=1e-13, atol=1e-14)


def test_a_first_adam_step_has_the_size_of_the_rate() -> None:
    """With bias correction, m / sqrt(v) is the sign of the gradient at step 1."""
    rule = OPTIMIZERS.build(Choice("adam", (("eps", 0.0),)))
    param = torch.zeros(3, 1, 2, dtype=torch.float64)
    grad = torch.tensor([[[1e-6, -5.0]]], dtype=torch.float64).repeat(3, 1, 1)
    slots = (torch.zeros_like(param), torch.zeros_like(param))
    rule.update(param, grad, slots, coefficients(rule, 1))
    expected = torch.tensor(RATES, dtype=torch.float64).view(-1, 1, 1) * torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(param, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ((("momentum", 1.0),), r"momentum: got 1\.0; must be a finite number, >= 0, < 1"),
        ((("momentum", float("nan")),), "momentum: got nan"),
        ((("weight_decay", -0.1),), r"weight_decay: got -0\.1; must be a finite number, >= 0"),
        ((("nesterov", True),), "nesterov: needs a momentum"),
    ],
)
def test_bad_parameters_are_refused(params: tuple[tuple[str, float], ...], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        OPTIMIZERS.build(Choice("sgd", params))


def test_runs_may_differ_in_numbers_but_not_in_operations() -> None:
    def program(name: str, **params: float) -> tuple[str | bool, ...]:
        return OPTIMIZERS.build(Choice(name, tuple(sorted(params.items())))).program

    assert program("sgd", momentum=0.9) == program("sgd", momentum=0.5)
    assert program("sgd", momentum=0.9) != program("sgd")
    assert program("adam", beta1=0.8) == program("adam")
    assert program("adamw") != program("adam")
