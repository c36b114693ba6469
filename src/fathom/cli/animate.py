"""The verb `animate`: decision surfaces as moving pictures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fathom.cli.options import ResultsDir
from fathom.cli.results import tell_gaps


def animate(
    folder: ResultsDir,
    only: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only cases with this text in their settings or name."),
    ] = None,
    replicate: Annotated[
        int | None,
        typer.Option(metavar="N", help="The seed that stands for its case; the first if left out."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="gif, mp4 (needs ffmpeg), or gif,mp4.")
    ] = "gif",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to; DIR/animations if left out."),
    ] = None,
) -> None:
    """Draw how each case's decision surface changed while it was trained.

    The study must have kept them: record.surfaces, such as 25. Files of the same runs are replaced;
    anything else that is in the way is left alone, and nothing is written.
    """
    from fathom.api import Results

    results = Results.open(folder)
    wanted = [part.strip() for part in formats.split(",") if part.strip()]
    written = results.animate(out, only=only, replicate=replicate, formats=wanted)
    for path in written.files:
        print(path)
    for sentence in written.left_out:
        print(sentence, file=sys.stderr)
    tell_gaps(results)
