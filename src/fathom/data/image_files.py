"""Data sets made of image files: listed, measured by one header, decoded once into the cache.

Shapes: N images, C channels, H height, W width, K classes.
"""

import logging
import os
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fathom.data.arrays import Extent, RawData, Samples
from fathom.data.base import Dataset
from fathom.data.config import Source
from fathom.data.decoded import cached, is_cached
from fathom.data.images import decode, image_shape
from fathom.data.readers import describe_error
from fathom.errors import DataError

_log = logging.getLogger(__name__)

MANY: Final = 5_000  # files; fewer are decoded within seconds
_BLOCK: Final = 512  # images that are decoded before they are written
_MOST_THREADS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFiles:
    """The images of one part, none of them opened.

    Attributes:
        names: Path of each below the data set's folder.
        labels: `[N]`, int64; or `[N, K]`, uint8, 1 for each label that an image has.
    """

    names: tuple[str, ...]
    labels: npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """A data set of image files.

    Attributes:
        root: Its folder.
        class_names: One for each label.
        train: Images to train on.
        test: Images to test on; None where a part is to be cut.
        validation: Images to select on; None where there are none.
    """

    root: Path
    class_names: tuple[str, ...]
    train: LabelledFiles
    test: LabelledFiles | None = None
    validation: LabelledFiles | None = None

    @property
    def parts(self) -> tuple[LabelledFiles, ...]:
        """All parts that there are."""
        return tuple(p for p in (self.train, self.validation, self.test) if p is not None)


FindFiles = Callable[[Source, Sequence[Path]], ImageFiles]


def image_dataset(
    name: str,
    find_files: FindFiles,
    *,
    takes: tuple[str, ...],
    image_size: int | None = None,
    needs_path: str = "",
) -> Dataset:
    """Make a data set of image files.

    Args:
        name: Its name.
        find_files: `find_files(source, folders)` lists and labels them.
        takes: Settings of `Source` that mean something to it.
        image_size: Height and width where the user asks for none; None to keep the images' own.
        needs_path: As for `Dataset`.
    """

    def load(source: Source, folders: Sequence[Path]) -> RawData:
        files = find_files(source, folders)
        wanted = source.image_size or image_size
        parts = {id(part): _load_part(name, files, part, wanted) for part in files.parts}
        return RawData(
            train=parts[id(files.train)],
            test=parts.get(id(files.test)),
            validation=parts.get(id(files.validation)),
            class_names=files.class_names,
        )

    def measure(source: Source, folders: Sequence[Path]) -> Extent:
        files = find_files(source, folders)
        return Extent(
            num_train=len(files.train.names),
            num_test=None if files.test is None else len(files.test.names),
            num_validation=None if files.validation is None else len(files.validation.names),
            sample_shape=_first_shape(files, source.image_size or image_size),
            num_classes=len(files.class_names),
            item_size=1,
            class_names=files.class_names,
            multi_label=files.train.labels.ndim == 2,
        )

    def at_hand(source: Source, folders: Sequence[Path]) -> bool:
        try:
            files = find_files(source, folders)
            wanted = source.image_size or image_size
            keys = [_key(name, files.root, part.names, wanted) for part in files.parts]
        except DataError:  # it is told when the data set is measured or loaded
            return False
        return sum(len(part.names) for part in files.parts) <= MANY or all(map(is_cached, keys))

    return Dataset(
        name=name,
        extent=None,
        load=load,
        measure=measure,
        at_hand=at_hand,
        takes=takes,
        needs_path=needs_path,
    )


def stamps(root: Path, names: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of the last change (nanoseconds) of files.

    Raises:
        DataError: If one is not there.
    """
    found = []
    for name in names:
        try:
            state = os.stat(f"{root}/{name}")  # paths as objects would take most of the time
        except OSError as error:
            raise DataError(describe_error(root / name, error)) from error
        found.append((name, state.st_size, state.st_mtime_ns))
    return tuple(found)


def decode_blocks(
    root: Path, names: Sequence[str], image_size: int | None, shape: tuple[int, ...], first: Path
) -> Iterator[npt.NDArray[np.uint8]]:
    """Decode images with all cores, in their order.

    Args:
        root: Folder of the data set.
        names: Paths below it.
        image_size: As for `images.decode`.
        shape: Of each image, `[C, H, W]`.
        first: The image that has it, for messages.

    Yields:
        `[n, C, H, W]`.

    Raises:
        DataError: If an image cannot be decoded or has another shape.
    """

    def decode_one(name: str) -> npt.NDArray[np.uint8]:
        pixels = decode(root / name, image_size)
        if pixels.shape != shape:
            raise DataError(_describe_difference(first, shape, root / name, pixels.shape))
        return pixels

    begin = time.monotonic()
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        for start in range(0, len(names), _BLOCK):
            yield np.stack(list(pool.map(decode_one, names[start : start + _BLOCK])))
            _tell(root, min(start + _BLOCK, len(names)), len(names), time.monotonic() - begin)


def _load_part(
    name: str, files: ImageFiles, part: LabelledFiles, image_size: int | None
) -> Samples:
    shape = _first_shape(files, image_size)
    first = files.root / files.train.names[0]
    inputs = cached(
        _key(name, files.root, part.names, image_size),
        (len(part.names), *shape),
        lambda: decode_blocks(files.root, part.names, image_size, shape, first),
    )
    return Samples(inputs=inputs, labels=part.labels)


def _first_shape(files: ImageFiles, image_size: int | None) -> tuple[int, int, int]:
    return image_shape(files.root / files.train.names[0], image_size)


def _key(name: str, root: Path, names: Sequence[str], image_size: int | None) -> Hashable:
    # The folder counts, too: two data sets can have the same names, sizes and times.
    return name, str(root.absolute()), image_size, stamps(root, names)


def _describe_difference(
    first: Path, expected: tuple[int, ...], other: Path, shape: tuple[int, ...]
) -> str:
    suggested = 2 ** round(log2(min(expected[1:])))
    return (
        f"{first} is {expected[2]} x {expected[1]} pixels and {other} {shape[2]} x {shape[1]}; "
        f"images must have one size: set data.image_size, such as data.image_size: {suggested}"
    )


def _tell(root: Path, done: int, total: int, elapsed_s: float) -> None:
    """Log how far decoding is, about ten times in all, where it takes a while."""
    tenth = 10 * done // total
    if total > MANY and (done == total or tenth > 10 * (done - _BLOCK) // total):
        speed = done / max(elapsed_s, 1e-9)
        _log.info("%s: decoded %s of %s images, %.0f/s", root, f"{done:,}", f"{total:,}", speed)
