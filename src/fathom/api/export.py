"""Results as CSV: for each run the classic table of an epoch per row, layers side by side."""

from pathlib import Path
from typing import Final

import polars as pl

from fathom.errors import StoreError
from fathom.figures.frames import Frames
from fathom.records import LAYER_COLUMNS

_FORMULA: Final = r"^[=+\-@\t\r]"  # what a spreadsheet would take for a formula


def write_csv(runs: pl.DataFrame, frames: Frames, folder: Path) -> Path:
    """Write `runs.csv` and `logs/<run>/metrics.csv` for every run.

    Args:
        runs: One row for each run.
        frames: Its epochs and layers.
        folder: Made if missing; files of the same names are replaced.

    Returns:
        The folder.

    Raises:
        StoreError: If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _as_text(runs).write_csv(folder / "runs.csv")
        tables = classic_tables(frames)
        for run_id, name in runs.select("run_id", "name").iter_rows():
            home = folder / "logs" / name
            home.mkdir(parents=True, exist_ok=True)
            tables[run_id].write_csv(home / "metrics.csv")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


def classic_tables(frames: Frames) -> dict[str, pl.DataFrame]:
    """Return one table for each run: a row for each epoch, layers side by side.

    Columns of layers are called `<quantity>_<layer>`. Layers count from 1; the last is the output.
    """
    quantities = [column.name for column in LAYER_COLUMNS[3:]]
    layers = frames.layers.partition_by("run_id", as_dict=True)
    tables = {}
    for key, epochs in frames.epochs.partition_by("run_id", as_dict=True).items():
        wide = layers[key].pivot("layer", index="epoch", values=quantities)
        table = epochs.drop("run_id").join(wide, on="epoch", how="left", maintain_order="left")
        tables[str(key[0])] = table
    return tables


def _as_text(table: pl.DataFrame) -> pl.DataFrame:
    """Keep a spreadsheet from running what a text contains."""
    text = pl.col(pl.String)
    return table.with_columns(
        pl.when(text.str.contains(_FORMULA)).then(pl.lit("'") + text).otherwise(text).name.keep()
    )
