"""Any folder of images: root/{train,val,test}/<class>/<image>."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from fathom.data.base import Dataset
from fathom.data.config import Source
from fathom.data.image_files import ImageFiles, LabelledFiles, image_dataset
from fathom.data.images import EXTENSIONS, is_image_name
from fathom.data.places import find_path
from fathom.data.readers import describe_error
from fathom.errors import DataError

TRAIN: Final = "train"
_LAYOUT: Final = "must hold train/<class>/<image>, and val and test likewise where there are any"


def image_folder() -> Dataset:
    """Your own images: data.path names a folder with train/<class>/*.jpg, and val and test if any.

    Classes are the folders of `train` in alphabetic order. Of `val` and `test`, one alone is the
    test part; without both a test part is cut. Every image is read in colour.

    Not covered: folders within the folder of a class.
    """
    return image_dataset(
        "image_folder",
        _find_files,
        takes=("path", "image_size"),
        needs_path="the folder of its images",
    )


def list_folder(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder by name, without hidden entries.

    Raises:
        DataError: If it cannot be read, or a name is no printable text.
    """
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(describe_error(folder, error)) from error
    for entry in shown:
        if not entry.name.isprintable():  # bytes that are no UTF-8 come as lone surrogates
            raise DataError(f"{folder}: holds a name that is no text: {entry.name!a}; rename it")
    return sorted(shown, key=lambda entry: entry.name)


def list_images(folder: Path) -> list[str]:
    """List the names of the images in a folder.

    Raises:
        DataError: If it cannot be read or there are none.
    """
    entries = list_folder(folder)
    names = [entry.name for entry in entries if is_image_name(entry.name) and entry.is_file()]
    if not names:
        known = ", ".join(sorted(EXTENSIONS))
        folders = [entry.name for entry in entries if entry.is_dir()]
        deeper = f" (only folders, such as '{folders[0]}')" if folders else ""
        raise DataError(f"{folder}: holds no image{deeper}; a class needs at least one: {known}")
    return names


def _find_files(source: Source, folders: Sequence[Path]) -> ImageFiles:
    root = find_path(source.path, folders, "data set 'image_folder' needs the folder of the images")
    names = [entry.name for entry in list_folder(root) if entry.is_dir()]
    if TRAIN not in names:
        found = ", ".join(names[:8]) or "no folder"
        raise DataError(f"{root}: holds no folder 'train' (holds {found}); {_LAYOUT}")
    classes = _classes(root / TRAIN)
    if len(classes) < 2:
        raise DataError(
            f"{root / TRAIN}: holds {len(classes)} folders of classes; must hold at least 2"
        )
    parts = {name: _list_part(root, name, classes) for name in ("val", "test") if name in names}
    return ImageFiles(
        root=root,
        class_names=classes,
        train=_list_part(root, TRAIN, classes),
        test=parts.get("test") or parts.get("val"),
        validation=parts.get("val") if "test" in parts else None,
    )


def _classes(folder: Path) -> tuple[str, ...]:
    return tuple(entry.name for entry in list_folder(folder) if entry.is_dir())


def _list_part(root: Path, part: str, classes: tuple[str, ...]) -> LabelledFiles:
    here = _classes(root / part)
    for name in sorted({*here} ^ {*classes}):
        lacking, having = (TRAIN, part) if name in here else (part, TRAIN)
        raise DataError(
            f"{root / lacking}: has no class '{name}', which {root / having} has; all parts must "
            "have the same classes"
        )
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = list_images(root / part / name)
        names += [f"{part}/{name}/{image}" for image in images]
        labels += [label] * len(images)
    return LabelledFiles(names=tuple(names), labels=np.array(labels, np.int64))
