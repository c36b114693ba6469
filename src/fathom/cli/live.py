"""The verb `live`: the page of a study that is being trained."""

import os
import sys
from typing import Annotated

import typer

from fathom.cli.options import Allow, ResultsDir
from fathom.cli.run import allow_modules
from fathom.live.beside import require_packages


def live(
    folder: ResultsDir,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=65535, help="Where to serve it; any if left out."),
    ] = None,
    allow: Allow = None,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", hidden=True, help="Leave with the caller.")
    ] = False,
) -> None:
    """Show a study's page while it is trained, in a browser of this machine alone.

    Open the whole address that is printed: it carries a key. The folder need not exist yet. Ctrl-C
    ends it; training is neither slowed nor stopped.
    """
    require_packages()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = "1"
    allow_modules(allow)
    from fathom.live.server import serve
    from fathom.live.sight import require_possible

    require_possible(folder)
    os.nice(19)  # of this thread and those to come: training goes first
    service = serve(folder, port or 0)
    print(f"live page: {service.address}", flush=True)
    if not folder.exists():
        print(f"{folder} is not there yet; the page waits for it", file=sys.stderr, flush=True)
    if until_input_ends:
        sys.stdin.buffer.read()
        service.close()
    else:
        service.wait()
