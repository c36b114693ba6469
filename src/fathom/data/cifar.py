"""CIFAR-10 from its official files: batches in bytes or in pickles, unpacked or in their archive.

Shapes: N images, C channels (3), H height, W width. A row is a label and then C x H x W pixels.

Not covered: damage of single pixels in unpacked binary batches, of which no checksum is published.
"""

import hashlib
import io
import logging
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fathom.data import fetch
from fathom.data.arrays import Extent, RawData, Samples
from fathom.data.base import Dataset
from fathom.data.config import Source
from fathom.data.decoded import cached, is_cached
from fathom.data.fetch import Collection, DataFile
from fathom.data.pickled import read_pickle
from fathom.data.readers import describe_error, read_bytes
from fathom.errors import DataError

_log = logging.getLogger(__name__)

Rows = npt.NDArray[np.uint8]

_EXTENT: Final = Extent(
    num_train=50_000,
    num_test=10_000,
    sample_shape=(3, 32, 32),
    num_classes=10,
    item_size=1,
    class_names=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
)
_PICKLE_MARGIN: Final = 2**20  # a pickled batch holds the names of its images, too
_LAYOUTS: Final = ("", "cifar10", "CIFAR10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The files of one version of CIFAR-10.

    Attributes:
        folder: Where they lie once unpacked, and in the archive.
        names: Of the training batches and, last, the test batch.
        archive: Where to find all of them packed.
        md5: Of each file, in hexadecimal digits; empty where none is published.
    """

    folder: str
    names: tuple[str, ...]
    archive: Collection
    md5: tuple[str, ...] = ()

    @property
    def file(self) -> DataFile:
        """The archive itself."""
        return self.archive.files[0]


BINARY: Final = Batches(
    folder="cifar-10-batches-bin",
    names=(*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"),
    archive=Collection(
        name="cifar10",
        files=(
            DataFile(
                name="cifar-10-binary.tar.gz",
                md5="c32a1d4ab5d03f1284b67883e8d87530",
                size=170_052_171,
            ),
        ),
        layouts=_LAYOUTS,
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        hint="The unpacked folder cifar-10-batches-bin or cifar-10-batches-py will do as well.",
    ),
)
PYTHON: Final = Batches(
    folder="cifar-10-batches-py",
    names=(*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"),
    archive=Collection(
        name="cifar10",
        files=(
            DataFile(
                name="cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a",
                size=170_498_071,
            ),
        ),
        layouts=_LAYOUTS,
    ),
    md5=(
        "c99cafc152244af753f735de768cd75f",
        "d4bba439e000b95fd0a9bffe97cbabec",
        "54ebc095f3ab1f0389bbae665268c751",
        "634d18415352ddfa80567beed471001a",
        "482c414d41f54cd18b22e5b47cb7c3cb",
        "40351d587109b95175f43aff81a1287e",
    ),
)


def cifar10() -> Dataset:
    """32x32 colour images of animals and vehicles; 50,000 to train and 10,000 to test."""
    return cifar_images("cifar10", BINARY, PYTHON, _EXTENT)


def cifar_images(name: str, binary: Batches, python: Batches, extent: Extent) -> Dataset:
    """Make a data set of CIFAR's files.

    Args:
        name: The data set's name.
        binary: The version in bytes, which is downloaded where nothing is found.
        python: The version in pickles.
        extent: How many images each part has; the training batches are equally long.
    """
    num_rows = extent.num_train + (extent.num_test or 0)
    shape = (num_rows, 1 + extent.num_features)
    key = (name, *(version.file.md5 for version in (binary, python)))

    def load(_source: Source, folders: Sequence[Path]) -> RawData:
        rows, troubles = _unpacked((binary, python), extent, folders)
        if rows is None:
            try:
                rows = cached(key, shape, lambda: _from_archive(binary, python, extent, folders))
            except DataError as error:
                raise DataError("\n".join([str(error), *troubles])) from error
        return _parts(rows, extent, name)

    def at_hand(_source: Source, folders: Sequence[Path]) -> bool:
        return is_cached(key) or any(
            True
            for version in (binary, python)
            if fetch.is_at_hand(version.archive, folders) or any(_folders(version, folders))
        )

    return Dataset(name=name, extent=extent, load=load, collection=binary.archive, at_hand=at_hand)


def _unpacked(
    versions: Sequence[Batches], extent: Extent, folders: Sequence[Path]
) -> tuple[Rows | None, list[str]]:
    """Read the first good folder of batches, if there is one; tell what is wrong with others."""
    troubles: list[str] = []
    for version in versions:
        for folder in _folders(version, folders):
            try:
                contents = [_read(folder / name, extent) for name in version.names]
                return np.concatenate(list(_rows(version, contents, extent, folder))), troubles
            except DataError as error:
                _log.warning("%s", error)
                troubles.append(f"  {error}")
    return None, troubles


def _folders(version: Batches, folders: Sequence[Path]) -> Iterator[Path]:
    for root in fetch.search_folders(folders):
        for layout in _LAYOUTS:
            for folder in (root / layout / version.folder, root / layout):
                if (folder / version.names[0]).exists():
                    yield folder


def _read(path: Path, extent: Extent) -> bytes:
    try:
        return read_bytes(path, _batch_size(extent) + _PICKLE_MARGIN)
    except OSError as error:
        raise DataError(describe_error(path, error)) from error


def _batch_size(extent: Extent) -> int:
    return (extent.num_train + (extent.num_test or 0)) * (1 + extent.num_features)


def _from_archive(
    binary: Batches, python: Batches, extent: Extent, folders: Sequence[Path]
) -> Iterator[Rows]:
    at_hand = [v for v in (binary, python) if fetch.is_at_hand(v.archive, folders)]
    version = (at_hand or [binary])[0]
    archive = fetch.obtain(version.archive, version.file, folders)
    contents = _unpack(archive, version, _batch_size(extent) + _PICKLE_MARGIN)
    yield from _rows(version, contents, extent, version.file.name)


def _unpack(archive: bytes, version: Batches, limit: int) -> list[bytes]:
    """Read an archive's batches into memory; nothing is written, whatever its paths say.

    Raises:
        DataError: If one is missing or longer than the limit, or the archive is damaged.
    """
    wanted = {f"{version.folder}/{name}" for name in version.names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
            for member in members:
                stream = members.extractfile(member) if member.name in wanted else None
                if stream is not None:
                    found[member.name] = stream.read(limit + 1)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{version.file.name}: is a damaged archive ({error})") from error
    missing = sorted(wanted - {*found})
    if missing:
        raise DataError(f"{version.file.name}: lacks {', '.join(missing)}")
    return [found[f"{version.folder}/{name}"] for name in version.names]


def _rows(
    version: Batches, contents: Sequence[bytes], extent: Extent, where: Path | str
) -> Iterator[Rows]:
    num_batches = len(version.names) - 1
    for index, (name, content) in enumerate(zip(version.names, contents, strict=True)):
        count = extent.num_train // num_batches if index < num_batches else extent.num_test or 0
        shape = (count, 1 + extent.num_features)
        source = f"{where}/{name}"
        if version.md5:
            _verify(content, version.md5[index], source)
        is_binary = name.endswith(".bin")
        yield (parse_batch if is_binary else parse_pickled_batch)(content, shape, source)


def _verify(content: bytes, md5: str, source: str) -> None:
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != md5:
        raise DataError(
            f"{source}: is damaged or another file: its md5 is {got}, the official one's {md5}"
        )


def parse_batch(content: bytes, shape: tuple[int, int], source: str) -> Rows:
    """Read a batch in bytes: rows of one label and the red, green and blue pixels.

    Args:
        content: The bytes of the file.
        shape: Rows, and bytes of each.
        source: File name, for messages.

    Raises:
        DataError: If it has another length.
    """
    if len(content) != shape[0] * shape[1]:
        raise DataError(
            f"{source}: has {len(content):,} bytes; must have {shape[0]:,} x {shape[1]:,}, a label "
            "and the pixels of each image"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def parse_pickled_batch(content: bytes, shape: tuple[int, int], source: str) -> Rows:
    """Read a batch in a pickle, which is not run: see `pickled.read_pickle`.

    Raises:
        DataError: If it is damaged, or holds anything but labels and pixels of this shape.
    """
    found = read_pickle(content, source)
    pixels, labels = found.get("data"), found.get("labels")
    good = isinstance(pixels, np.ndarray) and pixels.shape == (shape[0], shape[1] - 1)
    if not good or not isinstance(labels, list) or len(labels) != shape[0]:
        raise DataError(
            f"{source}: must hold 'data', {shape[0]:,} x {shape[1] - 1:,} pixels, and 'labels', "
            "one for each image"
        )
    if not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise DataError(f"{source}: holds a label that is no class")
    return np.column_stack([np.array(labels, np.uint8), pixels])


def _parts(rows: Rows, extent: Extent, name: str) -> RawData:
    if int(rows[:, 0].max()) >= extent.num_classes:
        raise DataError(
            f"{name}: holds the label {int(rows[:, 0].max())}; must be below {extent.num_classes}"
        )
    inputs = rows[:, 1:].reshape(len(rows), *extent.sample_shape)
    samples = Samples(inputs=inputs, labels=rows[:, 0].astype(np.int64))
    cut = extent.num_train
    return RawData(
        train=replace(samples, inputs=inputs[:cut], labels=samples.labels[:cut]),
        test=replace(samples, inputs=inputs[cut:], labels=samples.labels[cut:]),
        class_names=extent.class_names,
    )
