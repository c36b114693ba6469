"""Update rules: how a parameter moves, given its gradient.

A rule changes a parameter in place. What it remembers between steps stands in `state`, one
dictionary for each parameter, empty at the start. All are torch's conventions.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from fathom.reference.arrays import Array

State = dict[str, Array]
Update = Callable[..., None]  # update(param, grad, state, lr=...)


def sgd(
    param: Array,
    grad: Array,
    state: State,
    *,
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Take one step of stochastic gradient descent.

        g <- g + weight_decay p           the gradient of weight_decay |p|^2 / 2
        v <- momentum v + g               v = 0 at the start
        p <- p - lr v                     nesterov: p - lr (g + momentum v)

    Source: Sutskever et al. 2013, ICML, sec. 2, with the rate outside of v.

    Args:
        param: p, any shape; changed in place.
        grad: g, of that shape.
        state: What this parameter remembers.
        lr: Learning rate of this step.
        momentum: Share of the velocity that is kept, in [0, 1).
        nesterov: Whether to step along the velocity as it will be.
        weight_decay: Strength of the pull towards 0.
    """
    grad = grad + weight_decay * param if weight_decay else grad
    if momentum:
        velocity = state.setdefault("velocity", np.zeros_like(param))
        velocity *= momentum
        velocity += grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


def adam(
    param: Array,
    grad: Array,
    state: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Take one step of Adam; its weight decay is added to the gradient.

        g <- g + weight_decay p
        m <- beta1 m + (1 - beta1) g      m = v = 0 at the start
        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr m' / (sqrt(v') + eps)

    In step t, m holds (1 - beta1^t) of a running mean and v (1 - beta2^t): m' = m / (1 - beta1^t)
    and v' = v / (1 - beta2^t) are those means.

    Source: Kingma & Ba 2015, arXiv:1412.6980, alg. 1.

    Args:
        param: p, any shape; changed in place.
        grad: g, of that shape.
        state: What this parameter remembers.
        lr: Learning rate of this step.
        beta1: Memory of m, in [0, 1).
        beta2: Memory of v, in [0, 1).
        eps: Keeps the quotient finite where v is 0.
        weight_decay: Strength of the pull towards 0.
    """
    grad = grad + weight_decay * param if weight_decay else grad
    step = state.setdefault("step", np.zeros(()))
    mean = state.setdefault("mean", np.zeros_like(param))
    square = state.setdefault("square", np.zeros_like(param))
    step += 1
    mean *= beta1
    mean += (1 - beta1) * grad
    square *= beta2
    square += (1 - beta2) * np.square(grad)
    root = np.sqrt(square / (1 - beta2**step))
    param -= lr / (1 - beta1**step) * mean / (root + eps)


def adamw(
    param: Array,
    grad: Array,
    state: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> None:
    """Take one step of Adam with p <- p - lr weight_decay p before it, apart from the gradient.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, alg. 2.

    Args:
        param: p, any shape; changed in place.
        grad: g, of that shape.
        state: What this parameter remembers.
        lr: Learning rate of this step.
        beta1: As in `adam`.
        beta2: As in `adam`.
        eps: As in `adam`.
        weight_decay: Share of p that is lost in a step, over the rate.
    """
    param *= 1 - lr * weight_decay
    adam(param, grad, state, lr=lr, beta1=beta1, beta2=beta2, eps=eps)


OPTIMIZERS: Final[dict[str, Update]] = {"sgd": sgd, "adam": adam, "adamw": adamw}
