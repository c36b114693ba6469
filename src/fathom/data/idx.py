"""MNIST and data sets in its format: four files of unsigned bytes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from fathom.data import fetch
from fathom.data.arrays import QUARTET, Extent, RawData, check_arrays
from fathom.data.base import Dataset
from fathom.data.bundled import DIGIT_NAMES
from fathom.data.config import Source
from fathom.data.fetch import Collection, DataFile
from fathom.data.readers import parse_idx

_IMAGES_28: Final = Extent(
    num_train=60_000, num_test=10_000, sample_shape=(28, 28), num_classes=10, item_size=1
)
_CLOTHES: Final = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def mnist() -> Dataset:
    """28x28 grey images of handwritten digits; 60,000 to train and 10,000 to test."""
    collection = Collection(
        name="mnist",
        files=idx_files(
            _IMAGES_28,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        layouts=("MNIST/raw", "mnist", ""),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    )
    return idx_images(collection, replace(_IMAGES_28, class_names=DIGIT_NAMES))


def fashion_mnist() -> Dataset:
    """28x28 grey images of clothing; 60,000 to train and 10,000 to test."""
    collection = Collection(
        name="fashion_mnist",
        files=idx_files(
            _IMAGES_28,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        layouts=("FashionMNIST/raw", "fashion_mnist", "fashion-mnist", ""),
        system_folders=(Path("/usr/share/datasets/fashion-mnist"),),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        hint="On Debian and Ubuntu the package dataset-fashion-mnist has them too.",
    )
    return idx_images(collection, replace(_IMAGES_28, class_names=_CLOTHES))


def idx_files(extent: Extent, *sha256: str) -> tuple[DataFile, ...]:
    """Name the four files of MNIST's format: images and labels to train, then those to test."""
    files = []
    for prefix, count in (("train", extent.num_train), ("t10k", extent.num_test or 0)):
        # The headers have 16 and 8 bytes: a magic number and three dimensions, or one.
        files.append((f"{prefix}-images-idx3-ubyte", 16 + count * extent.num_features))
        files.append((f"{prefix}-labels-idx1-ubyte", 8 + count))
    return tuple(
        DataFile(name=name, size=size, sha256=digest)
        for (name, size), digest in zip(files, sha256, strict=True)
    )


def idx_images(collection: Collection, extent: Extent) -> Dataset:
    """Make a data set of the four files that `idx_files` names."""

    def load(_source: Source, folders: Sequence[Path]) -> RawData:
        found = {
            key: parse_idx(fetch.obtain(collection, file, folders), file.name)
            for key, file in zip(QUARTET, collection.files, strict=True)
        }
        names = ", ".join(file.name for file in collection.files)
        raw = check_arrays(found, f"{collection.name} ({names})")
        return replace(raw, class_names=extent.class_names)

    return Dataset(name=collection.name, extent=extent, load=load, collection=collection)
