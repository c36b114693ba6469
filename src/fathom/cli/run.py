"""The verbs that take a study: run, plan, show."""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fathom.cli.options import (
    Allow,
    DataDirs,
    Json,
    Sets,
    Smoke,
    StudyName,
    Workers,
    YesRun,
)
from fathom.errors import FathomError
from fathom.live.beside import page_beside, require_packages

if TYPE_CHECKING:
    from fathom.api import Results, Study

NOT_ALL_COMPUTED = 1


def run(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Study files, or names of built-in studies."),
    ],
    data_dir: DataDirs = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where each study's folder goes.")
    ] = Path("results"),
    workers: Workers = None,
    sets: Sets = None,
    smoke: Smoke = False,
    allow: Allow = None,
    yes_run: YesRun = None,
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Go on with results that another machine computed."),
    ] = False,
    executor: Annotated[
        Literal["auto", "inline", "processes", "ray"],
        typer.Option(help="Where networks are trained; ray: on the machines of a cluster."),
    ] = "auto",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The Ray cluster's head node, or auto; with --executor ray.",
        ),
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(help="Where to compute; cuda: all runs that fit on one GPU at once."),
    ] = "cpu",
    checkpoint_every: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds between saved states.")
    ] = 30.0,
    report: Annotated[bool, typer.Option(help="Write the page at the end.")] = True,
    live: Annotated[
        bool, typer.Option("--live", help="Show the page in a browser meanwhile (extra `live`).")
    ] = False,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a study's runs, or go on where it stopped.

    The same command, given again, computes what is missing and nothing else.

    Raises:
        Exit: With status 1 if some runs could not be computed.
    """
    if live:
        require_packages()
    summaries = []
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(own_output_only(json_))
            # Each step is taken for all studies, so that all mistakes are told before any training.
            loaded = [load(name, sets, smoke, allow) for name in studies]
            _require_own_folders(studies, loaded)
            jobs = [
                stack.enter_context(
                    study.prepare(
                        out,
                        workers=workers,
                        data_dir=data_dir or (),
                        executor=executor,
                        address=address,
                        device=device,
                        allow_runs=yes_run,
                        allow_mixed=allow_mixed,
                        checkpoint_every_s=checkpoint_every,
                    )
                )
                for study in loaded
            ]
            for job in jobs:
                job.open()
            for warning in dict.fromkeys(text for job in jobs for text in job.plan.warnings):
                print(f"warning: {warning}", file=sys.stderr)
            for study, job in zip(loaded, jobs, strict=True):
                beside = page_beside(job.path, allow or ()) if live else contextlib.nullcontext()
                with beside:
                    results = job.train(progress=not (quiet or json_))
                has_page = report and not results.runs.is_empty()
                page = results.report(formats=()) if has_page else None
                summaries.append(_summary(study, results, page))
                if not json_:
                    _print_results(study, results, page)
    finally:
        if json_ and summaries:  # what is finished is told even if the next study fails
            print(json.dumps(summaries[0] if len(studies) == 1 else {"studies": summaries}))
    if any(summary["missing"] for summary in summaries):
        raise typer.Exit(NOT_ALL_COMPUTED)


def plan(
    study: StudyName,
    data_dir: DataDirs = None,
    workers: Workers = None,
    sets: Sets = None,
    smoke: Smoke = False,
    allow: Allow = None,
    yes_run: YesRun = None,
    predict: Annotated[
        bool, typer.Option(help="Say what theory expects of every run, too.")
    ] = True,
    json_: Json = False,
) -> None:
    """Show what a study would cost and what theory expects of it; nothing is trained."""
    from fathom.api.description import describe_plan
    from fathom.card import to_plain

    with own_output_only(json_):
        loaded = load(study, sets, smoke, allow)
        made = loaded.plan(workers=workers, data_dir=data_dir or (), allow_runs=yes_run)
        expected = loaded.predict(data_dir=data_dir or (), allow_runs=yes_run) if predict else None
        steps = loaded.loss_steps(data_dir=data_dir or (), allow_runs=yes_run)
    if json_:
        rows = {"losses": to_plain([step._asdict() for step in steps])}
        rows |= {} if expected is None else {"predictions": to_plain(expected.to_dicts())}
        print(json.dumps(describe_plan(made) | rows))
        return
    from fathom.cli.plan_tables import print_plan, print_planned_losses
    from fathom.cli.theory_tables import print_verdicts

    print_plan(loaded, made)
    print_planned_losses(steps)
    if expected is not None:
        print()
        print_verdicts(expected)


def show(study: StudyName, sets: Sets = None, smoke: Smoke = False, allow: Allow = None) -> None:
    """Print a study with every setting written out."""
    print(load(study, sets, smoke, allow).spec.resolved_yaml(), end="")


def load(name: str, sets: list[str] | None, smoke: bool, allow: list[str] | None) -> "Study":
    """Read a study as the options of the command line say."""
    from fathom import api

    allow_modules(allow)
    return api.Study.load(name, set=sets or (), smoke=smoke)


def allow_modules(modules: list[str] | None) -> None:
    """Let components come from these modules of the user."""
    from fathom import api

    if modules:
        # The module may lie in the present folder, which comes last so as to shadow nothing.
        sys.path.append("")
    for module in modules or ():
        api.allow(module)


def _require_own_folders(names: Sequence[str], studies: "Sequence[Study]") -> None:
    """Refuse studies that would write to the same folder.

    Raises:
        FathomError: If there are two such studies.
    """
    owners: dict[str, str] = {}
    for name, study in zip(names, studies, strict=True):
        slug = study.spec.slug
        if slug in owners:
            raise FathomError(
                f"{owners[slug]} and {name}: the results of both would go to the folder '{slug}'; "
                "give each study a name of its own, or run them with different --out"
            )
        owners[slug] = name


def own_output_only(json_: bool) -> contextlib.AbstractContextManager[object]:
    """Keep what a user's function prints out of the JSON."""
    return contextlib.redirect_stdout(sys.stderr) if json_ else contextlib.nullcontext()


def _summary(study: "Study", results: "Results", page: Path | None) -> dict[str, object]:
    outcomes = results.runs["outcome"].value_counts(sort=True).rows()
    return {
        "study": study.name,
        "folder": str(results.folder),
        "runs": results.runs.height,
        "outcomes": dict(outcomes),
        "missing": list(results.missing),
        "digest": results.digest,
        "report": None if page is None else str(page),
    }


def _print_results(study: "Study", results: "Results", page: Path | None) -> None:
    from fathom.cli.tables import print_summary

    print_summary(study, results)
    if page is not None:
        print(f"report: {page}")
