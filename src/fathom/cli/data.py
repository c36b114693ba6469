"""The verb `data`: data sets turned into pictures and other files."""

from pathlib import Path
from typing import Annotated

import typer

from fathom.cli.options import DataDirs
from fathom.cli.pictures import check_picture, save_picture
from fathom.errors import FathomError

_MAX_SIZE = 4_096


def data_app() -> typer.Typer:
    """Make the verb `data` with what it can do."""
    app = typer.Typer(help="Turn data sets into pictures and other files.", no_args_is_help=True)
    app.command("voc-labels", help=_VOC_LABELS)(voc_labels)
    app.command("samples", help=_SAMPLES)(samples)
    app.callback()(_kinds)
    return app


def _kinds() -> None:
    """Turn data sets into pictures and other files."""


_SAMPLES = "Draw some images of a data set with their classes; of points in the plane, the points."


def samples(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `fathom list datasets`.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="A .png, .svg or .pdf file to write.")
    ],
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of a study's data, such as data.path=pictures. Several times.",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", help="How many images.")] = 16,
    columns: Annotated[int, typer.Option("--columns", metavar="N", help="Images in a row.")] = 4,
    data_dirs: DataDirs = None,
) -> None:
    """Draw samples of a data set."""
    from fathom import api

    check_picture(out, "--out")
    figure = api.draw_samples(
        name, count=count, columns=columns, data_dir=data_dirs or (), sets=sets or ()
    )
    save_picture(figure, out)
    print(out)


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
