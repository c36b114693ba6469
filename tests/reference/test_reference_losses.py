"""Losses by hand against torch, against differences, in closed form and at the extremes."""

import inspect
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.losses import LOSSES as REGISTRY
from fathom.reference.arrays import Array, Labels
from fathom.reference.losses import LOSSES, Loss, kl_from
from fathom.registry import Choice

NUM_CLASSES = 7
Parameters = dict[str, float]


def softened(x: Tensor, y: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * F.one_hot(y, x.shape[1]).to(x) + smoothing / x.shape[1]


def torch_focal(x: Tensor, y: Tensor, alpha: float = 1.0, gamma: float = 2.0) -> Tensor:
    surprise = F.cross_entropy(x, y, reduction="none")
    return alpha * (1 - torch.exp(-surprise)) ** gamma * surprise


def torch_bce(x: Tensor, y: Tensor, pos_weight: float = 1.0) -> Tensor:
    weight = torch.full((x.shape[1],), pos_weight, dtype=x.dtype)
    one_hot = F.one_hot(y, x.shape[1]).to(x)
    return F.binary_cross_entropy_with_logits(x, one_hot, pos_weight=weight, reduction="none").sum(
        1
    )


def torch_kl(x: Tensor, y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    soft = softened(x, y, label_smoothing)
    return F.kl_div(F.log_softmax(x, 1), soft, reduction="none").sum(1)


def torch_hinge(x: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    return x.shape[1] * F.multi_margin_loss(x, y, margin=margin, reduction="none")


TORCH: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": lambda x, y: F.cross_entropy(x, y, reduction="none"),
    "kl": torch_kl,
    "hinge": torch_hinge,
    "focal": torch_focal,
    "mse": lambda x, y: F.mse_loss(x, softened(x, y, 0), reduction="none").sum(1) / 2,
    "mse_softmax": lambda x, y: torch.square(F.softmax(x, 1) - softened(x, y, 0)).sum(1) / 2,
    "bce": torch_bce,
}
CASES: list[tuple[str, Parameters]] = [
    *((name, {}) for name in TORCH),
    ("kl", {"label_smoothing": 0.1}),
    ("kl", {"label_smoothing": 0.75}),
    ("hinge", {"margin": 5.0}),
    ("hinge", {"margin": 0.25}),
    ("focal", {"alpha": 0.1, "gamma": 2.0}),
    ("focal", {"alpha": 0.25, "gamma": 0.5}),
    ("focal", {"alpha": 1.0, "gamma": 0.0}),
    ("focal", {"alpha": 0.7, "gamma": 1.0}),
    ("focal", {"alpha": 1.0, "gamma": 5.0}),
    ("bce", {"pos_weight": 9.0}),
]
IDS = [f"{name}-{'-'.join(map(str, parameters.values()))}" for name, parameters in CASES]
every_case = pytest.mark.parametrize(("name", "parameters"), CASES, ids=IDS)
SUMS_TO_ZERO = [case for case in CASES if case[0] not in {"mse", "bce"}]


def made(name: str, parameters: Parameters) -> Loss:
    return partial(LOSSES[name], **parameters)


def batch(scale: float = 3.0, size: int = 40) -> tuple[Array, Labels]:
    generator = np.random.default_rng(0)
    target = generator.integers(0, NUM_CLASSES, size)
    return scale * generator.normal(size=(size, NUM_CLASSES)), target


@every_case
@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_value_and_gradient_are_those_of_torch(
    name: str, parameters: Parameters, scale: float
) -> None:
    logits, target = batch(scale)
    x = torch.from_numpy(logits).requires_grad_()
    losses = TORCH[name](x, torch.from_numpy(target), **parameters)
    (grad,) = torch.autograd.grad(losses.mean(), x)
    ours = made(name, parameters)(logits, target)
    assert ours.value.shape == (len(target),)
    np.testing.assert_allclose(ours.value, losses.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours.grad, grad.numpy(), rtol=1e-12, atol=1e-15)


@every_case
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e4])
def test_value_and_gradient_are_those_of_the_registry(
    name: str, parameters: Parameters, scale: float
) -> None:
    logits, target = batch(scale)
    record = REGISTRY.build(Choice(name, tuple(parameters.items())))
    x, y = torch.from_numpy(logits)[None], torch.from_numpy(target)
    ours = made(name, parameters)(logits, target)
    np.testing.assert_allclose(ours.value, record.value(x, y)[0].numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ours.grad, record.grad(x, y)[0].numpy(), rtol=1e-12, atol=1e-15)


