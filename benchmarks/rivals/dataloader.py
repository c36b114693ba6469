"""The loop of a student: a data set of single samples, a DataLoader, a module, an optimizer.

Each sample takes the way that torchvision's MNIST, `ToTensor` and `Normalize` take it: a picture
from an array, an array from the picture, a tensor from the array, then the two constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from benchmarks.rivals.base import Rival, Training
from benchmarks.rivals.networks import sequential
from benchmarks.setting import BATCH_SIZE, LEARNING_RATE, Samples, Setting, initial_weights

if TYPE_CHECKING:  # at run time torch is imported in a rival's process only
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class DataLoaderLoop(Rival):
    """One network at a time, in the main process (`num_workers=0`), shuffled by the loader.

    Not covered: loaders with workers, which would occupy further cores.
    """

    family: ClassVar = "dataloader"

    threads: int

    @property
    def variant(self) -> str:
        """What sets it apart from others of its family."""
        return f"threads={self.threads}"

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Make one network of each activation; they are trained one after the other."""
        loops = [_Loop(setting, kind, samples) for kind in setting.kinds]

        def train(steps: int) -> None:
            for loop in loops:
                loop.train(steps)

        return Training(
            train=train,
            losses=lambda: [loop.last_loss for loop in loops],
            networks=len(loops),
        )


class _Loop:
    def __init__(self, setting: Setting, activation: str, samples: Samples) -> None:
        import torch
        from torch import nn

        self.network = sequential(initial_weights(setting, activation, 0), activation)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=LEARNING_RATE)
        self.batches = _batches(samples)
        self.last_loss = float("nan")

    def train(self, steps: int) -> None:
        for _ in range(steps):
            inputs, targets = next(self.batches)
            self.optimizer.zero_grad()
            loss = self.criterion(self.network(inputs), targets)
            loss.backward()
            self.optimizer.step()
            self.last_loss = loss.item()


def _batches(samples: Samples) -> Iterator[Sequence[Tensor]]:
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    def to_tensor(picture: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1)
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)

    def normalize(image: Tensor) -> Tensor:
        mean, std = torch.as_tensor([0.1307]), torch.as_tensor([0.3081])
        return image.clone().sub_(mean[:, None, None]).div_(std[:, None, None])

    class Images(Dataset[tuple["Tensor", int]]):
        def __init__(self) -> None:
            self.images = torch.from_numpy(samples.images).view(-1, 28, 28)
            self.labels = torch.from_numpy(samples.labels)

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            picture = Image.fromarray(self.images[index].numpy(), mode="L")
            return normalize(to_tensor(picture)).flatten(), int(self.labels[index])

    loader = DataLoader(Images(), batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    while True:
        yield from loader


def variants(cores: int) -> list[DataLoaderLoop]:
    """List torch's default, a thread for each core, and one thread."""
    return [DataLoaderLoop(threads) for threads in sorted({1, cores})]
