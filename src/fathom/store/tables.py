"""Tables: their schema, their bytes, and the digest by which two results are the same.

The columns are those of `fathom.records`. The digest is over exact bits, run by run, without the
columns that a repetition changes, so that it depends neither on which runs were trained together
nor on the file format. A file of an earlier version may lack columns that are marked as optional;
they are null when it is read, and do not count in its runs' digests.
"""

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal, cast

import numpy as np
import polars as pl

from fathom.records import (
    EPOCH_COLUMNS,
    HISTOGRAM_COLUMNS,
    LAYER_COLUMNS,
    RUN_COLUMNS,
    SCORE_COLUMNS,
    UNIT_COLUMNS,
    Column,
)

TableName = Literal["epochs", "layers", "runs", "histograms", "scores", "units"]
COLUMNS: Final[Mapping[TableName, tuple[Column, ...]]] = {
    "epochs": EPOCH_COLUMNS,
    "layers": LAYER_COLUMNS,
    "runs": RUN_COLUMNS,
    "histograms": HISTOGRAM_COLUMNS,
    "scores": SCORE_COLUMNS,
    "units": UNIT_COLUMNS,
}
KEYS: Final[Mapping[TableName, tuple[str, ...]]] = {
    "epochs": ("run_id", "epoch"),
    "layers": ("run_id", "epoch", "layer"),
    "runs": ("run_id",),
    "histograms": ("run_id", "epoch", "layer", "quantity", "bin"),
    "scores": ("run_id", "sample", "class"),
    "units": ("run_id", "epoch", "layer", "place", "unit"),
}
# What makes two results the same; all else follows from the weights and is not compared.
CANONICAL: Final[tuple[TableName, ...]] = ("epochs", "layers", "runs")
_TYPES: Final = {"text": pl.String, "int": pl.Int64, "float": pl.Float64}


def schema(name: TableName) -> pl.Schema:
    """Return a table's columns with their types."""
    return pl.Schema({column.name: _TYPES[column.kind]() for column in COLUMNS[name]})


def make_table(name: TableName, columns: Mapping[str, Any]) -> pl.DataFrame:
    """Build a table from arrays or lists, one for each column, in any order.

    Args:
        name: Which table.
        columns: Exactly the table's columns, all of one length.

    Returns:
        The table, with the types of the schema.

    Raises:
        ValueError: If a column is missing, unknown, or of a type that would lose values.
    """
    wanted = schema(name)
    if set(columns) != set(wanted):
        raise ValueError(f"table {name}: columns differ: {sorted({*columns} ^ {*wanted})}")
    try:
        series = [pl.Series(key, columns[key]).cast(wanted[key]) for key in wanted]
        table = pl.DataFrame(series)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise ValueError(f"table {name}: {error}") from error
    check_table(name, table)
    return table


def check_table(name: TableName, table: pl.DataFrame, absent: Collection[str] = ()) -> None:
    """Check a table against its schema.

    Args:
        name: Which table.
        table: What to check.
        absent: Columns that it does without.

    Raises:
        ValueError: If names, order or types of columns differ, a value is missing, or a key is
            there twice.
    """
    wanted = pl.Schema({key: kind for key, kind in schema(name).items() if key not in absent})
    if table.schema != wanted:
        raise ValueError(f"table {name}: has {dict(table.schema)}, must have {dict(wanted)}")
    if any(count for (count,) in table.null_count().iter_columns()):
        raise ValueError(f"table {name}: has missing values; an unknown number is NaN")
    if table.select(KEYS[name]).is_duplicated().any():
        raise ValueError(f"table {name}: two rows have the same {', '.join(KEYS[name])}")


def to_parquet(table: pl.DataFrame) -> bytes:
    """Write a table as Parquet."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(name: TableName, data: bytes) -> pl.DataFrame:
    """Read a table; the caller has compared the hash of `data`.

    Returns:
        The table with all columns of the schema; those that the file's version lacked are null.

    Raises:
        ValueError: If it is no such table.
    """
    try:
        table = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"table {name}: {error}") from error
    optional = {column.name for column in COLUMNS[name] if column.optional}
    absent = optional - {*table.columns}
    check_table(name, table, absent)
    wanted = schema(name)
    nulls = (pl.lit(None, wanted[key]).alias(key) for key in absent)
    return table.with_columns(nulls).select(wanted.names())


def join_tables(name: TableName, tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Put tables of several cohorts together, sorted by the table's key."""
    return pl.concat([pl.DataFrame(schema=schema(name)), *tables]).sort(KEYS[name])


def run_digests(tables: Mapping[TableName, pl.DataFrame]) -> dict[str, str]:
    """Hash each run's rows.

    Args:
        tables: At least the tables `epochs`, `layers` and `runs`.

    Returns:
        The sha256 of each run of `runs`, by run id in sorted order: over the exact bits of all
        columns that are not volatile and that its file has, every NaN being the same.
    """
    digests = {run_id: hashlib.sha256() for run_id in sorted(tables["runs"]["run_id"])}
    for name in CANONICAL:
        table = tables[name].sort(KEYS[name])
        for (run_id,), rows in table.partition_by("run_id", as_dict=True).items():
            digests[cast(str, run_id)].update(_exact_bytes(name, rows))
    return {run_id: digest.hexdigest() for run_id, digest in digests.items()}


def study_digest_of(runs: Mapping[str, str]) -> str:
    """Hash the digests of all runs into one."""
    lines = "".join(f"{run_id} {digest}\n" for run_id, digest in sorted(runs.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _exact_bytes(name: TableName, rows: pl.DataFrame) -> bytes:
    parts = [f"{name} {rows.height}\n".encode()]
    for column in COLUMNS[name]:
        if not column.volatile and not rows[column.name].has_nulls():
            parts += [f"{column.name} {column.kind}\n".encode(), _column_bytes(rows, column)]
    return b"".join(parts)


def _column_bytes(rows: pl.DataFrame, column: Column) -> bytes:
    values = rows[column.name]
    if column.kind == "text":
        return json.dumps(values.to_list()).encode()
    array = values.to_numpy()
    if column.kind == "float":
        array = np.where(np.isnan(array), np.nan, array)
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
