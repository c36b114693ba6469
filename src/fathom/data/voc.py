"""PASCAL VOC's segmentations as multi-label classification: which classes are in an image?

Shapes: N images, K classes.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fathom.data.base import Dataset
from fathom.data.config import Source
from fathom.data.decoded import cached
from fathom.data.image_files import ImageFiles, LabelledFiles, image_dataset, stamps
from fathom.data.images import decode_indices
from fathom.data.places import find_folder
from fathom.data.tiny_imagenet import is_plain_name, read_lines
from fathom.errors import DataError, suggestion

# The palette index of a class is its place here plus 1; 0 is the background.
# Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, and the VOC2012 development kit.
VOC_CLASSES: Final = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
TINY_VOC: Final = ("car", "aeroplane", "cat", "person", "bird")
IMAGE_SIZE: Final = 224
_BORDER: Final = 255  # pixels between objects, of no class
_LAYOUTS: Final = ("VOCdevkit/VOC2012", "VOC2012", "")
_LISTS: Final = "ImageSets/Segmentation"


def voc() -> Dataset:
    """Photographs, 224x224, each with all the classes in it: PASCAL VOC 2012's segmentations.

    `data.classes` chooses the labels: car, aeroplane, cat, person and bird when left out. Images
    without any of them are left out. train.txt lists the training part and val.txt the test part.

    Not covered: classes that only the boxes of the detection task have.
    """
    return image_dataset(
        "voc", _find_files, takes=("path", "image_size", "classes"), image_size=IMAGE_SIZE
    )


class VocList(NamedTuple):
    """One of VOC's lists, with the labels of its images.

    Attributes:
        names: Of the images, without an extension.
        labels: `[N, K]`, uint8, 1 for each class that an image shows.
    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.uint8]


def find_voc(path: str | None, folders: Sequence[Path]) -> Path:
    """Find the folder that holds JPEGImages and SegmentationClass.

    Raises:
        DataError: If there is none.
    """
    return find_folder("voc", path, folders, layouts=_LAYOUTS, marker="SegmentationClass")


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Check the names of the classes that are to be labels.

    Raises:
        DataError: If there is none, one is unknown or given twice.
    """
    for name in classes:
        if name not in VOC_CLASSES:
            near = suggestion(name, VOC_CLASSES)
            raise DataError(
                f"classes: VOC has no class {name[:40]!r}.{near} Known: {', '.join(VOC_CLASSES)}"
            )
        if classes.count(name) > 1:
            raise DataError(f"classes: '{name}' is given twice; give it once")
    if not classes:
        raise DataError(f"classes: none is given; known: {', '.join(VOC_CLASSES)}")
    return tuple(classes)


def read_list(root: Path, name: str, classes: Sequence[str]) -> VocList:
    """Read which images a list names, and which of the classes each shows.

    Args:
        root: The folder that holds ImageSets.
        name: `train` or `val`.
        classes: The classes, in the order of the labels.

    Returns:
        The images that show at least one of the classes, in the order of the list.

    Raises:
        DataError: If a file is missing or damaged, or there is no such image.
    """
    names = _read_names(root, name)
    masks = tuple(f"SegmentationClass/{each}.png" for each in names)
    shown = cached(
        ("voc", "classes", str(root.absolute()), stamps(root, masks)),
        (len(masks), len(VOC_CLASSES)),
        lambda: _read_masks(root, masks),
    )
    labels = np.asarray(shown)[:, [VOC_CLASSES.index(each) for each in classes]]
    kept = np.flatnonzero(labels.any(axis=1))
    if not kept.size:
        raise DataError(f"{root / _LISTS / name}.txt: no image shows {', '.join(classes)}")
    return VocList(tuple(names[index] for index in kept), labels[kept])


def image_name(name: str) -> str:
    """Return the path of an image below VOC's folder."""
    return f"JPEGImages/{name}.jpg"


def _find_files(source: Source, folders: Sequence[Path]) -> ImageFiles:
    classes = check_classes(source.classes or TINY_VOC)
    root = find_voc(source.path, folders)
    train, test = (_label(read_list(root, name, classes)) for name in ("train", "val"))
    return ImageFiles(root=root, class_names=classes, train=train, test=test)


def _label(found: VocList) -> LabelledFiles:
    return LabelledFiles(names=tuple(map(image_name, found.names)), labels=found.labels)


def _read_names(root: Path, name: str) -> tuple[str, ...]:
    path = root / _LISTS / f"{name}.txt"
    names: dict[str, str] = {}
    for place, text in read_lines(path):
        if not is_plain_name(text) or len(text.split()) != 1:
            raise DataError(f"{place}: got {text[:40]!r}; must be the name of one image")
        if text in names:
            raise DataError(f"{place}: image {text} was there before, in {names[text]}")
        for folder, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
            if not (root / folder / f"{text}.{ending}").is_file():
                raise DataError(f"{place}: there is no {root / folder / text}.{ending}")
        names[text] = place
    if not names:
        raise DataError(f"{path}: names no image")
    return tuple(names)


def _read_masks(root: Path, masks: Sequence[str]) -> Iterator[npt.NDArray[np.uint8]]:
    with ThreadPoolExecutor() as pool:
        yield np.stack(list(pool.map(partial(_read_mask, root), masks)))


def _read_mask(root: Path, name: str) -> npt.NDArray[np.uint8]:
    """Tell for every class of VOC whether a segmentation has a pixel of it: `[20]`.

    Raises:
        DataError: If it is damaged or holds an index that is no class.
    """
    counts = np.bincount(decode_indices(root / name).ravel(), minlength=256)
    strange = np.flatnonzero(counts[len(VOC_CLASSES) + 1 : _BORDER])
    if strange.size:
        raise DataError(
            f"{root / name}: holds the palette index {strange[0] + len(VOC_CLASSES) + 1}; must "
            f"hold 0 to {len(VOC_CLASSES)}, or {_BORDER} for borders"
        )
    return (counts[1 : len(VOC_CLASSES) + 1] > 0).astype(np.uint8)
