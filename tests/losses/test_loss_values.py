"""Each loss against torch's with the conventions converted, against formulas, and its scale."""

import math
from collections.abc import Callable

import pytest
import torch
from loss_cases import LAYOUTS, batch, build
from torch import Tensor
from torch.nn import functional as F

from fathom.losses import gradient_scale

K = 5  # of `batch`


def hot(target: Tensor) -> Tensor:
    return F.one_hot(target, K).double()


# torch's loss of one run's batch `[B, K]`, brought to our scale.
TORCHS: list[tuple[str, dict[str, float], Callable[[Tensor, Tensor], Tensor]]] = [
    ("cross_entropy", {}, F.cross_entropy),
    (
        "kl",
        {"label_smoothing": 0.3},
        lambda x, y: F.kl_div(F.log_softmax(x, 1), 0.7 * hot(y) + 0.3 / K, reduction="batchmean"),
    ),
    ("hinge", {"margin": 2.5}, lambda x, y: K * F.multi_margin_loss(x, y, margin=2.5)),
    ("mse", {}, lambda x, y: K / 2 * F.mse_loss(x, hot(y))),
    ("mse_softmax", {}, lambda x, y: K / 2 * F.mse_loss(F.softmax(x, 1), hot(y))),
    ("bce", {}, lambda x, y: K * F.binary_cross_entropy_with_logits(x, hot(y))),
    (
        "bce",
        {"pos_weight": 4.0},
        lambda x, y: (
            K * F.binary_cross_entropy_with_logits(x, hot(y), pos_weight=torch.tensor(4.0))
        ),
    ),
]


@pytest.mark.parametrize(("name", "params", "torchs"), TORCHS)
def test_mean_is_torchs(
    name: str, params: dict[str, float], torchs: Callable[[Tensor, Tensor], Tensor]
) -> None:
    logits, target = batch()
    expected = torch.stack([torchs(run, target) for run in logits])
    mean = build(name, **params).value(logits, target).mean(dim=1)
    torch.testing.assert_close(mean, expected, rtol=1e-14, atol=0)


def test_cross_entropy_of_each_sample_is_torchs() -> None:
    logits, target = batch()
    expected = torch.stack([F.cross_entropy(run, target, reduction="none") for run in logits])
    torch.testing.assert_close(build("ce").value(logits, target), expected)


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_bce_takes_several_labels(weight: float) -> None:
    logits, target = batch()
    labels = hot(target)
    labels[::2, 0] = 1.0  # a second one, or the same
    labels[-1] = 0.0  # none
    loss = build("bce", pos_weight=weight)
    leaf = logits.clone().requires_grad_()
    expected = F.binary_cross_entropy_with_logits(
        leaf, labels.expand_as(leaf), pos_weight=torch.tensor(weight), reduction="none"
    ).sum(2)
    value, grad = loss.value_and_grad(logits, labels)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-14, atol=0)
    torch.testing.assert_close(loss.value(logits, labels), expected.detach(), rtol=1e-14, atol=0)
    (autograd,) = torch.autograd.grad(expected.mean(1).sum(), leaf)
    torch.testing.assert_close(grad, autograd, rtol=1e-13, atol=1e-16)  # of 1 / 7 at most
    alone = loss.value_and_grad(logits, hot(target))
    torch.testing.assert_close(alone, loss.value_and_grad(logits, target), rtol=0, atol=0)


def test_mse_has_the_stated_scale() -> None:
    logits = torch.tensor([[[1.0, 2.0, -1.0]]], dtype=torch.float64)
    value = build("mse").value(logits, torch.tensor([1]))
    assert value.item() == (1.0 + 1.0 + 1.0) / 2


# KL ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kl_of_a_one_hot_target_is_cross_entropy_bit_for_bit(
    dtype: torch.dtype, layout: str
) -> None:
    logits, target = batch(4, 33, 10, dtype)
    logits = LAYOUTS[layout](logits)
    ours, theirs = build("kl"), build("cross_entropy")
    both = zip(
        ours.value_and_grad(logits, target), theirs.value_and_grad(logits, target), strict=True
    )
    assert all(torch.equal(mine, other) for mine, other in both)
    assert torch.equal(ours.value(logits, target), theirs.value(logits, target))


@pytest.mark.parametrize("smoothing", [0.01, 0.3, 0.9])
def test_kl_is_torchs_smoothed_cross_entropy_less_the_entropy(smoothing: float) -> None:
    logits, target = batch()
    soft = (1 - smoothing) * hot(target) + smoothing / K
    entropy = -(soft * soft.log()).sum(1)
    expected = torch.stack([
        F.cross_entropy(run, target, reduction="none", label_smoothing=smoothing) - entropy
        for run in logits
    ])
    value = build("kl", label_smoothing=smoothing).value(logits, target)
    torch.testing.assert_close(value, expected, rtol=1e-13, atol=1e-14)


