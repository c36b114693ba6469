"""What is printed for people: the plan, the summary of a study, what there is to choose from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fathom.execution.progress import duration
from fathom.figures.training_summary import CONVERGED_NOTE

if TYPE_CHECKING:
    from fathom.api import Plan, Results, Study
    from fathom.losses import LossStep

_BEST: Final = 12
_WIDE: Final = 200
_MOST_COHORTS: Final = 40
_MOST_STEPS: Final = 24  # rates of losses


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
    shown = [*dict.fromkeys(("train_loss", "train_accuracy", "test_loss", "test_accuracy", metric))]
    table = make_table("run", *((name, "right") for name in (*shown, "converged", "time")))
    ranking = pl.col(metric).fill_nan(None)
    best = runs.sort(ranking, descending=True, nulls_last=True).head(_BEST)
    for row in best.iter_rows(named=True):
        epoch = row["converged_epoch"]
        add_row(
            table,
            row["name"],
            *(f"{row[name]:.4f} ({row[f'mean_{name}']:.4f})" for name in shown),
            "-" if epoch is None else f"epoch {epoch}",
            _seconds(row["elapsed_s"]),
        )
    print_text(console, f"best runs by {metric}: last epoch, and the mean over epochs in brackets")
    console.print(table)
    print_text(console, CONVERGED_NOTE)
    print_text(console, results.forecast)
    print_loss_steps(results.loss_steps)


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


def print_planned_losses(steps: "Sequence[LossStep]") -> None:
    """Print a line for each loss of a study that compares losses: how far it steps."""
    from fathom.losses import compare_steps

    sentence = compare_steps(steps)
    if not sentence:
        return
    console = make_console()
    print_text(console, "\nlength of dE/dlogits of one sample at logits that are all 0:")
    lines = (
        f"  {step.loss}: {step.scale:.4g} ({step.num_classes} classes), {step.words}"
        for step in steps
    )
    for line in dict.fromkeys(lines):
        print_text(console, line)
    print_text(console, sentence)


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


def _shape(hidden: Sequence[int], data: str) -> str:
    if not hidden:
        return f"{data}, no hidden layer"
    uniform = len(set(hidden)) == 1
    layers = f"{len(hidden)} x {hidden[0]}" if uniform else "-".join(map(str, hidden))
    return f"{data}, hidden layers {layers}"
