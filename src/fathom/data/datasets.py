"""The data sets by name: what they are, how large they are, how to load them.

To add one: a function here that returns a `Dataset`, listed in `DATASETS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from fathom.data import fetch, npz
from fathom.data.arrays import QUARTET, Extent, RawData, check_arrays
from fathom.data.config import DataConfig
from fathom.data.fetch import Collection, DataFile
from fathom.data.readers import parse_idx
from fathom.errors import DataError
from fathom.registry import Choice, Registry

Load = Callable[[str | None, Sequence[Path]], RawData]

_IMAGES_28: Final = Extent(
    num_train=60_000, num_test=10_000, sample_shape=(28, 28), num_classes=10, item_size=1
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set.

    Attributes:
        name: Name in the registry.
        extent: None when it is known only after loading.
        load: `load(path, folders)` finds, verifies and reads it; `path` only for the user's own.
        collection: Its files, where they are published; None for what needs none.
    """

    name: str
    extent: Extent | None
    load: Load
    collection: Collection | None = None


def digits() -> Dataset:
    """8x8 grey images of handwritten digits that scikit-learn bundles (values 0 to 16)."""

    def load(_path: str | None, _folders: Sequence[Path]) -> RawData:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return check_arrays({"x": bunch.images, "y": bunch.target}, "digits")

    return Dataset(
        name="digits",
        extent=Extent(
            num_train=1797, num_test=None, sample_shape=(8, 8), num_classes=10, item_size=8
        ),
        load=load,
    )


def half_moons() -> Dataset:
    """Two interleaved half circles that no line parts: 2,000 points with Gaussian noise of std 0.1.

    The points are the same for every study; the seed of a study's data only cuts and orders them.
    """
    num_points = 2000

    def load(_path: str | None, _folders: Sequence[Path]) -> RawData:
        from sklearn.datasets import make_moons

        x, y = make_moons(n_samples=num_points, noise=0.1, random_state=0)
        return check_arrays({"x": x, "y": y}, "half_moons")

    return Dataset(
        name="half_moons",
        extent=Extent(
            num_train=num_points, num_test=None, sample_shape=(2,), num_classes=2, item_size=8
        ),
        load=load,
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
    return idx_images(collection, _IMAGES_28)


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
    return idx_images(collection, _IMAGES_28)


def arrays() -> Dataset:
    """The user's own samples and class labels, from an `.npz` file or from Python."""

    def load(path: str | None, folders: Sequence[Path]) -> RawData:
        return npz.read_npz(_resolve(path, folders))

    return Dataset(
        name="arrays",
        extent=None,
        load=load,
    )


DATASETS: Final[Registry[Dataset]] = Registry(
    "data set", (digits, half_moons, mnist, fashion_mnist, arrays)
)


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
    """

    num_features: int
    num_classes: int
    num_train: int
    num_validation: int
    num_test: int
    item_size: int

    @property
    def num_samples(self) -> int:
        """Samples that are kept in memory."""
        return self.num_train + self.num_validation + self.num_test


def find(config: DataConfig) -> Dataset:
    """Find the data set that a configuration names.

    Raises:
        ComponentError: If there is none of this name.
        DataError: If it has a path that the data set does not take.
    """
    dataset = DATASETS.build(Choice(config.name))
    if config.path is not None and dataset.name != arrays.__name__:
        raise DataError(
            f"data.path: got {config.path!r}, but data set '{config.name}' takes no path; leave it "
            "out, or use data set 'arrays' for a file of your own"
        )
    return dataset


def is_at_hand(config: DataConfig, folders: Sequence[Path] = ()) -> bool:
    """Tell whether a data set can be loaded without the network."""
    collection = find(config).collection
    return collection is None or fetch.is_at_hand(collection, folders)


def measure(config: DataConfig, folders: Sequence[Path] = ()) -> Sizes:
    """Tell the sizes that planning needs; only the user's own arrays are read for that.

    Raises:
        ComponentError: If there is no such data set.
        DataError: If the user's file is not usable, or the split leaves a part without samples.
    """
    dataset = find(config)
    extent = dataset.extent or dataset.load(config.path, folders).extent
    train, validation, test = count_parts(config, extent).limited(config.limit)
    return Sizes(extent.num_features, extent.num_classes, train, validation, test, extent.item_size)


def count_parts(config: DataConfig, extent: Extent) -> PartCounts:
    """Count what each part gets before `limit`; shares are rounded to whole samples.

    Raises:
        DataError: If a part would be without samples.
    """
    cut = 0 if extent.num_test is not None else round(extent.num_train * config.test_share)
    rest = extent.num_train - cut
    validation = round(rest * config.validation_share) if config.protocol == "holdout" else 0
    counts = PartCounts(rest - validation, validation, extent.num_test or cut)
    if min(counts.train, counts.test) < 1 or (validation < 1 and config.protocol == "holdout"):
        raise DataError(
            f"data: {extent.num_train:,} samples of '{config.name}' leave {counts.train:,} to "
            f"train, {validation:,} to validate and {counts.test:,} to test; each needs one. "
            "Change validation_share or test_share"
        )
    return counts


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

    def load(_path: str | None, folders: Sequence[Path]) -> RawData:
        found = {
            key: parse_idx(fetch.obtain(collection, file, folders), file.name)
            for key, file in zip(QUARTET, collection.files, strict=True)
        }
        names = ", ".join(file.name for file in collection.files)
        return check_arrays(found, f"{collection.name} ({names})")

    return Dataset(name=collection.name, extent=extent, load=load, collection=collection)


def _resolve(path: str | None, folders: Sequence[Path]) -> Path:
    """Find the user's file: an absolute path, or below a data folder or the current one.

    Raises:
        DataError: If it is nowhere.
    """
    if not path or "\0" in path:
        raise DataError(
            f"data.path: got {path!r}; data set 'arrays' needs the path of an .npz file"
        )
    roots = [*fetch.search_folders(folders), Path()]
    wanted = Path(path).expanduser()
    candidates = list(dict.fromkeys((root / wanted).absolute() for root in roots))
    for candidate in candidates:
        if _is_there(candidate):
            return candidate
    looked = ", ".join(map(str, candidates))
    raise DataError(
        f"{path}: no such file; looked at {looked}. Give data.path as an absolute path, "
        f"or name its folder with --data-dir or {fetch.FOLDERS_VARIABLE}"
    )


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # such as a folder without permission: reading the file will say so
        return True
    return True
