"""Losses where naive forms break: huge and equal logits, probabilities 0 and 1, kinks."""

import math

import pytest
import torch
from loss_cases import CASE_IDS, LAYOUTS, LOSS_CASES, batch, build, by_autograd
from torch import Tensor

from fathom.losses import Loss

over_all = pytest.mark.parametrize("loss", LOSS_CASES, ids=CASE_IDS)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def extremes(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the label far ahead and far behind, all equal, some equal, within and at the ends."""
    big = 1e4
    rows = [
        ([big, -big, 0.0], 0),
        ([big, -big, 0.0], 1),
        ([big, -big, 0.0], 2),
        ([big, big, -big], 0),
        ([big, big, big], 1),
        ([-big, -big, -big], 2),
        ([0.0, 0.0, 0.0], 0),
        ([100.0, -100.0, 0.0], 0),
        ([20.0, -20.0, -20.0], 0),
        ([22.0, -22.0, 0.0], 1),  # torch's softplus is rough above 20
        ([40.0, 0.0, -40.0], 0),
    ]
    logits = torch.tensor([[row for row, _ in rows]], dtype=dtype)
    return logits, torch.tensor([label for _, label in rows])


@over_all
@both_types
@pytest.mark.parametrize("layout", LAYOUTS)
def test_extremes_are_finite_and_agree_with_autograd(
    loss: Loss, dtype: torch.dtype, layout: str
) -> None:
    logits, target = extremes(dtype)
    logits = LAYOUTS[layout](logits)
    value, grad = loss.value_and_grad(logits, target)
    autograd = by_autograd(loss, logits, target)
    for tensor in (value, grad, autograd, loss.value(logits, target)):
        assert tensor.isfinite().all()
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(grad, autograd, rtol=8 * eps, atol=8 * eps)
    torch.testing.assert_close(value, loss.value(logits, target), rtol=8 * eps, atol=8 * eps)


@over_all
def test_single_precision_follows_double(loss: Loss) -> None:
    double = loss.value_and_grad(*extremes(torch.float64))
    single = loss.value_and_grad(*extremes(torch.float32))
    for wide, narrow in zip(double, single, strict=True):
        torch.testing.assert_close(narrow.double(), wide, rtol=1e-6, atol=1e-6)


@over_all
@both_types
def test_logits_up_to_1e30(loss: Loss, dtype: torch.dtype) -> None:
    if loss.name == "mse" and dtype == torch.float32:
        pytest.skip("the square of 1e30 is beyond float32: such a run has diverged")
    logits = torch.tensor([[[1e30, -1e30, 0.0], [1e30, -1e30, 0.0]]], dtype=dtype)
    value, grad = loss.value_and_grad(logits, torch.tensor([0, 1]))
    assert value.isfinite().all()
    assert grad.isfinite().all()


@pytest.mark.parametrize("size", [1e4, 1e30])
@both_types
def test_cross_entropy_of_huge_logits(dtype: torch.dtype, size: float) -> None:
    logits = torch.tensor([[[size, -size, 0.0], [size, -size, 0.0]]], dtype=dtype)
    target = torch.tensor([0, 1])
    loss = build("cross_entropy")
    expected = torch.tensor([[0.0, 2 * size]], dtype=dtype)
    torch.testing.assert_close(loss.value(logits, target), expected)
    half = torch.tensor([[[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]]], dtype=dtype)
    assert torch.equal(loss.grad(logits, target), half)


SURE = 1e4  # logits SURE, -SURE, 0: the label's probability is exactly 1 for 0, and 0 for 1


@pytest.mark.parametrize(
    ("loss", "values", "grads"),
    [
        (build("kl"), (0, 2 * SURE), ((0, 0, 0), (1, -1, 0))),
        (build("hinge", margin=5.0), (0, 3 * SURE + 10), ((0, 0, 0), (1, -2, 1))),
        # gamma < 1 too: the slope of a power of 1 - p is infinite where p is 1.
        (build("focal", gamma=0.5), (0, 2 * SURE), ((0, 0, 0), (1, -1, 0))),
        (build("focal", alpha=0.25, gamma=2.0), (0, SURE / 2), ((0, 0, 0), (0.25, -0.25, 0))),
        # Sure and wrong: no gradient is left.
        (build("mse_softmax"), (0, 1), ((0, 0, 0), (0, 0, 0))),
        # A logit of 0 costs ln 2.
        (
            build("bce", pos_weight=3.0),
            (math.log(2), 4 * SURE + math.log(2)),
            ((0, 0, 0.5), (1, -3, 0.5)),
        ),
    ],
    ids=lambda given: given.name if isinstance(given, Loss) else "",
)
@both_types
def test_probabilities_0_and_1_in_closed_form(
    loss: Loss,
    values: tuple[float, float],
    grads: tuple[tuple[float, ...], ...],
    dtype: torch.dtype,
) -> None:
    logits = torch.tensor([[[SURE, -SURE, 0.0]] * 2], dtype=dtype)
    target = torch.tensor([0, 1])
    value, grad = loss.value_and_grad(logits, target)
    torch.testing.assert_close(value, torch.tensor([values], dtype=dtype), rtol=1e-7, atol=0)
    expected = torch.tensor([grads], dtype=dtype) / 2  # of the mean over two samples
    torch.testing.assert_close(grad, expected, rtol=1e-15, atol=0)
    torch.testing.assert_close(by_autograd(loss, logits, target), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize("level", [0.0, 3.0, -1e4])
def test_equal_logits_in_closed_form(num_classes: int, level: float) -> None:
    k = num_classes
    label = 0.8 + 0.2 / k
    entropy = -label * math.log(label) - (k - 1) * 0.2 / k * math.log(0.2 / k)
    expected = [
        (build("cross_entropy"), math.log(k)),
        (build("kl"), math.log(k)),
        (build("kl", label_smoothing=0.2), math.log(k) - entropy),
        (build("hinge", margin=5.0), 5.0 * (k - 1)),
        (build("focal", alpha=0.25, gamma=0.5), 0.25 * math.sqrt(1 - 1 / k) * math.log(k)),
        (build("mse_softmax"), (1 - 1 / k) / 2),
    ]
    target = torch.arange(k)
    logits = torch.full((2, k, k), level, dtype=torch.float64)
    for loss, number in expected:
        value = loss.value(logits, target)
        torch.testing.assert_close(value, torch.full_like(value, number), rtol=1e-14, atol=0)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("lead", [30.0, 100.0])
def test_focal_keeps_its_digits_where_p_is_1(gamma: float, lead: float) -> None:
    """With log odds m -> inf, E -> e^(-(gamma+1) m) and dE/dm -> -(gamma+1) E."""
    logits = torch.tensor([[[lead, 0.0]]], dtype=torch.float64)
    value, grad = build("focal", gamma=gamma).value_and_grad(logits, torch.tensor([0]))
    expected = math.exp(-(gamma + 1) * lead)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert grad[0, 0].tolist() == pytest.approx(
        [-(gamma + 1) * expected, (gamma + 1) * expected], rel=1e-12
    )


@pytest.mark.parametrize("margin", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("level", [0.0, 1e4])
def test_a_margin_that_is_met_exactly_gives_no_gradient(margin: float, level: float) -> None:
    loss = build("hinge", margin=margin)
    logits = torch.tensor([[[level + margin, level, level]]], dtype=torch.float64)
    target = torch.tensor([0])
    assert loss.value(logits, target).item() == 0
    assert not loss.grad(logits, target).any()
    assert not by_autograd(loss, logits, target).any()
    # A hair more to ask for, and both others count.
    short = logits - torch.tensor([1e-9, 0.0, 0.0], dtype=torch.float64)
    assert loss.grad(short, target).tolist() == [[[-2.0, 1.0, 1.0]]]


def test_autograd_of_zero_logits_is_half_in_bce() -> None:
    """A network that starts at zero stands on the corner of |x|, where autograd would say 0."""
    logits = torch.zeros(1, 1, 3, dtype=torch.float64)
    grad = by_autograd(build("bce"), logits, torch.tensor([2]))
    assert grad.tolist() == [[[0.5, 0.5, -0.5]]]


@over_all
def test_float32_gradients_are_finite_at_any_scale(loss: Loss) -> None:
    logits, target = batch(dtype=torch.float32)
    for scale in (1e-30, 1e-3, 1.0, 30.0, 1e4):
        value, grad = loss.value_and_grad(logits * scale, target)
        assert value.isfinite().all()
        assert grad.isfinite().all()
