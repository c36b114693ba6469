"""Tables: schema, exact digests."""

import math

import numpy as np
import polars as pl
import pytest
from made_cohorts import make_frames
from polars.testing import assert_frame_equal

from fathom.records import RUN_COLUMNS
from fathom.store.tables import (
    COLUMNS,
    TableName,
    check_table,
    from_parquet,
    join_tables,
    make_table,
    run_digests,
    schema,
    study_digest_of,
    to_parquet,
)

FRAMES = make_frames(["run_a", "run_b"])
DIGESTS = run_digests(FRAMES)
OPTIONAL = [column.name for column in RUN_COLUMNS if column.optional]


def test_columns_come_in_the_order_and_types_of_the_records() -> None:
    arrays = {column.name: np.array(["x"]) for column in reversed(RUN_COLUMNS)}
    arrays |= {column.name: np.array([1.5]) for column in RUN_COLUMNS if column.kind == "float"}
    arrays |= {column.name: np.array([3]) for column in RUN_COLUMNS if column.kind == "int"}
    table = make_table("runs", arrays)
    assert table.columns == [column.name for column in RUN_COLUMNS]
    assert table.schema == schema("runs")
    assert table["elapsed_s"].to_list() == [1.5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_number_changes_on_its_way_to_disk(dtype: type) -> None:
    values = np.array([0.1, -0.0, math.inf, -math.inf, math.nan, 1e-30, 1e30]).astype(dtype)
    columns = {
        column.name: [f"run_{i}" for i in range(7)]
        for column in RUN_COLUMNS
        if column.kind == "text"
    }
    ints = {column.name: range(7) for column in RUN_COLUMNS if column.kind == "int"}
    floats = {column.name: values for column in RUN_COLUMNS if column.kind == "float"}
    table = make_table("runs", {**columns, **ints, **floats})
    again = from_parquet("runs", to_parquet(table))["elapsed_s"].to_numpy()
    assert again.tobytes() == values.astype(np.float64).tobytes()


@pytest.mark.parametrize("name", COLUMNS)
def test_wrong_tables_are_refused(name: TableName) -> None:
    good = FRAMES[name]
    check_table(name, good)
    with pytest.raises(ValueError, match=f"table {name}: columns differ: .'run_id'."):
        make_table(name, {key: good[key] for key in good.columns[1:]})
    with pytest.raises(ValueError, match=f"table {name}: has "):
        check_table(name, good.with_columns(pl.lit(1).alias("more")))
    with pytest.raises(ValueError, match=f"table {name}: has "):
        check_table(name, good.select(reversed(good.columns)))
    with pytest.raises(ValueError, match="has missing values; an unknown number is NaN"):
        check_table(
            name,
            good.with_columns(pl.lit(None, schema(name)[c]).alias(c) for c in [good.columns[-1]]),
        )
    with pytest.raises(ValueError, match="two rows have the same run_id"):
        check_table(name, pl.concat([good, good[:1]]))


def test_values_that_would_be_lost_are_refused() -> None:
    columns = FRAMES["epochs"].to_dict()
    with pytest.raises(ValueError, match="table epochs: conversion from"):
        make_table("epochs", columns | {"lr": ["fast"] * len(columns["lr"])})
    with pytest.raises(ValueError, match="table runs: "):
        from_parquet("runs", b"PAR1 and no more")


def test_a_file_of_an_earlier_version_has_nulls_where_it_lacks_columns() -> None:
    old = FRAMES["runs"].drop(OPTIONAL)
    assert OPTIONAL == [
        "num_features",
        "sample_shape",
        "num_classes",
        "num_probes",
        "input_mean_square",
        "input_cosine",
    ]
    read = from_parquet("runs", to_parquet(old))
    assert read.schema == schema("runs")
    assert_frame_equal(read.drop(OPTIONAL), old, check_exact=True)
    assert read.select(OPTIONAL).null_count().row(0) == (2,) * len(OPTIONAL)
    with pytest.raises(ValueError, match="table runs: has "):
        check_table("runs", old)  # whatever is committed now has them
    with pytest.raises(ValueError, match="table runs: has "):
        from_parquet("runs", to_parquet(old.drop("outcome")))


def test_tables_are_joined_in_one_order() -> None:
    apart = [make_frames([run_id])["layers"] for run_id in ("run_b", "run_a")]
    assert_frame_equal(join_tables("layers", apart), FRAMES["layers"], check_exact=True)
    assert join_tables("epochs", []).schema == schema("epochs")


def test_the_digest_of_a_run_is_its_own() -> None:
    assert list(DIGESTS) == ["run_a", "run_b"]
    assert run_digests(make_frames(["run_b", "run_c"]))["run_b"] == DIGESTS["run_b"]
    assert study_digest_of(DIGESTS) == study_digest_of(dict(reversed(DIGESTS.items())))
    assert study_digest_of(DIGESTS) != study_digest_of({"run_a": DIGESTS["run_a"]})


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = {
        name: frame.sample(fraction=1, shuffle=True, seed=3) for name, frame in FRAMES.items()
    }
    assert run_digests(shuffled) == DIGESTS


@pytest.mark.parametrize("name", ["epochs", "layers", "runs"])
def test_every_column_counts_to_the_last_bit_unless_it_is_volatile(name: TableName) -> None:
    for column in COLUMNS[name]:
        if column.name in {"run_id"}:
            continue
        values = FRAMES[name][column.name].to_list()
        changes = {"text": lambda v: v + " ", "int": lambda v: v + 90, "float": _next_float}
        values[0] = changes[column.kind](values[0])
        frame = FRAMES[name].with_columns(pl.Series(column.name, values))
        changed = run_digests(FRAMES | {name: frame})
        assert (changed["run_a"] == DIGESTS["run_a"]) == column.volatile, column.name
        assert changed["run_b"] == DIGESTS["run_b"]


def _next_float(value: float) -> float:
    return 0.0 if math.isnan(value) else math.nextafter(value, math.inf)


def test_signed_zeros_differ_and_nans_do_not() -> None:
    def digest(bits: int) -> str:
        value = np.array([bits], dtype=np.uint64).view(np.float64)[0]
        return run_digests(FRAMES | {"epochs": FRAMES["epochs"].with_columns(lr=value)})["run_a"]

    assert digest(0) != digest(1 << 63)
    assert digest(0x7FF8000000000000) == digest(0xFFF8000000000001)