def test_names_and_defaults_are_those_of_the_registry() -> None:
    assert sorted(LOSSES) == sorted(TORCH)
    for name, loss in LOSSES.items():
        _, _, *parameters = inspect.signature(loss).parameters.values()
        theirs = {key: item.default for key, item in REGISTRY.parameters(name).items()}
        assert {item.name: item.default for item in parameters} == theirs


@every_case
def test_gradient_is_the_limit_of_differences(name: str, parameters: Parameters) -> None:
    logits, target = batch()
    loss = made(name, parameters)
    ours, step = loss(logits, target).grad, 1e-6
    for k in range(NUM_CLASSES):
        shift = step * (np.arange(NUM_CLASSES) == k)
        rise = loss(logits + shift, target).value - loss(logits - shift, target).value
        np.testing.assert_allclose(
            ours[:, k] * len(target), rise / (2 * step), rtol=1e-7, atol=2e-8
        )


@pytest.mark.parametrize(("name", "parameters"), SUMS_TO_ZERO)
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0, 1e4])
def test_gradient_sums_to_0_over_classes(name: str, parameters: Parameters, scale: float) -> None:
    """A constant added to all logits of a sample changes nothing."""
    logits, target = batch(scale)
    loss = made(name, parameters)
    grad = loss(logits, target).grad
    np.testing.assert_allclose(grad.sum(1), 0, rtol=0, atol=1e-16)
    shifted = loss(logits + 2.0, target)
    np.testing.assert_allclose(shifted.grad, grad, rtol=0, atol=1e-12)


def test_bce_and_mse_see_a_shift() -> None:
    logits, target = batch()
    for name in ("bce", "mse"):
        assert np.abs(LOSSES[name](logits, target).grad.sum(1)).max() > 0.01


# Closed forms ----------------------------------------------------------------------------------


def test_gradient_lengths_at_equal_probabilities() -> None:
    """The duel compared these at one learning rate: 1 to 10 to 0.12."""
    ten, target, p = np.zeros((1, 10)), np.array([3]), 0.1
    fading = 0.1 * (0.9**2 - 2 * p * 0.9 * math.log(p))
    for name, parameters, length in [
        ("cross_entropy", {}, math.sqrt(0.9)),
        ("hinge", {"margin": 5.0}, math.sqrt(90)),
        ("focal", {"alpha": 0.1, "gamma": 2.0}, fading * math.sqrt(0.9)),
    ]:
        grad = made(name, parameters)(ten, target).grad
        assert np.linalg.norm(grad) == pytest.approx(length, rel=1e-14)


def test_values_on_1_2_3() -> None:
    """Three classes, one by one, where all can be done by hand."""
    logits, target = np.array([[1.0, 2.0, 3.0]]), np.array([1])
    exps = [math.exp(x) for x in (1, 2, 3)]
    h = [e / sum(exps) for e in exps]
    expected = {
        "cross_entropy": -math.log(h[1]),
        "kl": -math.log(h[1]),
        "hinge": 0 + 2.0,
        "focal": -((1 - h[1]) ** 2) * math.log(h[1]),
        "mse": (1 + 1 + 9) / 2,
        "mse_softmax": (h[0] ** 2 + (h[1] - 1) ** 2 + h[2] ** 2) / 2,
        "bce": sum(math.log(1 + math.exp(z)) for z in (1, -2, 3)),
    }
    for name, value in expected.items():
        assert LOSSES[name](logits, target).value == pytest.approx(value, rel=1e-14)


