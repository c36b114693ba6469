"""Networks stacked by `torch.func`: one vectorised gradient for all, updated by hand.

Shapes: R networks, B batch, I in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmarks.rivals.base import Rival, Training
from benchmarks.rivals.networks import resident, sequential
from benchmarks.setting import LEARNING_RATE, Samples, Setting, batches, initial_weights

if TYPE_CHECKING:  # at run time torch is imported in a rival's process only
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Vmap(Rival):
    """R networks at once; a mixed cohort is a stack for each activation, one after the other.

    A vectorised function cannot choose by network; computing all four activations for each
    network would only cost more.
    """

    family: ClassVar = "vmap"

    networks: int
    threads: int = 1

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return f"R={self.networks}"

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Stack R networks, as many of each activation."""
        import torch

        images, labels = resident(samples)
        order = map(torch.from_numpy, batches(len(images)))
        num_each = self.networks // len(setting.kinds)
        stacks = [_Stack(setting, kind, num_each) for kind in setting.kinds]

        def train(steps: int) -> None:
            for _ in range(steps):
                index = next(order)
                inputs, targets = images[index], labels[index]
                for stack in stacks:
                    stack.step(inputs, targets)

        return Training(
            train=train,
            losses=lambda: [loss for stack in stacks for loss in stack.losses.tolist()],
            networks=self.networks,
        )


class _Stack:
    def __init__(self, setting: Setting, activation: str, networks: int) -> None:
        import torch
        from torch.func import functional_call, grad_and_value, stack_module_state, vmap
        from torch.nn.functional import cross_entropy

        drawn = (initial_weights(setting, activation, network) for network in range(networks))
        modules = [sequential(weights, activation) for weights in drawn]
        stacked, _ = stack_module_state(modules)
        self.parameters = {name: value.detach() for name, value in stacked.items()}
        skeleton = modules[0].to("meta")

        def loss(parameters: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
            return cross_entropy(functional_call(skeleton, parameters, (inputs,)), targets)

        self.gradients = vmap(grad_and_value(loss), in_dims=(0, None, None))
        self.losses = torch.full((networks,), float("nan"))

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        grads, self.losses = self.gradients(self.parameters, inputs, targets)
        for name, parameter in self.parameters.items():
            parameter.sub_(grads[name], alpha=LEARNING_RATE)


def variants(_cores: int) -> list[Vmap]:
    """List two sizes of a stack; both are multiples of four, for the mixed cohort."""
    return [Vmap(4), Vmap(8)]
