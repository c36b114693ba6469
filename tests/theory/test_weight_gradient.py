"""The weights' gradient from kernels, against linear algebra and against autograd."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks import phi
from sklearn.datasets import load_digits
from torch import Tensor

from fathom.activations import ACTIVATIONS
from fathom.registry import Choice
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats
from fathom.theory.weight_gradient import weight_gradient_norms

Scale = Callable[[int, int], float]
CLASSES = 10


def network(name: str, fans: list[int], scale: Scale) -> Network:
    """Make a network of hidden layers `fans[1:-1]`."""
    hidden = fans[1:-1]
    return Network(
        activations=(phi(name),) * len(hidden),
        widths=tuple(hidden),
        num_features=fans[0],
        weight_scale=tuple(map(scale, fans[:-2], hidden)),
        bias_variance=(0.0,) * len(hidden),
    )


def he(fan_in: int, fan_out: int) -> float:
    return 2.0


def lecun(fan_in: int, fan_out: int) -> float:
    return 1.0


def xavier(fan_in: int, fan_out: int) -> float:
    return 2 * fan_in / (fan_in + fan_out)


def test_a_linear_network_multiplies_by_its_scales() -> None:
    rng = np.random.default_rng(0)
    fans, batch = [5, 7, 6, 3], 4
    x_BI, error_BK = rng.standard_normal((batch, 5)), rng.standard_normal((batch, 3))
    net = network("identity", fans, xavier)
    scales = [xavier(i, o) for i, o in itertools.pairwise(fans)]
    both = ((error_BK @ error_BK.T) * (x_BI @ x_BI.T)).sum() / batch**2
    # Forward, x.x grows by s_w^2 n_l / n_{l-1} a layer; backward, d.d by s_w^2.
    factors = [math.prod(scales) / scales[layer] * fans[layer] / fans[0] for layer in range(3)]
    found = weight_gradient_norms(net, x_BI, error_BK, scales[-1])
    np.testing.assert_allclose(found, np.sqrt(both * np.array(factors)), rtol=1e-12)


def test_one_sample_of_relu_passes_half_of_its_square() -> None:
    x_BI, error_BK = np.array([[3.0, 4.0]]), np.array([[0.6, -0.8, 0.0]])
    found = weight_gradient_norms(network("relu", [2, 8, 8, 3], he), x_BI, error_BK, 2.0)
    # q = 2 * 25 / 2 everywhere; |phi|^2 = 8 q / 2; |d|^2 stays 1 with 2 E phi'^2 = 1.
    np.testing.assert_allclose(found, [5, 10, 10], rtol=1e-12)


def test_networks_are_independent_of_each_other() -> None:
    rng = np.random.default_rng(1)
    x_BI, errors = rng.standard_normal((6, 5)), rng.standard_normal((2, 3, 6, CLASSES))
    net = network("gelu", [5, 9, 8, CLASSES], he)
    together = weight_gradient_norms(net, x_BI, errors, 2.0)
    assert together.shape == (2, 3, 3)
    alone = weight_gradient_norms(net, x_BI, errors[1, 2], 2.0)
    np.testing.assert_allclose(together[1, 2], alone, rtol=1e-13)


def test_what_does_not_reach_a_layer_is_nan() -> None:
    net = network("relu", [5, 8, CLASSES], he)
    found = weight_gradient_norms(net, np.zeros((2, 5)), np.ones((2, CLASSES)), 2.0)
    assert np.isnan(found).all()


def measure(
    name: str, fans: list[int], scale: Scale, x_BI: Tensor, target_B: Tensor, num: int, seed: int
) -> tuple[Floats, Floats]:
    """Return log10 |dL/dW| `[num, L+1]` and p - y `[num, B, K]` of drawn networks."""
    value, generator = ACTIVATIONS.build(Choice(name)).value, torch.Generator().manual_seed(seed)
    norms, errors = [], []
    for _ in range(num):
        weights = [
            torch.empty(o, i).normal_(0, math.sqrt(scale(i, o) / i), generator=generator)
            for i, o in itertools.pairwise(fans)
        ]
        x = x_BI.float()
        for weight in weights[:-1]:
            x = value(x @ weight.requires_grad_().T)
        logits = x @ weights[-1].requires_grad_().T
        loss = torch.nn.functional.cross_entropy(logits, target_B)
        grads = torch.autograd.grad(loss, weights)
        norms.append([grad.double().norm().log10().item() for grad in grads])
        wanted = torch.nn.functional.one_hot(target_B, CLASSES)
        errors.append((logits.detach().double().softmax(1) - wanted).numpy())
    return np.array(norms), np.array(errors)


def digits(num: int, seed: int) -> tuple[Tensor, Tensor]:
    images, targets = load_digits(return_X_y=True)
    chosen = np.random.default_rng(seed).permutation(len(images))[:num]
    return torch.from_numpy(images[chosen] / 16), torch.from_numpy(targets[chosen]).long()


@pytest.mark.parametrize("name", ["relu", "gelu", "hardtanh", "sigmoid", "sin"])
def test_a_wide_network_has_the_gradient_of_the_kernels(name: str) -> None:
    x_BI, target_B = digits(12, 0)
    fans, num = [64, 1024, 1024, CLASSES], 40
    measured, errors = measure(name, fans, he, x_BI, target_B, num, seed=1)
    predicted = weight_gradient_norms(network(name, fans, he), x_BI.numpy(), errors, 2.0)
    # A draw is off by up to 0.03 decades; four standard errors are 0.019.
    np.testing.assert_allclose((measured - np.log10(predicted)).mean(0), 0, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "depth", "scale"),
    [("tanh", 20, xavier), ("tanh", 20, he), ("selu", 20, lecun), ("sigmoid", 6, xavier)],
)
def test_gradients_on_digits_are_as_predicted(name: str, depth: int, scale: Scale) -> None:
    """Batch 128, width 128, cross entropy; geometric means within 0.1 decades."""
    x_BI, target_B = digits(128, 2)
    fans, num = [64, *[128] * depth, CLASSES], 64
    measured, errors = measure(name, fans, scale, x_BI, target_B, num, seed=3)
    net = network(name, fans, scale)
    predicted = weight_gradient_norms(net, x_BI.numpy(), errors, scale(128, CLASSES))
    difference = measured - np.log10(predicted)
    assert (4 * difference.std(0, ddof=1) / math.sqrt(num) < 0.1).all()
    assert np.abs(difference.mean(0)).max() <= 0.1
