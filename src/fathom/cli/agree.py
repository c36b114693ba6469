"""The verb that shows whether the three engines agree: agree."""

import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fathom.cli.options import Json

if TYPE_CHECKING:
    import polars as pl

    from fathom.api.agreement import Agreement

DISAGREEMENT: Final = 1


def agree(
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Steps to train.")] = 50,
    json_: Json = False,
) -> None:
    """Train hundreds of tiny networks with all three engines; show how far they are apart.

    Raises:
        Exit: With status 1 if something is further apart than rounding explains.
    """
    from fathom import api

    found = api.agree(steps, tell=lambda text: print(text, file=sys.stderr))
    if json_:
        print(json.dumps(found.to_plain()))
    else:
        print_agreement(found)
    if not found.agree:
        raise typer.Exit(DISAGREEMENT)


def print_agreement(found: "Agreement") -> None:
    """Print the largest deviations of every component, normalisation and skip."""
    from fathom.cli.tables import add_row, make_console, make_table, print_text

    console = make_console()
    print_text(
        console,
        f"{found.trainings.height} networks on digits (64-12-10-10; with norm or skip "
        f"64-64-12-12-10), batches of 16, {found.num_steps} steps in float64: the largest "
        "deviation of any weight after any step, relative to the largest entry of its tensor;\n"
        "and the largest deviation of a written derivative d from the true d', as "
        "|d - d'| / max(1, |d'|).",
    )
    for kind in ("activation", "loss", "optimizer", "schedule", "norm", "skip"):
        rows = summary(found, kind)
        has_derivative = kind in {"activation", "loss"}
        heads = ["reference-single", "single-stacked"]
        heads += ["derivative-autograd", "derivative-differences"] if has_derivative else []
        table = make_table(kind, *((head, "right") for head in heads))
        for name, numbers in rows:
            add_row(table, name, *(f"{number:.1e}" for number in numbers))
        print()
        console.print(table)
    print_text(console, "\n* every step from the same state: the dynamics amplifies rounding")
    print_text(console, found.sentence)


def summary(found: "Agreement", kind: str) -> list[tuple[str, tuple[float, ...]]]:
    """Return the largest deviations of each value of a setting, over everything it met."""
    trainings = found.trainings.partition_by(kind, as_dict=True, maintain_order=True)
    derivatives = found.derivatives.filter(kind=kind)
    rows = []
    for (name,), table in sorted(trainings.items()):
        columns = [table[column] for column in ("reference_single", "single_stacked")]
        own = derivatives.filter(name=name)
        columns += [own["autograd"], own["differences"]] if own.height else []
        starred = kind == "activation" and table["same_state"].all()
        rows.append((f"{name} *" if starred else str(name), tuple(map(largest, columns))))
    return rows


def largest(numbers: "Sequence[float] | pl.Series") -> float:
    """Return the largest number; NaN where there is one, which `max` could swallow."""
    return math.nan if any(math.isnan(x) for x in numbers) else max(numbers)
