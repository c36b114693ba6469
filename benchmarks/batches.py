"""Does the input keep up? A batch of images made ready, beside one training step on it.

    python -m benchmarks.batches

The batch is gathered from bytes in memory or in a mapped file, flipped and cropped, and scaled to
float32; the step is forward, backward and SGD of LeNet, the smallest network for images that
people train. Times are one thread's own, whatever else runs, and only their ratio means anything.

Shapes: N samples, B batch, I numbers of a sample.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fathom.data.augment import augment
from fathom.data.config import Augment
from fathom.data.scaling import Scale

SAMPLE_SHAPE: Final = (3, 32, 32)
NUM_SAMPLES: Final = 50_000
BATCH: Final = 128
ROUNDS: Final = 25
ENOUGH: Final = 5.0  # a step must take this many times as long as its batch


class Pace(NamedTuple):
    """Medians over rounds.

    Attributes:
        batch_ms: To make one batch ready, in milliseconds.
        step_ms: Of one training step on it.
        ratio: How many batches could be made ready in the time of one step.
    """

    batch_ms: float
    step_ms: float
    ratio: float


def lenet(num_classes: int = 10) -> nn.Sequential:
    """Make LeNet for 32x32 colours.

    Source: LeCun et al. 1998, doi:10.1109/5.726791, fig. 2, with ReLU and largest values.
    """
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def measure(inputs_NI: Tensor, how: Augment = "flip_crop", rounds: int = ROUNDS) -> Pace:
    """Time batches and steps in turn.

    Args:
        inputs_NI: `[N, I]`, uint8.
        how: What is done by chance to each image.
        rounds: Batches, each with its step.
    """
    chance = torch.Generator().manual_seed(0)
    scale = Scale(shift=120.0, divisor=64.0)
    network = lenet()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    targets_B = torch.randint(10, (BATCH,), generator=chance)

    def make_batch() -> Tensor:
        index_B = torch.randint(len(inputs_NI), (BATCH,), generator=chance)
        raw_BI = augment(inputs_NI.index_select(0, index_B), SAMPLE_SHAPE, how, chance)
        return scale(raw_BI, torch.float32).view(BATCH, *SAMPLE_SHAPE)

    def step(batch: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), targets_B).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step(make_batch())  # the first one allocates
    times = [_round(make_batch, step) for _ in range(rounds)]
    batch_ms, step_ms = (1e3 * statistics.median(each) for each in zip(*times, strict=True))
    return Pace(batch_ms, step_ms, statistics.median(slow / fast for fast, slow in times))


def _round(make_batch: Callable[[], Tensor], step: Callable[[Tensor], None]) -> tuple[float, float]:
    start = time.process_time()
    batch = make_batch()
    ready = time.process_time()
    step(batch)
    return ready - start, time.process_time() - ready


def random_images(num_samples: int = NUM_SAMPLES) -> Tensor:
    """Draw as many images as CIFAR-10 trains on, of the same shape and type."""
    draws = np.random.default_rng(0)
    size = (num_samples, int(np.prod(SAMPLE_SHAPE)))
    return torch.from_numpy(draws.integers(0, 256, size, dtype=np.uint8))


def main() -> None:
    """Print how long batches and steps take."""
    torch.set_num_threads(1)
    inputs_NI = random_images()
    with tempfile.TemporaryFile() as file:
        file.write(inputs_NI.numpy().data)
        file.flush()
        mapped_NI = np.memmap(file, np.uint8, mode="c", shape=tuple(inputs_NI.shape))
        places = {"in memory": inputs_NI, "mapped": torch.from_numpy(mapped_NI)}
        ways: tuple[Augment, ...] = ("none", "flip", "crop", "flip_crop")
        for place, images in places.items():
            for how in ways:
                pace = measure(images, how)
                enough = "enough" if pace.ratio >= ENOUGH else f"NOT {ENOUGH:g} times"
                print(
                    f"{place}, {how}: batch of {BATCH} {pace.batch_ms:.2f} ms, LeNet's step "
                    f"{pace.step_ms:.2f} ms, {pace.ratio:.1f} times as long: {enough}"
                )


if __name__ == "__main__":
    main()
