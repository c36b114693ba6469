"""The samples that the rivals train on, and their way to the processes of the rivals."""

from pathlib import Path

import numpy as np

from benchmarks.setting import EPOCH_SAMPLES, NUM_CLASSES, NUM_FEATURES, Samples


def random_samples() -> Samples:
    """Draw as many images and labels as MNIST has: uniform bytes, of the same shape and type."""
    draws = np.random.default_rng(0)
    return Samples(
        images=draws.integers(0, 256, (EPOCH_SAMPLES, NUM_FEATURES), dtype=np.uint8),
        labels=draws.integers(0, NUM_CLASSES, EPOCH_SAMPLES),
    )


def mnist(folder: Path) -> Samples:
    """Read MNIST's training part.

    Args:
        folder: Where its four files are.

    Raises:
        DataError: If they are neither there nor elsewhere, or damaged.
    """
    from fathom.data.config import Source
    from fathom.data.datasets import DATASETS
    from fathom.registry import Choice

    train = DATASETS.build(Choice("mnist")).load(Source(), [folder]).train
    return Samples(images=train.inputs.reshape(len(train.inputs), -1), labels=train.labels)


def save(samples: Samples, folder: Path) -> None:
    """Write the samples where processes find them."""
    np.save(folder / "images.npy", samples.images)
    np.save(folder / "labels.npy", samples.labels)


def load(folder: Path) -> Samples:
    """Read what `save` wrote."""
    return Samples(np.load(folder / "images.npy"), np.load(folder / "labels.npy"))
