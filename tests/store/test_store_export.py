"""CSV: the classic layout, and names that stay in their folder."""

import csv
from pathlib import Path

import polars as pl
import pytest
from made_cohorts import finish, make_frames, open_folder

from fathom.errors import StoreError
from fathom.records import LAYER_COLUMNS
from fathom.store.export import export_csv
from fathom.store.results import StudyFolder

CLASSIC = (
    "epoch,train_loss,test_loss,train_acc,test_acc,val_loss,val_acc,lr,epoch_time,"
    "act_mean_1,act_std_1,grad_norm_1,grad_mean_abs_1,act_mean_2,act_std_2,grad_norm_2,grad_mean_abs_2"
)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = open_folder(tmp_path / "study")
    finish(folder)
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_classic_layout(folder: StudyFolder, tmp_path: Path) -> None:
    files = export_csv(folder, tmp_path / "csv")
    assert len(files) == 3 + 6
    path = tmp_path / "csv" / "logs" / "name_of_run_a-run_a" / "metrics.csv"
    assert path in files
    assert path.read_text(encoding="utf-8").partition("\n")[0] == CLASSIC
    rows, frames = read_csv(path), make_frames(["run_a"])
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for row in rows:
        at = pl.col("epoch") == int(row["epoch"])
        epoch = frames["epochs"].filter(at).row(0, named=True)
        assert float(row["val_acc"]) == epoch["validation_accuracy"]
        assert float(row["epoch_time"]) == epoch["epoch_time_s"]
        for layer in frames["layers"].filter(at).iter_rows(named=True):
            assert float(row[f"grad_mean_abs_{layer['layer']}"]) == layer["grad_mean_abs"]
            assert row["act_mean_2"] == "NaN"


def test_all_layer_columns_on_request(folder: StudyFolder, tmp_path: Path) -> None:
    export_csv(folder, tmp_path / "csv", all_columns=True)
    path = tmp_path / "csv" / "logs" / "name_of_run_a-run_a" / "metrics.csv"
    header = list(read_csv(path)[0])
    assert set(CLASSIC.split(",")) < set(header)
    for column in LAYER_COLUMNS[3:]:
        assert f"{column.name}_2" in header


def test_the_flat_tables_are_the_tables(folder: StudyFolder, tmp_path: Path) -> None:
    export_csv(folder, tmp_path / "csv")
    for name in ("epochs", "layers", "runs"):
        rows = read_csv(tmp_path / "csv" / f"{name}.csv")
        truth = folder.table(name)
        assert [row["run_id"] for row in rows] == truth["run_id"].to_list()
        column = truth.columns[-1]
        assert [float(row[column]) for row in rows] == truth[column].to_list()


NAMES = {
    "run_a": "relu-he_normal-d5",
    "run_b": "RELU-he_normal-D5",
    "run_c": "../../../etc/cron.d/x",
    "run_d": "=HYPERLINK(1)",
    "run_e": "..",
    "run_f": "-1+2\u202e\n" + "x" * 300,
}


def test_names_stay_in_the_folder_and_are_never_formulas(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "in" / "study")
    frames = make_frames(list(NAMES))
    names = pl.Series("name", [NAMES[run_id] for run_id in frames["runs"]["run_id"]])
    with folder.claim("c1"):
        folder.commit_cohort("c1", {**frames, "runs": frames["runs"].with_columns(names)}, {}, {})
    before = set(tmp_path.rglob("*"))
    export_csv(folder, tmp_path / "csv")
    written = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "csv") for path in written)
    folders = sorted(path.parent.name for path in written if path.name == "metrics.csv")
    assert folders == sorted([
        "relu-he_normal-d5",
        "RELU-he_normal-D5-run_b",
        "etc_cron.d_x-run_c",
        "=HYPERLINK(1)",
        "run_e",
        "1+2__" + "x" * 95 + "-run_f",
    ])
    cells = {row["run_id"]: row["name"] for row in read_csv(tmp_path / "csv" / "runs.csv")}
    assert cells == NAMES | {"run_d": "'=HYPERLINK(1)", "run_f": "'" + NAMES["run_f"]}


def test_a_place_that_cannot_be_written_is_named(folder: StudyFolder, tmp_path: Path) -> None:
    (tmp_path / "csv").write_text("in the way")
    with pytest.raises(StoreError, match="csv: cannot be written: File exists"):
        export_csv(folder, tmp_path / "csv")
