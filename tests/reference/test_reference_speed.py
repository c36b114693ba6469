"""The hand-written engine is for reading, and yet not slow."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fathom.data.scaling import Scale
from fathom.data.splits import Part, PreparedData
from fathom.engine.reference import ReferenceEngine
from fathom.engine.single import SingleEngine
from fathom.spec.grid import Run

NUM_TRAIN = 3200


def mnist_like(run: Run) -> PreparedData:
    """Random pixels of MNIST's shape: time does not depend on what they show."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (NUM_TRAIN, 784), generator=rng, dtype=torch.uint8)
    part = Part(inputs=pixels, targets=torch.randint(10, (NUM_TRAIN,), generator=rng))
    return PreparedData(
        train=part,
        validation=None,
        test=part,
        scale=Scale(divisor=255.0),
        num_features=784,
        num_classes=10,
        sample_shape=(28, 28),
        config=run.data,
        digest="made for tests",
    )


@pytest.mark.slow
def test_an_epoch_by_hand_takes_less_than_five_times_the_torch_loops(
    make_run: Callable[..., Run],
) -> None:
    """784-128-10, batches of 100, float64 against the usual float32; processor time, one thread."""
    by_hand = make_run(hidden=(128,), batch_size=100, engine="reference", precision="float64")
    torchs = replace(by_hand, engine="single", precision="float32")
    data = mnist_like(by_hand)
    engines = (ReferenceEngine([by_hand], data), SingleEngine([torchs], data))
    times: tuple[list[float], list[float]] = ([], [])
    for epoch in range(1, 6):
        for engine, took in zip(engines, times, strict=True):
            start = time.process_time()
            engine.train_epoch(epoch)
            took.append(time.process_time() - start)
    hand, torch_loop = (sorted(took)[2] for took in times)
    assert hand < 5 * torch_loop
