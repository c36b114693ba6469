"""The verbs that take a results folder: report, export, verify."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fathom.cli.options import Allow, Json, ResultsDir
from fathom.cli.run import allow_modules

if TYPE_CHECKING:
    from fathom.api import Results


def report(
    folder: ResultsDir,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Image files: png, svg, pdf, or none.")
    ] = "png,svg,pdf",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Another folder to write to.")
    ] = None,
    allow: Allow = None,
) -> None:
    """Write the page and the image files of a study.

    Theory speaks of functions of your own only where you allow their module again.
    """
    from fathom.api import Results

    allow_modules(allow)
    wanted = [part.strip() for part in formats.split(",") if part.strip() not in {"", "none"}]
    results = Results.open(folder)
    print(results.report(formats=wanted, to=to))
    tell_gaps(results)
    for reason in dict.fromkeys(results.predicted.obstacles.values()):
        print(f"no prediction for some runs: {reason}", file=sys.stderr)


def export_app() -> typer.Typer:
    """Make the verb `export` with its formats."""
    app = typer.Typer(help="Write results for other programs.", no_args_is_help=True)
    app.command("csv")(export_csv)
    app.callback()(_formats)
    return app


def _formats() -> None:
    """Write results for other programs."""


def export_csv(
    folder: ResultsDir,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to; DIR/csv if left out.")
    ] = None,
    allow: Allow = None,
) -> None:
    """Write runs.csv and logs/<run>/metrics.csv with every layer's columns.

    Where scores were recorded, metrics.csv and class_metrics.csv (a row for each class), too.
    """
    from fathom.api import Results

    allow_modules(allow)
    results = Results.open(folder)
    print(results.export_csv(to))
    tell_gaps(results)


def verify(folder: ResultsDir, json_: Json = False) -> None:
    """Compare results with their checksums; print their digest.

    Raises:
        Exit: With status 1 if something is damaged.
    """
    from fathom.api import Results

    results = Results.open(folder)
    damages = [str(damage) for damage in results.verify()]
    digest = None if damages else results.digest
    if json_:
        print(json.dumps({"damages": damages, "missing": list(results.missing), "digest": digest}))
    elif damages:
        print("\n".join(damages))
        print("damaged results are never shown; run the study's command again to compute them anew")
    else:
        print(f"every file is as it was saved; digest {digest}")
    if damages:
        raise typer.Exit(1)


def tell_gaps(results: "Results") -> None:
    """Say on standard error what is not shown."""
    for damage in results.damages:
        print(f"left out: {damage}", file=sys.stderr)
    if results.missing:
        print(f"{len(results.missing)} runs have no result (yet)", file=sys.stderr)
