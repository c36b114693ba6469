"""What is printed for people: the plan, the summary of a study, what there is to choose from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fathom.execution.progress import duration

if TYPE_CHECKING:
    from fathom.api import Plan, Results, Study

_BEST: Final = 5
_WIDE: Final = 200
_MOST_COHORTS: Final = 40


def make_console() -> Console:
    """Make a console for standard output; in a file or a pipe, lines are not folded early."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def print_plan(study: "Study", plan: "Plan") -> None:
    """Print a study's cohorts and what they cost."""
    table = make_table("cohort", ("runs", "right"), ("epochs", "right"), "what is trained")
    for name, style in (("memory", "right"), ("time", "right")):
        table.add_column(name, justify=style)  # type: ignore[arg-type]  # a Literal
    for cohort in plan.cohorts[:_MOST_COHORTS]:
        add_row(
            table,
            cohort.id[:8],
            str(len(cohort.runs)),
            str(cohort.epochs),
            _shape(cohort.runs[0].model.hidden, cohort.runs[0].data.name),
            f"{cohort.memory_mb:,.0f} MiB",
            duration(cohort.estimated_s),
        )
    console = make_console()
    console.print(table)
    if len(plan.cohorts) > _MOST_COHORTS:
        console.print(f"... and {len(plan.cohorts) - _MOST_COHORTS} more cohorts")
    cost = f"about {duration(plan.estimated_s)}, {plan.memory_mb:,.0f} MiB"
    print_text(console, f"{study.name}: {plan.sizes}: {cost}")


def print_summary(study: "Study", results: "Results") -> None:
    """Print how a study ended: outcomes, and the best runs by what they were selected by."""
    console = make_console()
    runs = results.runs
    outcomes = [f"{count} {name}" for name, count in runs["outcome"].value_counts(sort=True).rows()]
    if results.missing:
        outcomes.append(f"{len(results.missing)} without a result")
    text = f"{study.name}: {runs.height + len(results.missing)} runs: {', '.join(outcomes)}"
    print_text(console, text)
    if results.missing:
        why = f"why there is no result: {results.folder / 'training.log'}"
        print_text(console, why)
    if runs.is_empty():
        return
    metric = best_metric(runs)
    table = make_table("best runs (last epoch)", (metric, "right"), ("test_accuracy", "right"))
    ranking = pl.col(metric).fill_nan(None)
    best = runs.sort(ranking, descending=True, nulls_last=True).head(_BEST)
    for row in best.iter_rows(named=True):
        add_row(table, row["name"], f"{row[metric]:.4f}", f"{row['test_accuracy']:.4f}")
    console.print(table)
    print_text(console, results.forecast)


def best_metric(runs: pl.DataFrame) -> str:
    """Return the accuracy that runs are ranked by: never the test one where there is another."""
    has_validation = runs["validation_accuracy"].is_not_nan().any()
    return "validation_accuracy" if has_validation else "train_accuracy"


def print_catalogue(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print names, parameters with their defaults, and descriptions."""
    table = make_table("name", "parameters", "what it is")
    for row in rows:
        parameters = (
            key if value is None else f"{key}={value}" for key, value in row["parameters"].items()
        )
        add_row(table, row["name"], ", ".join(parameters), row["text"])
    make_console().print(table)


def make_table(*columns: str | tuple[str, str]) -> Table:
    """Make a table of columns, each a name or a name with the side that it keeps to."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        name, side = (column, "left") if isinstance(column, str) else column
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]  # a Literal
    return table


def add_row(table: Table, *cells: str) -> None:
    """Add a row of plain text: what comes from a study is never taken for markup."""
    table.add_row(*(Text(cell) for cell in cells))


def print_text(console: Console, text: str) -> None:
    """Print text as it is: neither markup nor numbers are coloured."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shape(hidden: Sequence[int], data: str) -> str:
    uniform = len(set(hidden)) == 1
    layers = f"{len(hidden)} x {hidden[0]}" if uniform else "-".join(map(str, hidden))
    return f"{data}, hidden layers {layers}"
