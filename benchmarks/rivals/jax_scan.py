"""Networks stacked by JAX: `vmap` over networks, `lax.scan` over steps, compiled as one program.

Shapes: R networks, S steps of one call, B batch, I in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Any, ClassVar, Final, Literal

import numpy as np

from benchmarks.rivals.base import Rival, Training
from benchmarks.setting import (
    ACTIVATIONS,
    LEARNING_RATE,
    MIXED,
    Samples,
    Setting,
    batches,
    initial_weights,
)

SCAN_STEPS: Final = 20  # of one compiled call; calls of 200 steps were no faster per step

Tree = Any  # nested tuples of arrays: JAX's own word for it is as wide


@dataclass(frozen=True, slots=True)
class JaxScan(Rival):
    """R networks at once, the data on the device.

    Attributes:
        networks: R, a multiple of four.
        choice: How a mixed cohort finds its activations: `stacks` is a stack for each activation,
            written side by side in one program; `switch` is one stack whose `lax.switch` becomes,
            under `vmap`, all four activations and a selection.
    """

    family: ClassVar = "jax"

    networks: int
    choice: Literal["stacks", "switch"] = "stacks"
    threads: int = 1

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return f"R={self.networks}" + (", switch" if self.choice == "switch" else "")

    def takes(self, setting: Setting) -> bool:
        """Tell whether this variant is a different one from its siblings in a setting."""
        return self.choice == "stacks" or setting.activation == MIXED

    def missing(self) -> str | None:
        """Say in a few words what it lacks to run; None when it can."""
        return None if find_spec("jax") else "JAX is not installed; the extra `bench` brings it"

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Stack R networks, as many of each activation; the first call compiles."""
        num_each = self.networks // len(setting.kinds)
        stacks = [_Stack((kind,), _stacked(setting, (kind,), num_each)) for kind in setting.kinds]
        if self.choice == "switch":
            stacks = [_Stack(setting.kinds, _stacked(setting, setting.kinds, num_each))]
        chunk = _compiled(stacks)
        images, labels = _resident(samples)
        order = batches(len(samples.labels))
        state: dict[str, Tree] = {"parameters": tuple(s.parameters for s in stacks)}

        def train(steps: int) -> None:
            for _ in range(steps // SCAN_STEPS):
                index_SB = np.stack(list(islice(order, SCAN_STEPS)))
                state["parameters"], losses_SR = chunk(
                    state["parameters"], index_SB, images, labels
                )
                state["losses"] = losses_SR[-1]
            state["losses"].block_until_ready()

        return Training(
            train=train,
            losses=lambda: [float(loss) for loss in state["losses"]],
            networks=self.networks,
            multiple_of=SCAN_STEPS,
        )


@functools.cache
def _resident(samples: Samples) -> tuple[Tree, Tree]:
    import jax.numpy as jnp

    # As bytes: to read a quarter and convert it was no slower than to read floats.
    return jnp.asarray(samples.images), jnp.asarray(samples.labels)


@dataclass(frozen=True, slots=True)
class _Stack:
    """Networks under one `vmap`; the parameters end in each network's number in `kinds`."""

    kinds: tuple[str, ...]
    parameters: Tree


def _stacked(setting: Setting, kinds: tuple[str, ...], num_each: int) -> Tree:
    """Return per layer `weight [R, I, O]` and `bias [R, O]`, equal activations side by side."""
    import jax.numpy as jnp

    drawn = [initial_weights(setting, kind, number) for kind in kinds for number in range(num_each)]
    layers = [
        (
            jnp.asarray(np.stack([layer.weight.T for layer in same])),
            jnp.asarray(np.stack([layer.bias for layer in same])),
        )
        for same in zip(*drawn, strict=True)
    ]
    return layers, jnp.repeat(jnp.arange(len(kinds)), num_each)


def _activation(kinds: tuple[str, ...]) -> Callable[[Tree, Tree], Tree]:
    """Return a function of one network's number in `kinds` and its pre-activations."""
    import jax
    from jax import lax

    known: dict[str, Callable[..., Tree]] = {
        "relu": jax.nn.relu,
        "tanh": jax.numpy.tanh,
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "sigmoid": jax.nn.sigmoid,
    }
    assert {*known} == {*ACTIVATIONS}
    branches = [known[kind] for kind in kinds]
    if len(branches) == 1:
        return lambda _number, h: branches[0](h)
    return lambda number, h: lax.switch(number, branches, h)


def _loss(kinds: tuple[str, ...]) -> Callable[[Tree, Tree, Tree, Tree], Tree]:
    """Return the cross entropy of one network on one batch."""
    import jax
    import jax.numpy as jnp

    phi = _activation(kinds)

    def loss(layers: Tree, number: Tree, x_BI: Tree, target_B: Tree) -> Tree:
        for weight, bias in layers[:-1]:
            x_BI = phi(number, x_BI @ weight + bias)
        weight, bias = layers[-1]
        log_shares = jax.nn.log_softmax(x_BI @ weight + bias)
        return -jnp.take_along_axis(log_shares, target_B[:, None], axis=1).mean()

    return loss


def _compiled(stacks: list[_Stack]) -> Callable[[Tree, Tree, Tree, Tree], tuple[Tree, Tree]]:
    """Compile `(parameters, index [S, B], images, labels) -> (parameters, losses [S, R])`."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    gradients = [
        jax.vmap(jax.value_and_grad(_loss(stack.kinds)), in_axes=(0, 0, None, None))
        for stack in stacks
    ]

    def step(parameters: Tree, x_BI: Tree, target_B: Tree) -> tuple[Tree, Tree]:
        new, losses = [], []
        for gradient, (layers, numbers) in zip(gradients, parameters, strict=True):
            loss, grads = gradient(layers, numbers, x_BI, target_B)
            updated = jax.tree.map(lambda w, g: w - LEARNING_RATE * g, layers, grads)
            new.append((updated, numbers))
            losses.append(loss)
        return tuple(new), jnp.concatenate(losses)

    def chunk(parameters: Tree, index_SB: Tree, images: Tree, labels: Tree) -> tuple[Tree, Tree]:
        def body(parameters: Tree, index_B: Tree) -> tuple[Tree, Tree]:
            x_BI = images[index_B].astype(jnp.float32) / 255
            return step(parameters, x_BI, labels[index_B])

        trained: tuple[Tree, Tree] = lax.scan(body, parameters, index_SB)
        return trained

    compiled: Callable[[Tree, Tree, Tree, Tree], tuple[Tree, Tree]]
    compiled = jax.jit(chunk, donate_argnums=0)
    return compiled


def variants(_cores: int) -> list[JaxScan]:
    """List two sizes of a stack, and for the mixed cohort both ways to choose activations."""
    return [JaxScan(4), JaxScan(8), JaxScan(4, "switch"), JaxScan(8, "switch")]
