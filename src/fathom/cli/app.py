"""The verbs, put together."""

import inspect
from collections.abc import Callable

import typer

from fathom.cli.agree import agree
from fathom.cli.animate import animate
from fathom.cli.catalogue import list_components, schema
from fathom.cli.data import data_app
from fathom.cli.live import live
from fathom.cli.results import export_app, report, verify
from fathom.cli.run import plan, run, show
from fathom.cli.theory import activation, gain, predict


def _summary(command: Callable[..., None]) -> str:
    """Return what a user is told of a command: its docstring without what it raises."""
    return (inspect.getdoc(command) or "").partition("\nRaises:")[0].strip()


def build_app() -> typer.Typer:
    """Make the command line."""
    app = typer.Typer(
        help="Fathom tells you how deep your network can train, and why.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # a traceback is our fault, and is to be reported whole
        rich_markup_mode=None,
    )
    for command in (
        run,
        plan,
        predict,
        gain,
        activation,
        agree,
        show,
        report,
        animate,
        live,
        verify,
        schema,
    ):
        app.command(help=_summary(command))(command)
    app.command("list")(list_components)
    app.add_typer(data_app(), name="data")
    app.add_typer(export_app(), name="export")
    return app
