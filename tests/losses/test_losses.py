"""What every loss keeps: gradients against autograd, and runs that never touch each other."""

import math

import pytest
import torch
from loss_cases import (
    CASE_IDS,
    LAYOUTS,
    LOSS_CASES,
    SHIFT_FREE_CASES,
    SHIFT_FREE_IDS,
    batch,
    build,
    by_autograd,
)
from torch import Tensor

from fathom.errors import ComponentError
from fathom.losses import LOSSES, Loss
from fathom.losses.base import each_run
from fathom.registry import Choice
from fathom.spec.study import Study

over_all = pytest.mark.parametrize("loss", LOSS_CASES, ids=CASE_IDS)
over_shift_free = pytest.mark.parametrize("loss", SHIFT_FREE_CASES, ids=SHIFT_FREE_IDS)
over_layouts = pytest.mark.parametrize("layout", LAYOUTS)


@over_layouts
@over_all
def test_gradient_is_autograds(loss: Loss, layout: str) -> None:
    logits, target = batch()
    logits = LAYOUTS[layout](logits)
    grad = loss.grad(logits, target)
    # Rounding of the largest entry: a weight of 9 makes larger ones.
    atol = 1e-15 * max(1.0, float(grad.abs().max()))
    torch.testing.assert_close(grad, by_autograd(loss, logits, target), rtol=0, atol=atol)


@over_all
def test_gradient_is_that_of_central_differences(loss: Loss) -> None:
    logits, target = batch(1, 4)
    step = 1e-6
    grad = loss.grad(logits, target)
    for sample, label in enumerate(target):
        for k in range(logits.shape[2]):
            shifted = logits[:, sample : sample + 1].repeat(2, 1, 1)
            shifted[0, 0, k] -= step
            shifted[1, 0, k] += step
            below, above = loss.value(shifted, label[None]).flatten().tolist()
            # Rounding: two values below 200 with 16 digits, over the step.
            expected = (above - below) / (2 * step) / len(target)
            assert grad[0, sample, k].item() == pytest.approx(expected, abs=1e-8)


