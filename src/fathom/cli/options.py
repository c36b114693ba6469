"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or the name of a built-in study.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a setting, such as train.lr=[1e-3,1e-2]. Can be given several times.",
    ),
]
Smoke = Annotated[
    bool,
    typer.Option("--smoke", help="Make it small, to see whether it runs."),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="MODULE",
        help="Let the study import from this module of yours, which runs its code: "
        "activations, initializers and networks as MODULE:FUNCTION.",
    ),
]
YesRun = Annotated[
    int | None,
    typer.Option("--yes-run", metavar="N", help="Agree to up to N runs, when over 100,000."),
]
DataDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where to look for data sets. Can be given several times.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Worker processes; one for each core if left out."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
ResultsDir = Annotated[
    Path, typer.Argument(metavar="DIR", help="A results folder, the one with study.yaml in it.")
]
