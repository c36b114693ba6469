"""What is printed of theory: the layers of one network, the verdicts of a whole study."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from rich.console import Console
from rich.table import Table

from fathom.api.description import swept
from fathom.api.predicted_runs import ASSUMED_INPUT, PREDICTED_COLUMNS
from fathom.cli.tables import add_row, make_console, make_table, print_text

if TYPE_CHECKING:
    from fathom.api.predicted import NetworkPrediction

_MOST_LAYERS: Final = 12
_MOST_ROWS: Final = 60


def print_prediction(prediction: "NetworkPrediction") -> None:
    """Print a network's layers, at most 12 of them, its verdict and the reasons."""
    console = make_console()
    print_text(console, prediction.network)
    rows = prediction.layers.to_dicts()
    if any(math.isfinite(row["pre_log10"]) for row in rows):
        console.print(_layers(rows))
    for text in ("", prediction.verdict.sentence, *prediction.sentences):
        print_text(console, text)


def _layers(rows: Sequence[dict[str, Any]]) -> Table:
    table = make_table(
        ("layer", "right"),
        ("rms of h", "right"),
        ("gradient, decades", "right"),
        ("cosine", "right"),
        ("dead", "right"),
        ("saturated", "right"),
    )
    for index in _spread(len(rows), _MOST_LAYERS):
        row = rows[index]
        add_row(
            table,
            str(row["layer"]),
            _number(10 ** row["pre_log10"]),
            _with_spread(row["gradient_log10"], row["gradient_log10_sd"]),
            _number(row["pre_cosine"]),
            _share(row["dead_share"]),
            _share(row["saturated_share"]),
        )
    return table


def print_verdicts(predicted: pl.DataFrame) -> None:
    """Print the predicted verdict of every cell of a study, one column for each depth.

    Why runs have no prediction is said once for each reason.

    Args:
        predicted: What `Study.predict` returned.
    """
    console = make_console()
    without = predicted.filter(pl.col("verdict") == "no prediction")
    if without.height < predicted.height:
        _print_cells(console, predicted)
    for sentence in without["sentence"].unique(maintain_order=True):
        count = without.filter(pl.col("sentence") == sentence).height
        print_text(console, f"{count} of {predicted.height} runs: {sentence}")
    if predicted["assumed_input"].any():
        print_text(console, ASSUMED_INPUT)


def _print_cells(console: Console, predicted: pl.DataFrame) -> None:
    settings = swept({
        name: predicted[name].to_list()
        for name in predicted.columns
        if name not in PREDICTED_COLUMNS
    })
    across = "depth" if "depth" in settings else None
    down = [setting for setting in settings if setting not in {across, "seed"}]
    columns = predicted[across].unique().sort().to_list() if across else [None]
    heads = [(f"depth {value}" if across else "prediction", "left") for value in columns]
    table = make_table(*down, *heads)
    cells = _cells(predicted, down, across)
    for key in list(cells)[:_MOST_ROWS]:
        add_row(table, *map(str, key), *(cells[key].get(value, "") for value in columns))
    console.print(table)
    if len(cells) > _MOST_ROWS:
        print_text(console, f"... and {len(cells) - _MOST_ROWS} more rows: see --json")
    names = predicted["verdict"].value_counts(sort=True).rows()
    counts = ", ".join(f"{count} {name}" for name, count in names)
    print_text(console, f"theory says of {predicted.height} runs: {counts}")
    print_text(console, "(numbers: decades by which the gradient changes from last layer to first)")


def _cells(
    predicted: pl.DataFrame, down: Sequence[str], across: str | None
) -> dict[tuple[Any, ...], dict[Any, str]]:
    """Write each cell once; replicates of a cell have the same prediction."""
    cells: dict[tuple[Any, ...], dict[Any, str]] = {}
    for row in predicted.iter_rows(named=True):
        key = tuple(row[setting] for setting in down)
        place = row[across] if across else None
        cells.setdefault(key, {}).setdefault(place, _cell(row))
    return cells


def _cell(row: dict[str, Any]) -> str:
    span = row["gradient_span"]
    return row["verdict"] if not math.isfinite(span) else f"{row['verdict']} {span:+.1f}"


def _spread(count: int, most: int) -> Iterable[int]:
    """Choose at most so many of a row of things, the first and the last among them."""
    if count <= most:
        return range(count)
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _number(value: float) -> str:
    if math.isinf(value):
        return "overflow"
    return "-" if math.isnan(value) else f"{value:.3g}"


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _with_spread(value: float, sd: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:+.2f}" if math.isnan(sd) else f"{value:+.2f} ± {sd:.2f}"
