"""Tiny-ImageNet in its official layout: the test images have no labels and are not used."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from fathom.data.base import Dataset
from fathom.data.config import Source
from fathom.data.image_files import ImageFiles, LabelledFiles, image_dataset
from fathom.data.image_folder import list_images
from fathom.data.places import find_folder
from fathom.data.readers import describe_error, read_bytes
from fathom.errors import DataError

_LAYOUTS: Final = ("tiny-imagenet-200", "tiny-imagenet-10", "tiny_imagenet", "")
_WNIDS: Final = "wnids.txt"
_WORDS: Final = "words.txt"
_ANNOTATIONS: Final = "val/val_annotations.txt"
_MAX_BYTES: Final = 64 * 2**20  # of a text file; the largest official one has 2.7 MB
_COLUMNS: Final = "must be an image's name, a class of wnids.txt and a box, parted by tabs"


class Line(NamedTuple):
    """One line of a text file.

    Attributes:
        place: File and number of the line, for messages.
        text: Without its end.
    """

    place: str
    text: str


def tiny_imagenet() -> Dataset:
    """64x64 colour images of up to 200 classes of ImageNet; its val part is the test part.

    The order of wnids.txt gives the labels, words.txt the names of the classes.
    """
    return image_dataset("tiny_imagenet", _find_files, takes=("path", "image_size"))


def read_lines(path: Path) -> Iterator[Line]:
    """Read a text file, line by line, without lines that are empty.

    Raises:
        DataError: If it cannot be read, is too long or no text.
    """
    try:
        text = read_bytes(path, _MAX_BYTES).decode()
    except OSError as error:
        raise DataError(describe_error(path, error)) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text in UTF-8 ({error.reason})") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield Line(f"{path}:{number}", line.rstrip())


def is_plain_name(name: str) -> bool:
    """Tell whether a text is the name of a file, and no path that leads elsewhere."""
    return bool(name) and name not in {".", ".."} and not {*name} & {*"/\\\0"}


def _find_files(source: Source, folders: Sequence[Path]) -> ImageFiles:
    root = find_folder("tiny_imagenet", source.path, folders, layouts=_LAYOUTS, marker=_WNIDS)
    wnids = _read_wnids(root / _WNIDS)
    return ImageFiles(
        root=root,
        class_names=_class_names(root / _WORDS, wnids),
        train=_list_train(root, wnids),
        test=_read_annotations(root, wnids),
    )


def _read_wnids(path: Path) -> tuple[str, ...]:
    wnids: dict[str, str] = {}
    for place, text in read_lines(path):
        if not is_plain_name(text):
            raise DataError(f"{place}: got {text[:40]!r}; must be the name of a class's folder")
        if text in wnids:
            raise DataError(f"{place}: class {text} was there before, in {wnids[text]}")
        wnids[text] = place
    if len(wnids) < 2:
        raise DataError(f"{path}: names {len(wnids)} classes; must name at least 2")
    return tuple(wnids)


def _class_names(path: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first word of each class, with its number where two have the same."""
    words = {}
    if path.exists():
        for _, text in read_lines(path):
            wnid, _, meaning = text.partition("\t")
            words[wnid] = meaning.partition(",")[0].strip()
    names = [words.get(wnid) or wnid for wnid in wnids]
    counts = Counter(names)
    pairs = zip(names, wnids, strict=True)
    return tuple(name if counts[name] == 1 else f"{name} ({wnid})" for name, wnid in pairs)


def _list_train(root: Path, wnids: tuple[str, ...]) -> LabelledFiles:
    names: list[str] = []
    labels: list[int] = []
    for label, wnid in enumerate(wnids):
        folder = f"train/{wnid}/images"
        images = list_images(root / folder)
        names += [f"{folder}/{image}" for image in images]
        labels += [label] * len(images)
    return LabelledFiles(names=tuple(names), labels=np.array(labels, np.int64))


def _read_annotations(root: Path, wnids: tuple[str, ...]) -> LabelledFiles:
    known = {wnid: label for label, wnid in enumerate(wnids)}
    there = {*list_images(root / "val/images")}
    found: dict[str, int] = {}
    for place, text in read_lines(root / _ANNOTATIONS):
        name, *rest = text.split("\t")
        if not rest or not is_plain_name(name):
            raise DataError(f"{place}: got {text[:60]!r}; {_COLUMNS}")
        if rest[0] not in known:
            raise DataError(f"{place}: class {rest[0][:40]!r} is not in {_WNIDS}; {_COLUMNS}")
        if name not in there:
            raise DataError(f"{place}: there is no image {root / 'val/images' / name}")
        if name in found:
            raise DataError(f"{place}: image {name} has a line before this one")
        found[name] = known[rest[0]]
    missing = sorted(there - found.keys())
    if missing:
        raise DataError(
            f"{root / _ANNOTATIONS}: has no line for {len(missing):,} of {len(there):,} images, "
            f"such as {missing[0]}; {_COLUMNS}"
        )
    names = tuple(f"val/images/{name}" for name in found)
    return LabelledFiles(names=names, labels=np.array([*found.values()], np.int64))
