"""VOC's segmentations as a table of labels and a folder of images, for other programs."""

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from fathom.data.aside import written_aside
from fathom.data.images import decode
from fathom.data.voc import check_classes, find_voc, image_name, read_list
from fathom.errors import DataError

_LISTS: Final = ("train", "val")


def write_voc_labels(
    folder: Path, classes: Sequence[str], out: Path, images: Path | None, image_size: int
) -> int:
    """Write which classes each image shows, and on request the images.

    A line of the table is the image's number in five digits and the places, in `classes`, of all
    classes that it shows: `00000,0,1`. Images of train.txt come first, then those of val.txt;
    images that show none of the classes are left out.

    Args:
        folder: VOCdevkit, or the folder of one year in it.
        classes: Names of VOC's classes.
        out: The table.
        images: Folder for the images as `00000.png`; None to write none.
        image_size: Their height and width.

    Returns:
        The number of images.

    Raises:
        DataError: If something cannot be read or written, or a class is unknown.
    """
    classes = check_classes(classes)
    root = find_voc(str(folder.absolute()), ())  # the folder that was named, no other
    found = [read_list(root, name, classes) for name in _LISTS]
    names = [name for each in found for name in each.names]
    labels = np.concatenate([each.labels for each in found])
    if images is not None:
        _write_images(root, names, images, image_size)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    for index, row in enumerate(labels):
        writer.writerow([f"{index:05}", *map(int, np.flatnonzero(row))])
    _write(out, table.getvalue().encode())
    return len(names)


def _write_images(root: Path, names: Sequence[str], folder: Path, image_size: int) -> None:
    def convert(item: tuple[int, str]) -> None:
        index, name = item
        pixels = decode(root / image_name(name), image_size)
        file = io.BytesIO()
        Image.fromarray(pixels.transpose(1, 2, 0)).save(file, format="PNG")
        _write(folder / f"{index:05}.png", file.getvalue())

    with ThreadPoolExecutor() as pool:
        list(pool.map(convert, enumerate(names)))


def _write(path: Path, content: bytes) -> None:
    try:
        with written_aside(path) as stream:
            stream.write(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
