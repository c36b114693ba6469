"""Layers with the chain rule written out.

A layer maps `x` to `forward(x)`. Going back it is told g = dL/d(output) and answers dL/dx; what L's
derivatives with respect to its own parameters are, it leaves in `gradients`. `forward` keeps what
`backward` needs, so that each `backward` belongs to the `forward` before it.

Everything follows from one rule. If L depends on x only through y = f(x), then

    dL/dx_i = sum_j (dL/dy_j) (dy_j/dx_i).

Shapes: B batch, I in, O out, N units of a normalisation.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, final

import numpy as np

from fathom.reference.activations import Activation
from fathom.reference.arrays import Array


class Layer(Protocol):
    """What a network is made of.

    Attributes:
        parameters: Arrays by name, which an optimizer changes in place.
        gradients: Their gradients under the same names, of the last `backward`.
    """

    parameters: dict[str, Array]
    gradients: dict[str, Array]

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Return the output `[B, O]`."""

    def backward(self, grad_BO: Array) -> Array:
        """Return the gradient of the input `[B, I]` from that of the output."""


@final
class Linear:
    """y = x W + b.

    Args:
        weight_IO: W; copied.
        bias_O: b; copied.

    Attributes:
        input_BI: x of the last `forward`.
        pre_BO: y of it: the pre-activations h, where an activation follows.
        grad_pre_BO: dL/dy of the last `backward`.
    """

    def __init__(self, weight_IO: Array, bias_O: Array) -> None:
        self.parameters = {
            "weight": np.array(weight_IO, np.float64, order="C"),
            "bias": np.array(bias_O, np.float64),
        }
        self.gradients: dict[str, Array] = {}

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Return x W + b."""
        self.input_BI = x_BI
        self.pre_BO: Array = x_BI @ self.parameters["weight"] + self.parameters["bias"]
        return self.pre_BO

    def backward(self, grad_BO: Array) -> Array:
        """Apply the chain rule to y_bo = sum_i x_bi W_io + b_o.

        dL/dW_io = sum_b x_bi g_bo, dL/db_o = sum_b g_bo, dL/dx_bi = sum_o g_bo W_io: the transposes
        below do nothing but bring the summed index to the middle.
        """
        self.grad_pre_BO = grad_BO
        self.gradients = {"weight": self.input_BI.T @ grad_BO, "bias": grad_BO.sum(0)}
        return grad_BO @ self.parameters["weight"].T


@final
class Elementwise:
    """y = phi(h) for every element.

    Args:
        phi: The activation, such as `activation("relu")`.

    Attributes:
        argument_BI: What phi was given in the last `forward`: h, or what a norm made of it.
    """

    def __init__(self, phi: Activation) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.phi = phi

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Return phi(h)."""
        self.argument_BI = x_BI
        return self.phi.value(x_BI)

    def backward(self, grad_BO: Array) -> Array:
        """Apply the chain rule: dy_j/dh_i is phi'(h_i) for i = j and 0 otherwise."""
        return grad_BO * self.phi.slope(self.argument_BI)


@final
class Reordering:
    """y is each sample's x in another order: that of its own numbers, or of a layer's input.

    Args:
        linear: The layer whose input decides; None where x decides itself. Equal numbers stay in
            the order in which they come.
    """

    def __init__(self, linear: Linear | None) -> None:
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.linear = linear

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Return y_bo = x_bk, where k is the o-th unit in the order."""
        deciding_BI = x_BI if self.linear is None else self.linear.input_BI
        self._unit_BO = np.argsort(deciding_BI, 1, kind="stable")
        return np.take_along_axis(x_BI, self._unit_BO, 1)

    def backward(self, grad_BO: Array) -> Array:
        """Apply the chain rule: dy_o/dx_i is 1 where unit i came to place o, and 0 elsewhere.

        A small change of what decides does not change the order, so that no gradient goes there.
        """
        grad_BI = np.empty_like(grad_BO)
        np.put_along_axis(grad_BI, self._unit_BO, grad_BO, 1)
        return grad_BI


@final
class LayerNorm:
    """y = weight z + bias, where z is a sample's x, its mean taken away and its variance made 1.

    Source: Ba et al. 2016, arXiv:1607.06450, eq. 4; the variance is that over N units, not N - 1.

    Args:
        num_units: N.
        eps: Added to the variance, so that equal units do not divide by 0.
    """

    def __init__(self, num_units: int, eps: float = 1e-5) -> None:
        self.parameters = {"weight": np.ones(num_units), "bias": np.zeros(num_units)}
        self.gradients: dict[str, Array] = {}
        self.eps = eps

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Normalise every sample over its units."""
        centred_BN = x_BI - x_BI.mean(1, keepdims=True)
        variance_B1 = np.square(centred_BN).mean(1, keepdims=True)
        self._std_B1 = np.sqrt(variance_B1 + self.eps)
        self._z_BN = centred_BN / self._std_B1
        y_BN: Array = self.parameters["weight"] * self._z_BN + self.parameters["bias"]
        return y_BN

    def backward(self, grad_BO: Array) -> Array:
        """Apply the chain rule along the three ways from x to z; see `_through_normalisation`."""
        self.gradients = {"weight": (grad_BO * self._z_BN).sum(0), "bias": grad_BO.sum(0)}
        grad_z_BN = grad_BO * self.parameters["weight"]
        return _through_normalisation(grad_z_BN, self._z_BN, self._std_B1, axis=1)