def test_kl_of_one_hot_targets_is_cross_entropy() -> None:
    logits, target = batch()
    for ours, theirs in zip(
        LOSSES["kl"](logits, target), LOSSES["cross_entropy"](logits, target), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_kl_is_0_at_its_target_and_positive_elsewhere() -> None:
    logits, target = batch()
    loss = made("kl", {"label_smoothing": 0.3})
    assert (loss(logits, target).value > 0).all()
    soft = 0.7 * np.eye(NUM_CLASSES)[target] + 0.3 / NUM_CLASSES
    value, grad = loss(np.log(soft) + 5, target)
    np.testing.assert_allclose(value, 0, atol=1e-15)
    np.testing.assert_allclose(grad, 0, atol=1e-16)


@pytest.mark.parametrize("total", [1.0, 0.4, 2.5])
def test_kl_takes_any_soft_target(total: float) -> None:
    """Also one that does not sum to 1, and one with zeros: the gradient is h sum t - t."""
    logits, target = batch()
    rng = np.random.default_rng(3)
    soft = rng.dirichlet(np.full(NUM_CLASSES, 0.3), len(target))
    soft[0] = np.eye(NUM_CLASSES)[2]
    soft *= total
    value, grad = kl_from(logits, soft)
    leaf = torch.tensor(logits, requires_grad=True)
    theirs = F.kl_div(F.log_softmax(leaf, 1), torch.tensor(soft), reduction="none").sum(1)
    theirs.mean().backward()
    np.testing.assert_allclose(value, theirs.detach(), rtol=1e-12, atol=1e-13)
    assert leaf.grad is not None
    np.testing.assert_allclose(grad, leaf.grad, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(grad.sum(1), 0, atol=1e-14)


def test_focal_without_fading_is_cross_entropy() -> None:
    logits, target = batch()
    ours = made("focal", {"alpha": 1.0, "gamma": 0.0})(logits, target)
    theirs = LOSSES["cross_entropy"](logits, target)
    np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-13)
    np.testing.assert_allclose(ours.grad, theirs.grad, rtol=0, atol=1e-16)


def test_hinge_has_slope_0_where_the_margin_is_met_exactly() -> None:
    value, grad = LOSSES["hinge"](np.array([[3.0, 2.0, 2.5]]), np.array([0]))
    assert (value.tolist(), grad.tolist()) == ([0.5], [[-1.0, 0.0, 1.0]])


# Extremes --------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_huge_logits_give_numbers(name: str, parameters: Parameters, scale: float) -> None:
    """Probabilities are 0 and 1 here; a warning would be an error."""
    logits = np.concatenate([scale * np.eye(3), -scale * np.eye(3), np.full((3, 3), scale)])
    for label in range(3):
        value, grad = made(name, parameters)(logits, np.full(9, label))
        assert np.isfinite(value).all()
        assert np.isfinite(grad).all()


def test_surely_wrong_and_surely_right_in_closed_form() -> None:
    logits, target = np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([1, 0])
    expected = {
        "cross_entropy": ([2e4, 0], [[1, -1], [0, 0]]),
        "kl": ([2e4, 0], [[1, -1], [0, 0]]),
        "hinge": ([2e4 + 1, 0], [[1, -1], [0, 0]]),
        "focal": ([2e4, 0], [[1, -1], [0, 0]]),
        "mse_softmax": ([1, 0], [[0, 0], [0, 0]]),
        "bce": ([2e4, 0], [[1, -1], [0, 0]]),
    }
    for name, (value, grad) in expected.items():
        ours = LOSSES[name](logits, target)
        np.testing.assert_allclose(ours.value, value, rtol=1e-15)
        np.testing.assert_allclose(2 * ours.grad, grad, rtol=1e-15)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("lead", [30.0, 40.0, 200.0])
def test_focal_loss_of_a_good_sample(gamma: float, lead: float) -> None:
    """With p -> 1 and u = e^-lead: E -> u^(1 + gamma) and dE/dx_y -> -(1 + gamma) u^(1 + gamma).

    For gamma < 1 the factor u^(gamma - 1) by itself would overflow on the way.
    """
    value, grad = made("focal", {"gamma": gamma})(np.array([[lead, 0.0]]), np.array([0]))
    small = math.exp(-lead * (1 + gamma))
    np.testing.assert_allclose(value, small, rtol=1e-12)
    slope = (1 + gamma) * small
    np.testing.assert_allclose(grad, [[-slope, slope]], rtol=1e-12)


@every_case
def test_nan_is_never_swallowed(name: str, parameters: Parameters) -> None:
    logits, target = batch()
    logits[3, 2] = math.nan
    value, grad = made(name, parameters)(logits, target)
    assert np.flatnonzero(np.isnan(value)).tolist() == [3]
    assert np.flatnonzero(np.isnan(grad).any(1)).tolist() == [3]
