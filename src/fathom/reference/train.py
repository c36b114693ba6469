"""The training loop, on one page.

Shapes: N samples, B batch, I in, K classes.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from fathom.reference.arrays import Array, Labels
from fathom.reference.layers import Layer, backward, forward, leaves
from fathom.reference.losses import Loss, cross_entropy
from fathom.reference.network import layer_gradients
from fathom.reference.optimizers import State, Update, sgd
from fathom.reference.schedules import Schedule, constant

EVALUATION_BATCH = 1000  # so that the activations of a large test set need little memory


class Samples(NamedTuple):
    """Inputs `[N, I]` and classes `[N]`."""

    inputs: Array
    target: Labels


class Score(NamedTuple):
    """Mean loss, and share of the samples whose largest logit is that of their class."""

    loss: float
    accuracy: float


class Epoch(NamedTuple):
    """What one epoch tells.

    Attributes:
        train: Score over the epoch's batches as they were seen, each before its update.
        test: Score on the test set after the epoch.
        lr: Learning rate of the last step.
        grad_norms: Root of the sum of squares of each linear layer's weight gradient on the probe
            batch after the epoch, the first layer first; empty without a probe batch.
    """

    train: Score
    test: Score
    lr: float
    grad_norms: tuple[float, ...]


def train(
    layers: Sequence[Layer],
    train_set: Samples,
    test_set: Samples,
    orders: Sequence[Sequence[Labels]],
    *,
    lr: float,
    loss: Loss = cross_entropy,
    update: Update = sgd,
    schedule: Schedule = constant,
    clip_norm: float | None = None,
    probe: Samples | None = None,
) -> list[Epoch]:
    """Train a network by backpropagation.

    A loss, a rule or a schedule with parameters of its own comes as a `functools.partial`. Numbers
    that overflow stay in the results as inf or NaN: a run that diverges is a result.

    Args:
        layers: The network; its parameters are changed.
        train_set: What to train on.
        test_set: What to score after every epoch.
        orders: For every epoch its batches, each the numbers of its samples.
        lr: Base learning rate.
        loss: `loss(logits, target)`, such as `partial(focal, gamma=1.0)`.
        update: `update(param, grad, state, lr=...)`, such as `partial(sgd, momentum=0.9)`.
        schedule: `schedule(step, steps_per_epoch, epochs)`, the factor of `lr`.
        clip_norm: Largest norm of all gradients together; None leaves them as they are.
        probe: Batch on which the gradients of every layer are measured.

    Returns:
        One entry for each epoch.
    """
    states: list[State] = [{} for layer in leaves(layers) for _ in layer.parameters]
    history: list[Epoch] = []
    step = 0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for batches in orders:
            losses, hits = [], []
            for batch in batches:
                rate = lr * schedule(step, len(batches), len(orders))
                part = Samples(train_set.inputs[batch], train_set.target[batch])
                value_B, hit_B = train_batch(
                    layers, part, states, loss, partial(update, lr=rate), clip_norm
                )
                losses.append(value_B)
                hits.append(hit_B)
                step += 1
            seen = Score(float(np.concatenate(losses).mean()), float(np.concatenate(hits).mean()))
            norms = () if probe is None else grad_norms(layers, loss, probe)
            history.append(Epoch(seen, evaluate(layers, loss, test_set), rate, norms))
    return history


def train_batch(
    layers: Sequence[Layer],
    batch: Samples,
    states: Sequence[State],
    loss: Loss,
    update: Update,
    clip_norm: float | None = None,
) -> tuple[Array, Array]:
    """Go forward, back, and one step down.

    Args:
        layers: The network; its parameters are changed.
        batch: What to train on.
        states: What `update` remembers of each parameter, layer by layer.
        loss: `loss(logits, target)`.
        update: `update(param, grad, state)`, with its learning rate.
        clip_norm: Largest norm of all gradients together.

    Returns:
        The loss of each sample before the step `[B]`, and 1 `[B]` where it was classified right.
    """
    logits_BK = forward(layers, batch.inputs, training=True)
    value_B, grad_BK = loss(logits_BK, batch.target)
    backward(layers, grad_BK)
    params = [param for layer in leaves(layers) for param in layer.parameters.values()]
    grads = [layer.gradients[name] for layer in leaves(layers) for name in layer.parameters]
    factor = 1.0 if clip_norm is None else _clip_factor(grads, clip_norm)
    for param, grad, state in zip(params, grads, states, strict=True):
        update(param, grad if factor == 1 else factor * grad, state)
    return value_B, (logits_BK.argmax(1) == batch.target).astype(np.float64)


def _clip_factor(grads: Sequence[Array], clip_norm: float) -> float:
    norm = np.sqrt(sum(np.square(grad).sum() for grad in grads))
    # 1e-6 as in torch's clip_grad_norm_. Unlike min, np.minimum lets a NaN through.
    return float(np.minimum(1.0, clip_norm / (norm + 1e-6)))


def evaluate(layers: Sequence[Layer], loss: Loss, samples: Samples) -> Score:
    """Score a network, which is in evaluation mode, without changing it."""
    losses, hits = [], []
    for start in range(0, len(samples.target), EVALUATION_BATCH):
        piece = slice(start, start + EVALUATION_BATCH)
        logits_BK = forward(layers, samples.inputs[piece])
        losses.append(loss(logits_BK, samples.target[piece]).value)
        hits.append(logits_BK.argmax(1) == samples.target[piece])
    return Score(float(np.concatenate(losses).mean()), float(np.concatenate(hits).mean()))


def grad_norms(layers: Sequence[Layer], loss: Loss, probe: Samples) -> tuple[float, ...]:
    """Return the L2 norm of each linear layer's weight gradient on a batch, first layer first."""
    gradients = layer_gradients(layers, loss, probe.inputs, probe.target)
    return tuple(float(np.linalg.norm(gradient.weight)) for gradient in gradients)