@final
class BatchNorm:
    """y = weight z + bias, where z is x with mean 0 and variance 1 over the batch, unit by unit.

    In training the batch's own mean and variance serve, and running averages of them are kept; in
    evaluation the running averages serve, so that a sample's output does not depend on others.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, alg. 1 and 2. As in torch the batch is divided
    by the root of its variance over B, and the running average is that of the variance over B - 1.

    Args:
        num_units: N.
        eps: Added to the variance.
        momentum: Weight of the newest batch in the running averages.
    """

    def __init__(self, num_units: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.parameters = {"weight": np.ones(num_units), "bias": np.zeros(num_units)}
        self.gradients: dict[str, Array] = {}
        self.eps, self.momentum = eps, momentum
        self.running_mean_N, self.running_variance_N = np.zeros(num_units), np.ones(num_units)

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Normalise every unit over the batch, or by the running averages.

        Raises:
            ValueError: If a batch to train on has one sample, which has no variance.
        """
        self._training = training
        mean_N, variance_N = self.running_mean_N, self.running_variance_N
        if training:
            if len(x_BI) < 2:
                raise ValueError("batch norm: got a batch of 1; training needs 2 or more samples")
            mean_N, variance_N = x_BI.mean(0), x_BI.var(0)
            self._remember(mean_N, variance_N * len(x_BI) / (len(x_BI) - 1))
        self._std_N = np.sqrt(variance_N + self.eps)
        self._z_BN = (x_BI - mean_N) / self._std_N
        return self.parameters["weight"] * self._z_BN + self.parameters["bias"]

    def _remember(self, mean_N: Array, variance_N: Array) -> None:
        self.running_mean_N += self.momentum * (mean_N - self.running_mean_N)
        self.running_variance_N += self.momentum * (variance_N - self.running_variance_N)

    def backward(self, grad_BO: Array) -> Array:
        """Apply the chain rule; in evaluation mean and variance are constants."""
        self.gradients = {"weight": (grad_BO * self._z_BN).sum(0), "bias": grad_BO.sum(0)}
        grad_z_BN = grad_BO * self.parameters["weight"]
        if not self._training:
            return grad_z_BN / self._std_N
        return _through_normalisation(grad_z_BN, self._z_BN, self._std_N, axis=0)


def _through_normalisation(grad_z: Array, z: Array, std: Array, *, axis: int) -> Array:
    """Return dL/dx for z_i = (x_i - m) / s, m = mean(x), s^2 = mean((x - m)^2) + eps.

    x_i acts on every z_j in three ways, by x_j itself, by m and by s:

        dm/dx_i = 1/n,    ds/dx_i = (x_i - m) / (n s) = z_i / n
        dz_j/dx_i = (delta_ij - dm/dx_i - z_j ds/dx_i) / s = (delta_ij - 1/n - z_j z_i / n) / s
        dL/dx_i = (g_i - mean(g) - z_i mean(g z)) / s

    So the gradient has mean 0, as a shift of x does nothing to L.
    """
    mean_grad: Array = grad_z.mean(axis, keepdims=True)
    mean_product: Array = (grad_z * z).mean(axis, keepdims=True)
    return (grad_z - mean_grad - z * mean_product) / std


@final
class Residual:
    """y = x + f(x), where f is a chain of layers whose output has the shape of its input.

    Source: He et al. 2016, arXiv:1512.03385, eq. 1.

    Args:
        layers: The chain.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.parameters: dict[str, Array] = {}  # none but those of its layers: `leaves`
        self.gradients: dict[str, Array] = {}

    def forward(self, x_BI: Array, *, training: bool = False) -> Array:
        """Return x + f(x)."""
        return x_BI + forward(self.layers, x_BI, training=training)

    def backward(self, grad_BO: Array) -> Array:
        """Apply the chain rule: dy_j/dx_i = delta_ij + df_j/dx_i, so that g passes and is added."""
        return grad_BO + backward(self.layers, grad_BO)


def forward(layers: Sequence[Layer], x_BI: Array, *, training: bool = False) -> Array:
    """Return what a chain of layers makes of its input."""
    for layer in layers:
        x_BI = layer.forward(x_BI, training=training)
    return x_BI


def backward(layers: Sequence[Layer], grad_BO: Array) -> Array:
    """Send a gradient back through a chain, last layer first; return that of the input."""
    for layer in reversed(layers):
        grad_BO = layer.backward(grad_BO)
    return grad_BO


@contextmanager
def remembering_nothing(layers: Sequence[Layer]) -> Iterator[None]:
    """Let batch norms forget the batches that go forward while the context lasts."""
    norms = [layer for layer in leaves(layers) if isinstance(layer, BatchNorm)]
    running = [x for norm in norms for x in (norm.running_mean_N, norm.running_variance_N)]
    kept = [array_N.copy() for array_N in running]
    try:
        yield
    finally:
        for array_N, before_N in zip(running, kept, strict=True):
            array_N[...] = before_N


def leaves(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layers in order, those inside a residual connection in its place."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from leaves(layer.layers)
        else:
            yield layer
