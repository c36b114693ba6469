"""The tables of columns: unique names, units and meanings, one key, one spelling."""

import re

import pytest

from fathom.records import (
    EPOCH_COLUMNS,
    HISTOGRAM_COLUMNS,
    LAYER_COLUMNS,
    RUN_COLUMNS,
    UNIT_COLUMNS,
    Column,
)

TABLES = {
    "epochs": EPOCH_COLUMNS,
    "layers": LAYER_COLUMNS,
    "histograms": HISTOGRAM_COLUMNS,
    "runs": RUN_COLUMNS,
    "units": UNIT_COLUMNS,
}
KEYS = {
    "epochs": ["run_id", "epoch"],
    "layers": ["run_id", "epoch", "layer"],
    "histograms": ["run_id", "epoch", "layer", "quantity", "bin"],
    "runs": ["run_id"],
    "units": ["run_id", "epoch", "layer", "place", "unit"],
}
ALL = [column for columns in TABLES.values() for column in columns]


@pytest.mark.parametrize("table", TABLES)
def test_names_are_unique_and_the_key_comes_first(table: str) -> None:
    names = [column.name for column in TABLES[table]]
    assert len(set(names)) == len(names)
    assert names[: len(KEYS[table])] == KEYS[table]


@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_a_column_says_what_it_is(column: Column) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", column.name)
    assert column.unit in {"1", "s", "nats", "share", "epochs", "steps"}
    assert re.fullmatch(r"\S.{8,}\.", column.meaning)


@pytest.mark.parametrize("column", ALL, ids=lambda column: column.name)
def test_units_and_suffixes_agree(column: Column) -> None:
    assert column.name.endswith("_s") == (column.unit == "s")
    if column.name.endswith(("_share", "_accuracy")):
        assert column.unit == "share"
    if column.name.endswith("_loss"):
        assert column.unit == "nats"


def test_times_alone_are_volatile() -> None:
    assert {column.name for column in ALL if column.volatile} == {"epoch_time_s", "elapsed_s"}
    assert all(column.volatile == (column.unit == "s") for column in ALL)


def test_a_name_means_one_type_and_unit_in_all_tables() -> None:
    forms: dict[str, set[tuple[str, str]]] = {}
    for column in ALL:
        forms.setdefault(column.name, set()).add((column.kind, column.unit))
    assert {name for name, kinds in forms.items() if len(kinds) > 1} == set()


@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_part_of_the_data_is_measured(part: str, quantity: str) -> None:
    assert f"{part}_{quantity}" in {column.name for column in EPOCH_COLUMNS}


def test_what_the_studies_recorded_for_each_layer_is_there() -> None:
    names = {column.name for column in LAYER_COLUMNS}
    assert {"act_mean", "act_std", "grad_norm", "grad_mean_abs", "dead_share"} <= names
