"""The verb `data`: files of data sets turned into other files."""

from pathlib import Path
from typing import Annotated

import typer

from fathom.errors import FathomError

_MAX_SIZE = 4_096


def data_app() -> typer.Typer:
    """Make the verb `data` with what it can do."""
    app = typer.Typer(help="Turn data sets into other files.", no_args_is_help=True)
    app.command("voc-labels", help=_VOC_LABELS)(voc_labels)
    app.callback()(_kinds)
    return app


def _kinds() -> None:
    """Turn data sets into other files."""


_VOC_LABELS = (
    "Write which classes each image of PASCAL VOC's segmentations shows, as 00000,0,1: the image's "
    "number, then the places of the classes in --classes."
)


def voc_labels(
    folder: Annotated[
        Path, typer.Argument(metavar="VOC_DIR", help="VOCdevkit, or VOC2012 within it.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The table to write.")],
    classes: Annotated[
        str, typer.Option("--classes", metavar="LIST", help="Classes by name, parted by commas.")
    ] = "car,aeroplane,cat,person,bird",
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Also write the images, as 00000.png."),
    ] = None,
    size: Annotated[
        int, typer.Option("--size", metavar="N", help="Height and width of these images.")
    ] = 224,
) -> None:
    """Write the labels, and on request the images, of VOC's segmentations.

    Raises:
        FathomError: If something cannot be read or written, or a class is unknown.
    """
    from fathom.data.voc_labels import write_voc_labels

    if not 1 <= size <= _MAX_SIZE:
        raise FathomError(f"--size: got {size}; must be an integer >= 1 and <= {_MAX_SIZE:,}")
    names = [name.strip() for name in classes.split(",") if name.strip()]
    count = write_voc_labels(folder, names, out, images, size)
    print(f"{out}: {count:,} images")
    if images is not None:
        print(f"{images}: the same images, {size} x {size}")