@over_layouts
@over_all
def test_both_at_once_are_value_and_gradient(loss: Loss, layout: str) -> None:
    logits, target = batch()
    logits = LAYOUTS[layout](logits)
    value, grad = loss.value_and_grad(logits, target)
    torch.testing.assert_close(value, loss.value(logits, target), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(grad, loss.grad(logits, target), rtol=0, atol=1e-15)


@over_all
def test_shapes_dtype_and_inputs_survive(loss: Loss) -> None:
    logits, target = batch(dtype=torch.float32)
    before = logits.clone()
    value, grad = loss.value(logits, target), loss.grad(logits, target)
    both = loss.value_and_grad(logits, target)
    for tensor in (value, both[0]):
        assert tensor.shape == (3, 7)
        assert tensor.dtype == torch.float32
    for tensor in (grad, both[1]):
        assert tensor.shape == logits.shape
        assert tensor.dtype == torch.float32
        tensor.zero_()  # the caller may overwrite what it gets
    assert torch.equal(logits, before)


@over_layouts
@over_shift_free
def test_gradients_sum_to_zero_over_classes(loss: Loss, layout: str) -> None:
    logits, target = batch()
    grad = loss.grad(LAYOUTS[layout](logits), target)
    assert grad.sum(dim=-1).abs().max() <= 2e-16 * max(1.0, float(grad.abs().max()))
    assert grad.abs().max() > 1e-3


@over_shift_free
def test_a_shift_of_all_logits_changes_nothing(loss: Loss) -> None:
    logits, target = batch()
    shifted = logits + 100.0
    torch.testing.assert_close(
        loss.value(shifted, target), loss.value(logits, target), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("name", ["bce", "mse"])
def test_the_others_tell_a_shift(name: str) -> None:
    assert build(name).grad(*batch()).sum(dim=-1).abs().min() > 1e-3


@over_layouts
@over_all
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_classes", [2, 10, 37])
def test_a_run_depends_on_its_own_slice_alone(
    loss: Loss, dtype: torch.dtype, num_classes: int, layout: str
) -> None:
    lay_out = LAYOUTS[layout]
    logits, target = batch(32, 33, num_classes, dtype)
    poisoned = logits.clone()
    poisoned[1], poisoned[3] = math.nan, math.inf
    healthy = [r for r in range(32) if r not in {1, 3}]

    def everything(stack: Tensor) -> list[Tensor]:
        stack = lay_out(stack)
        return [
            loss.value(stack, target),
            loss.grad(stack, target),
            *loss.value_and_grad(stack, target),
        ]

    whole, spoiled, flipped = (everything(x) for x in (logits, poisoned, logits.flip(0)))
    for before, after, turned in zip(whole, spoiled, flipped, strict=True):
        assert torch.equal(after[healthy], before[healthy])
        assert torch.equal(turned.flip(0), before)
        assert after[1].isnan().all()
    assert not spoiled[0][3].isfinite().any()
    # Every run in turn: what differs by place does so in a few numbers' last bit.
    for width in (1, 2, 3, 8):
        for start in range(0, 32, width):
            runs = slice(start, start + width)
            for part, all_runs in zip(everything(logits[runs]), whole, strict=True):
                assert torch.equal(part, all_runs[runs])


@pytest.mark.parametrize(("size", "pieces"), [(33, 3), (64, 1)])
def test_elementwise_functions_see_runs_apart(size: int, pieces: int) -> None:
    """A check of the check: not every machine's exponential depends on the place."""
    seen = []

    def function(x: Tensor, *, out: Tensor) -> Tensor:
        seen.append(x.shape)
        return torch.mul(x, 2, out=out)

    stack = torch.rand(3, size, 5 if pieces == 3 else 1)
    assert torch.equal(each_run(function, stack), 2 * stack)
    assert seen == [(3 // pieces, *stack.shape[1:])] * pieces


def test_unknown_loss_suggests_the_nearest() -> None:
    with pytest.raises(ComponentError, match=r"unknown loss 'cross_entropi'.*'cross_entropy'"):
        build("cross_entropi")


@pytest.mark.parametrize(
    ("name", "params", "told"),
    [
        ("hinge", {"margin": -1.0}, r"loss 'hinge': margin: got -1.0; must be .*>= 0, <= 1e\+06"),
        ("hinge", {"margin": math.nan}, "margin: got nan; must be a finite number"),
        ("hinge", {"margin": 1e300}, r"margin: got 1e\+300"),
        ("focal", {"alpha": -0.1}, "loss 'focal': alpha: got -0.1; must be .*>= 0, <= 1"),
        ("focal", {"alpha": 1.1}, "alpha: got 1.1; must be .*<= 1"),
        ("focal", {"gamma": -0.5}, "loss 'focal': gamma: got -0.5; must be .*>= 0"),
        ("focal", {"gamma": math.inf}, "gamma: got inf; must be a finite number"),
        ("kl", {"label_smoothing": 1.0}, "loss 'kl': label_smoothing: got 1.0; must be .*< 1"),
        ("kl", {"label_smoothing": -0.1}, "label_smoothing: got -0.1; must be .*>= 0"),
        ("bce", {"pos_weight": 0.0}, "loss 'bce': pos_weight: got 0.0; must be .*> 0"),
        ("hinge", {"delta": 1.0}, "loss 'hinge' has no parameter 'delta'. Its parameters: margin"),
        ("mse", {"gamma": 1.0}, "loss 'mse' has no parameter 'gamma'. Its parameters: none"),
    ],
)
def test_wrong_parameters_are_refused(name: str, params: dict[str, float], told: str) -> None:
    with pytest.raises(ComponentError, match=told):
        build(name, **params)


def test_parameters_are_swept_by_a_study() -> None:
    study = Study(
        data="digits",
        activation="relu",
        loss=[
            {"name": "hinge", "margin": [1, 5]},
            {"name": "focal", "alpha": 0.25, "gamma": [0, 2]},
            "kl",
            "cross_entropy",
        ],
    )
    assert [run.loss for run in study.runs()] == [
        Choice("hinge"),  # 1 and 2 are defaults, which a choice leaves out
        Choice("hinge", (("margin", 5.0),)),
        Choice("focal", (("alpha", 0.25), ("gamma", 0.0))),
        Choice("focal", (("alpha", 0.25),)),
        Choice("kl"),
        Choice("cross_entropy"),
    ]


@pytest.mark.parametrize("name", LOSSES.names())
def test_records_are_complete(name: str) -> None:
    loss = build(name)
    assert loss.name == name
    assert loss.formula
    assert loss.source
    assert LOSSES.describe(name).endswith(".")
