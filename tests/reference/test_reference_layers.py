"""Layers by hand against differences and torch.nn, alone and as whole networks."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from fathom.reference.activations import activation
from fathom.reference.arrays import Array
from fathom.reference.layers import (
    BatchNorm,
    Elementwise,
    Layer,
    LayerNorm,
    Linear,
    Reordering,
    Residual,
    backward,
    forward,
    leaves,
)
from fathom.reference.losses import cross_entropy
from fathom.reference.network import (
    Norm,
    Weights,
    he_weights,
    layer_gradients,
    multilayer_perceptron,
)

NUM_SAMPLES, WIDTH = 6, 5
CLOSE = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape)


def with_random_parameters(layer: Layer) -> Layer:
    for number, param in enumerate(layer.parameters.values()):
        param += normal(*param.shape, seed=number)
    return layer


def trained_batch_norm() -> BatchNorm:
    layer = BatchNorm(WIDTH)
    for number in range(3):
        layer.forward(2 + 3 * normal(NUM_SAMPLES, WIDTH, seed=number), training=True)
    return layer


def permuting(linear: Linear) -> Residual:
    """Wrap a map and what permutes its output by its input: it can stand in a table of layers."""
    return Residual([linear, Reordering(linear)])


LAYERS: dict[str, tuple[Callable[[], Layer], bool]] = {
    "linear": (lambda: Linear(normal(WIDTH, 3), normal(3)), True),
    "tanh": (lambda: Elementwise(activation("tanh")), True),
    "layer norm": (lambda: LayerNorm(WIDTH), True),
    "batch norm in training": (lambda: BatchNorm(WIDTH), True),
    "batch norm in evaluation": (trained_batch_norm, False),
    "sort": (lambda: Reordering(None), True),
    "permute": (lambda: permuting(Linear(normal(WIDTH, WIDTH), normal(WIDTH))), True),
    "residual": (
        lambda: Residual([
            Linear(normal(WIDTH, WIDTH), normal(WIDTH)),
            LayerNorm(WIDTH),
            Elementwise(activation("silu")),
        ]),
        True,
    ),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_backward_is_the_limit_of_differences(kind: str) -> None:
    """For L = sum of c y, over the input and over every parameter."""
    make, training = LAYERS[kind]
    layer = make()
    for leaf in leaves([layer]):
        with_random_parameters(leaf)
    x = normal(NUM_SAMPLES, WIDTH, seed=9)
    c = normal(*layer.forward(x, training=training).shape, seed=8)
    grad_x = layer.backward(c)
    written = [(x, grad_x)]
    written += [
        (leaf.parameters[name], leaf.gradients[name])
        for leaf in leaves([layer])
        for name in leaf.parameters
    ]
    for place, grad in written:
        for index in np.ndindex(place.shape):
            middle, step = place[index], 1e-6
            ends = []
            for place[index] in (middle + step, middle - step):
                ends.append(np.sum(c * layer.forward(x, training=training)))
            place[index] = middle
            assert grad[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=3e-8)


def test_reordering_by_hand() -> None:
    """For x = (2, 3, 1) and h = (30, 10, 20): sorted, and in the order of x."""
    linear, h_BO = Linear(np.eye(3), np.zeros(3)), np.array([[30.0, 10.0, 20.0]])
    linear.forward(np.array([[2.0, 3.0, 1.0]]))
    grad_BO = np.array([[5.0, 6.0, 7.0]])
    sort, permute = Reordering(None), Reordering(linear)
    assert sort.forward(h_BO).tolist() == [[10, 20, 30]]
    assert sort.backward(grad_BO).tolist() == [[7, 5, 6]]
    assert permute.forward(h_BO).tolist() == [[20, 30, 10]]  # the units 2, 0, 1
    assert permute.backward(grad_BO).tolist() == [[6, 7, 5]]


def test_equal_inputs_leave_units_in_their_order() -> None:
    linear = Linear(np.eye(4), np.zeros(4))
    linear.forward(np.array([[1.0, 0.0, 1.0, -0.0]]))
    assert Reordering(linear).forward(np.arange(4.0)[None]).tolist() == [[1, 3, 0, 2]]


def test_linear_is_that_of_torch() -> None:
    ours, theirs = Linear(normal(WIDTH, 3), normal(3)), nn.Linear(WIDTH, 3, dtype=torch.float64)
    theirs.load_state_dict({
        "weight": torch.from_numpy(ours.parameters["weight"].T),
        "bias": torch.from_numpy(ours.parameters["bias"]),
    })
    agree(ours, theirs, {"weight": theirs.weight, "bias": theirs.bias}, transposed="weight")


def agree(
    ours: Layer,
    theirs: nn.Module,
    parameters: dict[str, torch.Tensor],
    *,
    training: bool = True,
    transposed: str = "",
) -> None:
    """Compare output, gradient of the input and gradients of the parameters."""
    x = normal(NUM_SAMPLES, WIDTH, seed=3) * 2 + 1
    leaf = torch.from_numpy(x).requires_grad_()
    theirs.train(training)
    expected = theirs(leaf)
    grad = normal(*expected.shape, seed=4)
    CLOSE(ours.forward(x, training=training), expected.detach().numpy())
    wanted = [leaf, *parameters.values()]
    of_input, *of_parameters = torch.autograd.grad(expected, wanted, torch.from_numpy(grad))
    CLOSE(ours.backward(grad), of_input.numpy())
    for name, of_parameter in zip(parameters, of_parameters, strict=True):
        found = ours.gradients[name]
        CLOSE(found.T if name == transposed else found, of_parameter.numpy())


def copy_affine(ours: Layer, theirs: nn.Module) -> dict[str, torch.Tensor]:
    with_random_parameters(ours)
    theirs.weight.data = torch.from_numpy(ours.parameters["weight"].copy())
    theirs.bias.data = torch.from_numpy(ours.parameters["bias"].copy())
    return {"weight": theirs.weight, "bias": theirs.bias}  # type: ignore[dict-item]


@pytest.mark.parametrize("eps", [1e-5, 0.3])
def test_layer_norm_is_that_of_torch(eps: float) -> None:
    ours, theirs = LayerNorm(WIDTH, eps), nn.LayerNorm(WIDTH, eps=eps, dtype=torch.float64)
    agree(ours, theirs, copy_affine(ours, theirs))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_that_of_torch(training: bool) -> None:
    """After some batches, which move the running averages of both."""
    ours = BatchNorm(WIDTH, eps=1e-3, momentum=0.2)
    theirs = nn.BatchNorm1d(WIDTH, eps=1e-3, momentum=0.2, dtype=torch.float64)
    parameters = copy_affine(ours, theirs)
    for number in range(3):
        x = 3 * normal(NUM_SAMPLES + number, WIDTH, seed=number) - 1
        CLOSE(ours.forward(x, training=True), theirs(torch.from_numpy(x)).detach().numpy())
    agree(ours, theirs, parameters, training=training)
    CLOSE(ours.running_mean_N, theirs.running_mean.numpy())  # type: ignore[union-attr]
    CLOSE(ours.running_variance_N, theirs.running_var.numpy())  # type: ignore[union-attr]


def test_normalised_units_have_mean_0_and_variance_1() -> None:
    x = 5 + 3 * normal(200, 40)
    for layer, axis in [(LayerNorm(40, eps=0.0), 1), (BatchNorm(40, eps=0.0), 0)]:
        z = layer.forward(x, training=True)
        np.testing.assert_allclose(z.mean(axis), 0, atol=1e-14)
        np.testing.assert_allclose(z.var(axis), 1, rtol=1e-13)


def test_gradient_through_a_norm_does_not_see_shift_or_scale() -> None:
    """x + a and a x give the same z, so that dL/dx is orthogonal to 1 and to x - mean."""
    x, grad = normal(20, 30), normal(20, 30, seed=1)
    for layer, axis in [(LayerNorm(30, eps=0.0), 1), (BatchNorm(30, eps=0.0), 0)]:
        layer.forward(x, training=True)
        back = layer.backward(grad)
        np.testing.assert_allclose(back.sum(axis), 0, atol=1e-13)
        np.testing.assert_allclose((back * x).sum(axis), 0, atol=1e-13)


def test_batch_norm_in_evaluation_treats_samples_alone() -> None:
    layer, x = trained_batch_norm(), normal(NUM_SAMPLES, WIDTH)
    np.testing.assert_array_equal(layer.forward(x)[:1], layer.forward(x[:1]))
    with pytest.raises(ValueError, match="got a batch of 1; training needs 2 or more"):
        layer.forward(x[:1], training=True)


def test_layers_keep_what_a_probe_asks_for() -> None:
    phi, x, grad = activation("elu", alpha=0.5), normal(4, 3), normal(4, 3, seed=1)
    linear, elementwise = Linear(normal(3, 3, seed=2), normal(3)), Elementwise(phi)
    y = forward([linear, elementwise], x)
    backward([linear, elementwise], grad)
    np.testing.assert_array_equal(linear.pre_BO, elementwise.argument_BI)
    np.testing.assert_array_equal(phi.value(linear.pre_BO), y)
    np.testing.assert_array_equal(linear.grad_pre_BO, grad * phi.slope(linear.pre_BO))


# Whole networks --------------------------------------------------------------------------------


class TorchNetwork(nn.Module):
    """The same network with torch's own layers."""

    def __init__(self, weights: Sequence[Weights], norm: Norm, skip: bool) -> None:
        super().__init__()
        self.linears = nn.ModuleList()
        for weight, bias in weights:
            linear = nn.Linear(*weight.shape, dtype=torch.float64)
            linear.load_state_dict({
                "weight": torch.from_numpy(weight.T), "bias": torch.from_numpy(bias)
            })  # fmt: skip
            self.linears.append(linear)
        kinds = {
            "none": lambda _: nn.Identity(),
            "layer_norm": nn.LayerNorm,
            "batch_norm": nn.BatchNorm1d,
        }
        self.norms = nn.ModuleList([kinds[norm](len(bias)) for _, bias in weights[:-1]]).double()
        self.skip = skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=False):
            y = torch.tanh(norm(linear(x)))
            x = x + y if self.skip and x.shape == y.shape else y
        return self.linears[-1](x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("norm", ["none", "layer_norm", "batch_norm"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_a_network_are_those_of_autograd(
    norm: Norm, skip: bool, training: bool
) -> None:
    weights = he_weights([8, 12, 12, 12, 4], np.random.default_rng(0))
    ours = multilayer_perceptron(weights, [activation("tanh")] * 3, norm=norm, skip=skip)
    theirs = TorchNetwork(weights, norm, skip).train(training)
    x, target = normal(16, 8), np.random.default_rng(1).integers(0, 4, 16)
    loss = nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(target))
    loss.backward()  # type: ignore[no-untyped-call]
    value, grad = cross_entropy(forward(ours, x, training=training), target)
    backward(ours, grad)
    CLOSE(value.mean(), loss.item())
    linears = [layer for layer in leaves(ours) if isinstance(layer, Linear)]
    norms = [layer for layer in leaves(ours) if isinstance(layer, (LayerNorm, BatchNorm))]
    assert len(norms) == (0 if norm == "none" else 3)
    assert sum(isinstance(layer, Residual) for layer in ours) == (2 if skip else 0)
    for layer, module in zip(linears, theirs.linears, strict=True):
        CLOSE(layer.gradients["weight"].T, module.weight.grad.numpy())
        CLOSE(layer.gradients["bias"], module.bias.grad.numpy())
    for layer, module in zip(norms, theirs.norms, strict=False):
        CLOSE(layer.gradients["weight"], module.weight.grad.numpy())
        CLOSE(layer.gradients["bias"], module.bias.grad.numpy())
    if training:
        kept = [linear.gradients for linear in linears]
        for found, gradients in zip(
            layer_gradients(ours, cross_entropy, x, target), kept, strict=True
        ):
            np.testing.assert_array_equal(found.weight, gradients["weight"])
            np.testing.assert_array_equal(found.bias, gradients["bias"])


def test_weights_are_copied() -> None:
    weights = he_weights([3, 3], np.random.default_rng(0))
    (linear,) = multilayer_perceptron(weights, [])
    linear.parameters["weight"] += 1
    assert np.abs(linear.parameters["weight"] - weights[0].weight - 1).max() < 1e-15


def test_he_weights_have_variance_2_over_fan_in() -> None:
    """The variance of n squares of standard normals is 2 / n; 4 standard errors."""
    (layer,) = he_weights([400, 500], np.random.default_rng(0))
    share = layer.weight.var() * 400 / 2
    assert share == pytest.approx(1, abs=4 * math.sqrt(2 / layer.weight.size))
    assert not layer.bias.any()
