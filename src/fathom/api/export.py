"""Results as CSV: for each run the classic table of an epoch per row, layers side by side."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from fathom.figures.frames import Frames
from fathom.records import LAYER_COLUMNS
from fathom.store.commit import writing
from fathom.store.tables import KEYS

NO_TABLES: Final[Mapping[str, pl.DataFrame]] = MappingProxyType({})

_FORMULA: Final = r"^[=+\-@\t\r]"  # what a spreadsheet would take for a formula
_LONGEST_NAME: Final = 100

# Our column, and the name that it has in the classic layout.
_CLASSIC: Final[Mapping[str, str]] = {
    "epoch": "epoch",
    "train_loss": "train_loss",
    "test_loss": "test_loss",
    "train_accuracy": "train_acc",
    "test_accuracy": "test_acc",
    "validation_loss": "val_loss",
    "validation_accuracy": "val_acc",
    "lr": "lr",
    "epoch_time_s": "epoch_time",
}
_CLASSIC_LAYER: Final = ("act_mean", "act_std", "grad_norm", "grad_mean_abs")
_LAYER: Final = (*_CLASSIC_LAYER, *(column.name for column in LAYER_COLUMNS))
_QUANTITIES: Final = tuple(dict.fromkeys(name for name in _LAYER if name not in KEYS["layers"]))


def write_csv(
    runs: pl.DataFrame,
    frames: Frames,
    folder: Path,
    *,
    further: Mapping[str, pl.DataFrame] = NO_TABLES,
) -> Path:
    """Write `runs.csv` and `logs/<run name>/metrics.csv` for every run.

    Args:
        runs: One row for each run.
        frames: Its epochs and layers.
        folder: Made if missing; files of the same names are replaced.
        further: Further tables by name; one without rows is left out.

    Returns:
        The folder.

    Raises:
        StoreError: If a file cannot be written.
    """
    _write(runs, folder / "runs.csv")
    for table_name, table in further.items():
        if not table.is_empty():
            _write(table, folder / f"{table_name}.csv")
    tables = classic_tables(frames)
    for run_id, name in folder_names(runs).items():
        if run_id in tables:
            _write(tables[run_id], folder / "logs" / name / "metrics.csv")
    return folder


def classic_tables(frames: Frames) -> dict[str, pl.DataFrame]:
    """Return one table for each run: a row for each epoch, layers side by side.

    The classic layout's columns have its names, such as `train_acc`; those of layers are called
    `<quantity>_<layer>`. Layers count from 1; the last is the output.
    """
    layers = frames.layers.partition_by("run_id", as_dict=True)
    tables = {}
    for key, epochs in frames.epochs.partition_by("run_id", as_dict=True).items():
        table = epochs.select(pl.col(ours).alias(theirs) for ours, theirs in _CLASSIC.items())
        if key in layers:
            wide = _side_by_side(layers[key])
            table = table.join(wide, on="epoch", how="left", maintain_order="left")
        tables[str(key[0])] = table
    return tables


def folder_names(runs: pl.DataFrame) -> dict[str, str]:
    """Give each run a folder of its own: never a path, whoever wrote the names and ids.

    Returns:
        By run id the run's name, if that is plain text and, whatever the case, unique; otherwise
        what is plain of the name, with the id behind it.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for run_id, name in runs.select("run_id", "name").iter_rows():
        free = next(one for one in _candidates(name, run_id) if one.lower() not in taken)
        names[run_id] = free
        taken.add(free.lower())
    return names


def _candidates(name: str, run_id: str) -> Iterator[str]:
    plain = _plain(name)
    if plain and plain == name:
        yield plain
    longer = f"{plain}-{_plain(run_id) or 'run'}".lstrip("-")
    yield longer
    yield from (f"{longer}-{number}" for number in itertools.count(2))


def _plain(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z._,=+()-]", "_", text).strip("._-")[:_LONGEST_NAME]


def _side_by_side(layers: pl.DataFrame) -> pl.DataFrame:
    numbers = layers["layer"].unique().sort()
    wide = layers.pivot("layer", index="epoch", values=_QUANTITIES)
    return wide.select("epoch", *(f"{name}_{layer}" for layer in numbers for name in _QUANTITIES))


def _write(table: pl.DataFrame, path: Path) -> None:
    content = _as_text(table).write_csv().encode()
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, len(content)):
        path.write_bytes(content)


def _as_text(table: pl.DataFrame) -> pl.DataFrame:
    """Keep a spreadsheet from running what a text contains."""
    text = pl.col(pl.String)
    return table.with_columns(
        pl.when(text.str.contains(_FORMULA)).then(pl.lit("'") + text).otherwise(text).name.keep()
    )
