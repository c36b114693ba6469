"""What is printed for people: the summary of a study, what there is to choose from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fathom.execution.progress import duration
from fathom.figures.metric_tables import METRICS_NOTE, SHOWN_METRICS
from fathom.figures.training_summary import BEST_NOTE, CONVERGED_NOTE

if TYPE_CHECKING:
    from fathom.api import Results, Study
    from fathom.losses import LossStep

_BEST: Final = 12
_WIDE: Final = 200
_MOST_STEPS: Final = 24  # rates of losses


def make_console() -> Console:
    """Make a console for standard output; in a file or a pipe, lines are not folded early."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


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
    ranking = pl.col(metric).fill_nan(None)
    best = runs.sort(ranking, descending=True, nulls_last=True).head(_BEST)
    print_text(console, f"best runs by {metric}: last epoch, and the mean over epochs in brackets")
    _print_course(console, best, metric)
    shown = best.select("run_id")
    print_metrics(console, shown.join(results.metrics, on="run_id", maintain_order="left"))
    print_text(console, results.forecast)
    print_loss_steps(results.loss_steps)


def _print_course(console: Console, runs: pl.DataFrame, metric: str) -> None:
    """Print how runs ended, and their test part at the best epoch where one was selected."""
    shown = [*dict.fromkeys(("train_loss", "train_accuracy", "test_loss", "test_accuracy", metric))]
    selected = bool((runs["best_epoch"] < runs["epochs_run"]).any())
    heads = [*shown, *(["best epoch: test accuracy, loss"] if selected else []), "converged"]
    table = make_table("run", *((name, "right") for name in (*heads, "time")))
    for row in runs.iter_rows(named=True):
        epoch = row["converged_epoch"]
        add_row(
            table,
            row["name"],
            *(f"{row[name]:.4f} ({row[f'mean_{name}']:.4f})" for name in shown),
            *([_at_best_epoch(row)] if selected else []),
            "-" if epoch is None else f"epoch {epoch}",
            _seconds(row["elapsed_s"]),
        )
    console.print(table)
    if selected:
        print_text(console, BEST_NOTE)
    print_text(console, CONVERGED_NOTE)


def _at_best_epoch(row: Mapping[str, Any]) -> str:
    accuracy, loss = row["best_epoch_test_accuracy"], row["best_epoch_test_loss"]
    return "-" if accuracy is None else f"{row['best_epoch']}: {accuracy:.4f}, {loss:.4f}"


def print_metrics(console: Console, metrics: pl.DataFrame) -> None:
    """Print how well networks tell classes apart, where they recorded scores.

    Args:
        console: Where to.
        metrics: Some rows of `Results.metrics`.
    """
    if metrics.is_empty():
        return
    table = make_table("run", *((head, "right") for head in SHOWN_METRICS.values()))
    for row in metrics.iter_rows(named=True):
        add_row(table, row["name"], *(f"{row[name]:.4f}" for name in SHOWN_METRICS))
    print_text(console, f"\n{METRICS_NOTE}")
    console.print(table)


def best_metric(runs: pl.DataFrame) -> str:
    """Return the accuracy that runs are ranked by: never the test one where there is another."""
    has_validation = runs["validation_accuracy"].is_not_nan().any()
    return "validation_accuracy" if has_validation else "train_accuracy"


def print_catalogue(rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> None:
    """Print names, parameters with their defaults, numbers if there are any, and descriptions."""
    numbers = [key for key in rows[0] if key not in {"name", "parameters", "text"}] if rows else []
    table = make_table("name", "parameters", *((key, "right") for key in numbers), "what it is")
    for row in rows:
        parameters = (
            key if value is None else f"{key}={value}" for key, value in row["parameters"].items()
        )
        known = ("" if row[key] is None else f"{row[key]:.4g}" for key in numbers)
        add_row(table, row["name"], ", ".join(parameters), *known, row["text"])
    console = make_console()
    console.print(table)
    for note in notes:
        print_text(console, note)


def print_loss_steps(steps: "Sequence[LossStep]") -> None:
    """Print how far each loss stepped at its rate, where a study compares losses."""
    from fathom.losses import compare_steps
    from fathom.losses.scales import FIRST_STEP_NOTE

    sentence = compare_steps(steps)
    if not sentence:
        return
    console = make_console()
    heads = ("scale", "times cross entropy", "rate", "rate x scale")
    table = make_table("loss", "optimizer", *((head, "right") for head in heads))
    for step in steps[:_MOST_STEPS]:
        numbers = (step.scale, step.ratio, step.lr, step.first_step)
        add_row(table, step.loss, step.optimizer, *(f"{number:.4g}" for number in numbers))
    print_text(console, "")
    console.print(table)
    if len(steps) > _MOST_STEPS:
        console.print(f"... and {len(steps) - _MOST_STEPS} more")
    print_text(console, f"{sentence} {FIRST_STEP_NOTE}")


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


def _seconds(time: float) -> str:
    return f"{time:.2g} s" if time < 10 else duration(time)
