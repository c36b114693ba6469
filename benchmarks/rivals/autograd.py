"""The loop of somebody who knows the cost of a loader: all data in memory as one tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmarks.rivals.base import Rival, Training
from benchmarks.rivals.networks import resident, sequential
from benchmarks.setting import LEARNING_RATE, Samples, Setting, batches, initial_weights

if TYPE_CHECKING:  # at run time torch is imported in a rival's process only
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AutogradLoop(Rival):
    """One network at a time: a module, autograd and torch's optimizer, no number read back."""

    family: ClassVar = "autograd"

    threads: int

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return f"threads={self.threads}"

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Make one network of each activation; they are trained one after the other."""
        images, labels = resident(samples)
        loops = [_Loop(setting, kind, images, labels) for kind in setting.kinds]

        def train(steps: int) -> None:
            for loop in loops:
                loop.train(steps)

        return Training(
            train=train,
            losses=lambda: [loop.loss.item() for loop in loops],
            networks=len(loops),
        )


class _Loop:
    def __init__(self, setting: Setting, activation: str, images: Tensor, labels: Tensor) -> None:
        import torch
        from torch import nn

        self.images, self.labels = images, labels
        self.batches = map(torch.from_numpy, batches(len(images)))
        self.network = sequential(initial_weights(setting, activation, 0), activation)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LEARNING_RATE)
        self.loss = torch.tensor(float("nan"))

    def train(self, steps: int) -> None:
        for _ in range(steps):
            index = next(self.batches)
            self.optimizer.zero_grad()
            self.loss = self.criterion(self.network(self.images[index]), self.labels[index])
            self.loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()


def variants(cores: int) -> list[AutogradLoop]:
    """List one thread, two, and one for each core."""
    return [AutogradLoop(threads) for threads in sorted({1, 2, cores}) if threads <= cores]
