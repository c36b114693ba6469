"""The data sets by name: what they are, how large they are, how to load them.

To add one: a function that returns a `Dataset`, in a file of its own, listed in `DATASETS`.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from fathom.data import fetch, npz
from fathom.data.arrays import Extent, RawData
from fathom.data.augment import is_image
from fathom.data.base import Dataset
from fathom.data.bundled import digits, half_moons
from fathom.data.cifar import cifar10
from fathom.data.config import DataConfig, Source
from fathom.data.idx import fashion_mnist, mnist
from fathom.data.image_folder import image_folder
from fathom.data.places import find_path
from fathom.data.tiny_imagenet import tiny_imagenet
from fathom.data.voc import voc
from fathom.errors import DataError
from fathom.registry import Choice, Registry


def arrays() -> Dataset:
    """The user's own samples and class labels, from an `.npz` file or from Python."""

    def load(source: Source, folders: Sequence[Path]) -> RawData:
        needs = "data set 'arrays' needs the path of an .npz file"
        return npz.read_npz(find_path(source.path, folders, needs))

    return Dataset(
        name="arrays", extent=None, load=load, takes=("path",), needs_path="an .npz file"
    )


DATASETS: Final[Registry[Dataset]] = Registry(
    "data set",
    (
        digits,
        half_moons,
        mnist,
        fashion_mnist,
        cifar10,
        tiny_imagenet,
        image_folder,
        voc,
        arrays,
    ),
)


@cache
def takers(setting: str) -> tuple[str, ...]:
    """Name the data sets to which `path`, `image_size` or `classes` means something."""
    return tuple(n for n in DATASETS.names() if setting in DATASETS.build(Choice(n)).takes)


def needs_path(name: str) -> str:
    """Tell what the path of a data set must name; empty where it needs none."""
    return DATASETS.build(Choice(name)).needs_path


class PartCounts(NamedTuple):
    """Samples in each part; validation is 0 where it is not a part of its own."""

    train: int
    validation: int
    test: int

    def limited(self, limit: int | None) -> "PartCounts":
        """Keep at most `limit` samples of each part."""
        return self if limit is None else PartCounts(*(min(count, limit) for count in self))


class Sizes(NamedTuple):
    """What planning needs to know of prepared data.

    Attributes:
        num_features: Numbers in one sample.
        num_classes: Number of labels.
        num_train: Training samples after the split and `limit`.
        num_validation: Likewise; 0 where validation is not a part of its own.
        num_test: Likewise.
        item_size: Bytes of one stored number.
        sample_shape: Shape of one sample.
        multi_label: Whether a sample may have several labels.
    """

    num_features: int
    num_classes: int
    num_train: int
    num_validation: int
    num_test: int
    item_size: int
    sample_shape: tuple[int, ...] = ()
    multi_label: bool = False

    @property
    def num_samples(self) -> int:
        """Samples that are kept in memory."""
        return self.num_train + self.num_validation + self.num_test


def find(config: DataConfig) -> Dataset:
    """Find the data set that a configuration names.

    Raises:
        ComponentError: If there is none of this name.
        DataError: If it is given a setting that means nothing to it.
    """
    dataset = DATASETS.build(Choice(config.name))
    for setting, value in config.source._asdict().items():
        if value and setting not in dataset.takes:
            raise DataError(
                f"data.{setting}: got {value!r}, but data set '{config.name}' takes no {setting}; "
                f"leave it out, or use one that takes it: {', '.join(takers(setting))}"
            )
    return dataset


def is_at_hand(config: DataConfig, folders: Sequence[Path] = ()) -> bool:
    """Tell whether loading needs neither the network nor minutes to decode images."""
    dataset = find(config)
    if dataset.at_hand is not None:
        return dataset.at_hand(config.source, folders)
    return dataset.collection is None or fetch.is_at_hand(dataset.collection, folders)


def measure(config: DataConfig, folders: Sequence[Path] = ()) -> Sizes:
    """Tell the sizes that planning needs: files are counted, and only the user's arrays are read.

    Raises:
        ComponentError: If there is no such data set.
        DataError: If the user's files are not usable, the split leaves a part without samples, or
            what is to be augmented are no images.
    """
    extent = _extent(find(config), config.source, folders)
    check_augment(config, extent)
    train, validation, test = count_parts(config, extent).limited(config.limit)
    return Sizes(
        extent.num_features,
        extent.num_classes,
        train,
        validation,
        test,
        extent.item_size,
        extent.sample_shape,
        extent.multi_label,
    )


def _extent(dataset: Dataset, source: Source, folders: Sequence[Path]) -> Extent:
    if dataset.extent is not None:
        return dataset.extent
    if dataset.measure is not None:
        return dataset.measure(source, folders)
    return dataset.load(source, folders).extent


def check_augment(config: DataConfig, extent: Extent) -> None:
    """Refuse to flip and crop what is no image.

    Raises:
        DataError: If `augment` is not `none` and a sample is not `[H, W]` or `[C, H, W]`.
    """
    if config.augment != "none" and not is_image(extent.sample_shape):
        raise DataError(
            f"data.augment: got {config.augment!r}, but a sample of '{config.name}' has shape "
            f"{extent.sample_shape}; only images [H, W] or [C, H, W] can be augmented: use none"
        )


def count_parts(config: DataConfig, extent: Extent) -> PartCounts:
    """Count what each part gets before `limit`; shares are rounded to whole samples.

    Raises:
        DataError: If a part would be without samples.
    """
    cut = 0 if extent.num_test is not None else round(extent.num_train * config.test_share)
    rest = extent.num_train - cut
    if config.protocol != "holdout":
        counts = PartCounts(rest, 0, extent.num_test or cut)
    elif extent.num_validation is not None:
        counts = PartCounts(rest, extent.num_validation, extent.num_test or cut)
    else:
        validation = round(rest * config.validation_share)
        counts = PartCounts(rest - validation, validation, extent.num_test or cut)
    needed = counts if config.protocol == "holdout" else (counts.train, counts.test)
    if min(needed) < 1:
        raise DataError(
            f"data: {extent.num_train:,} samples of '{config.name}' leave {counts.train:,} to "
            f"train, {counts.validation:,} to validate and {counts.test:,} to test; each needs "
            "one. Change validation_share or test_share"
        )
    return counts
