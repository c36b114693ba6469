"""Data sets that need no file: those that scikit-learn bundles or makes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from fathom.data.arrays import Extent, RawData, check_arrays
from fathom.data.base import Dataset
from fathom.data.config import Source

DIGIT_NAMES: Final = tuple(map(str, range(10)))


def digits() -> Dataset:
    """8x8 grey images of handwritten digits that scikit-learn bundles (values 0 to 16)."""
    extent = Extent(
        num_train=1797,
        num_test=None,
        sample_shape=(8, 8),
        num_classes=10,
        item_size=8,
        class_names=DIGIT_NAMES,
    )

    def load(_source: Source, _folders: Sequence[Path]) -> RawData:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        raw = check_arrays({"x": bunch.images, "y": bunch.target}, "digits")
        return replace(raw, class_names=extent.class_names)

    return Dataset(name="digits", extent=extent, load=load)


def half_moons() -> Dataset:
    """Two interleaved half circles that no line parts: 2,000 points with Gaussian noise of std 0.1.

    The points are the same for every study; the seed of a study's data only cuts and orders them.
    """
    extent = Extent(
        num_train=2000,
        num_test=None,
        sample_shape=(2,),
        num_classes=2,
        item_size=8,
        class_names=("upper", "lower"),
    )

    def load(_source: Source, _folders: Sequence[Path]) -> RawData:
        from sklearn.datasets import make_moons

        x, y = make_moons(n_samples=extent.num_train, noise=0.1, random_state=0)
        return replace(check_arrays({"x": x, "y": y}, "half_moons"), class_names=extent.class_names)

    return Dataset(name="half_moons", extent=extent, load=load)