def test_kl_is_zero_at_its_target_alone() -> None:
    target = torch.arange(K)
    loss = build("kl", label_smoothing=0.2)
    at_target = (0.8 * hot(target) + 0.2 / K).log()[None]
    assert loss.value(at_target, target).abs().max() < 1e-15
    assert loss.grad(at_target, target).abs().max() < 1e-16
    assert (loss.value(batch()[0], batch()[1]) > 1e-3).all()


# Focal -------------------------------------------------------------------------------------------


def test_focal_with_gamma_0_and_alpha_1_is_cross_entropy() -> None:
    logits, target = batch()
    ours = build("focal", gamma=0.0).value_and_grad(logits, target)
    theirs = build("cross_entropy").value_and_grad(logits, target)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(ours[1], theirs[1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("alpha", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_course_form(alpha: float, gamma: float) -> None:
    """E = -sum_k w_k t_k (1 - h_k)^gamma ln h_k, w = alpha t + (1 - alpha) (1 - t)."""
    logits, target = batch()
    t, h = hot(target), torch.softmax(logits, -1)
    weight = alpha * t + (1 - alpha) * (1 - t)
    expected = -(weight * t * (1 - h) ** gamma * h.log()).sum(-1)
    value = build("focal", alpha=alpha, gamma=gamma).value(logits, target)
    # 1 - h loses the digits that h spends on nines.
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_gradient_is_the_published_derivative(gamma: float) -> None:
    """dE/dx_k = alpha/N [gamma p (1-p)^(gamma-1) ln p - (1-p)^gamma] (delta_ky - h_k)."""
    logits, target = batch()
    h = torch.softmax(logits, -1)
    p = h.gather(-1, target[None, :, None].expand(len(h), -1, 1))
    bracket = gamma * p * (1 - p) ** (gamma - 1) * p.log() - (1 - p) ** gamma
    expected = 0.25 * bracket * (hot(target) - h) / len(target)
    grad = build("focal", alpha=0.25, gamma=gamma).grad(logits, target)
    torch.testing.assert_close(grad, expected, rtol=1e-8, atol=1e-15)


# Scale -------------------------------------------------------------------------------------------


def focal_scale(num_classes: int, alpha: float, gamma: float) -> float:
    """Scale by hand: p = 1/K, dE/dm of the log odds, times |(1, -1/(K-1), ...)|."""
    p = 1 / num_classes
    rest = 1 - p
    slope = alpha * rest**gamma * (rest - gamma * p * math.log(p))
    return slope * math.sqrt(1 + 1 / (num_classes - 1))


@pytest.mark.parametrize("num_classes", [2, 10, 37])
def test_gradient_scales_in_closed_form(num_classes: int) -> None:
    k = num_classes
    softmax = math.sqrt(1 - 1 / k)  # |h - t| with h uniform
    expected = [
        (build("cross_entropy"), softmax),
        (build("kl"), softmax),
        (build("kl", label_smoothing=0.25), 0.75 * softmax),
        (build("hinge", margin=5.0), math.sqrt(k * (k - 1))),
        (build("hinge", margin=0.1), math.sqrt(k * (k - 1))),
        (build("hinge", margin=0.0), 0.0),
        (build("focal", gamma=0.0), softmax),
        (build("focal", alpha=0.1, gamma=2.0), focal_scale(k, 0.1, 2.0)),
        (build("focal", alpha=0.25, gamma=0.5), focal_scale(k, 0.25, 0.5)),
        (build("mse"), 1.0),
        (build("mse_softmax"), softmax / k),
        (build("bce"), math.sqrt(k) / 2),
        (build("bce", pos_weight=3.0), math.sqrt(9 + k - 1) / 2),
    ]
    found = [gradient_scale(loss, k) for loss, _ in expected]
    assert found == pytest.approx([scale for _, scale in expected], rel=1e-14)


def test_published_gradient_scales_of_ten_classes() -> None:
    """The scales by which the duel's losses differ: 1 : 10 : 0.122 at one learning rate."""
    scales = [
        gradient_scale(build("cross_entropy"), 10),
        gradient_scale(build("hinge", margin=5.0), 10),
        gradient_scale(build("focal", alpha=0.1, gamma=2.0), 10),
    ]
    assert [round(scale, digits) for scale, digits in zip(scales, (4, 3, 3), strict=True)] == [
        0.9487,
        9.487,
        0.116,
    ]
    assert [round(scale / scales[0], 3) for scale in scales] == [1.0, 10.0, 0.122]


def test_a_gradient_scale_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="num_classes: got 1; must be an integer, >= 2"):
        gradient_scale(build("mse"), 1)
