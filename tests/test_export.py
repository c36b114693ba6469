"""CSV: the classic layout, and names that stay in their folder."""

import csv
from pathlib import Path

import polars as pl
import pytest

from fathom.api.export import folder_names, write_csv
from fathom.errors import StoreError
from fathom.figures.frames import Frames
from fathom.records import LAYER_COLUMNS
from made_frames import study

CLASSIC = (
    "epoch,train_loss,test_loss,train_acc,test_acc,val_loss,val_acc,lr,epoch_time,"
    "act_mean_1,act_std_1,grad_norm_1,grad_mean_abs_1"
)
NAMES = [
    "relu-he_normal-d5",
    "RELU-he_normal-D5",
    "../../../etc/cron.d/x",
    "=HYPERLINK(1)",
    "..",
    "-1+2\u202e\n" + "x" * 300,
    "/absolute",
    "a b",
    "a_b-r7",  # what "a b" would become
]
FOLDERS = [
    "relu-he_normal-d5",
    "RELU-he_normal-D5-r1",
    "etc_cron.d_x-r2",
    "=HYPERLINK(1)",
    "r4",
    "1+2__" + "x" * 95 + "-r5",
    "absolute-r6",
    "a_b-r7",
    "a_b-r7-r8",
]


@pytest.fixture(scope="module")
def frames() -> Frames:
    return study(activations=("relu",), inits=("he",), depths=(2,), epochs=2, seeds=range(9))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_classic_layout(frames: Frames, tmp_path: Path) -> None:
    write_csv(frames.runs, frames, tmp_path)
    run_id, name = frames.runs.select("run_id", "name").row(3)
    (path,) = tmp_path.glob(f"logs/{name}*/metrics.csv")
    assert path.read_text(encoding="utf-8").startswith(f"{CLASSIC},")
    rows = read_csv(path)
    epochs = frames.epochs.filter(run_id=run_id).sort("epoch").to_dicts()
    assert [int(row["epoch"]) for row in rows] == [epoch["epoch"] for epoch in epochs]
    for row, epoch in zip(rows, epochs, strict=True):
        assert float(row["test_acc"]) == epoch["test_accuracy"]
        assert float(row["epoch_time"]) == epoch["epoch_time_s"]
        for layer in frames.layers.filter(run_id=run_id, epoch=epoch["epoch"]).to_dicts():
            for column in LAYER_COLUMNS[3:]:
                cell = float(row[f"{column.name}_{layer['layer']}"])
                assert cell == pytest.approx(layer[column.name], abs=0, nan_ok=True)


def test_names_stay_in_the_folder_and_are_never_formulas(frames: Frames, tmp_path: Path) -> None:
    ids = frames.runs["run_id"].to_list()
    short = {run_id: f"r{index}" for index, run_id in enumerate(ids)}
    renamed = Frames(
        runs=frames.runs.with_columns(
            pl.Series("name", NAMES), pl.col("run_id").replace_strict(short)
        ),
        epochs=frames.epochs.with_columns(pl.col("run_id").replace_strict(short)),
        layers=frames.layers.with_columns(pl.col("run_id").replace_strict(short)),
        settings=frames.settings,
    )
    write_csv(renamed.runs, renamed, tmp_path / "a" / "b" / "csv")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "a" / "b" / "csv") for path in written)
    folders = [path.parent.name for path in written if path.name == "metrics.csv"]
    assert sorted(folders) == sorted(FOLDERS)
    cells = [row["name"] for row in read_csv(tmp_path / "a" / "b" / "csv" / "runs.csv")]
    assert cells == [f"'{name}" if name[0] in "=-" else name for name in NAMES]


def test_ids_are_no_paths_either_and_no_folder_is_shared() -> None:
    runs = pl.DataFrame({"run_id": ["../../x", "x", "X"], "name": ["..", "..", ""]})
    assert folder_names(runs) == {"../../x": "x", "x": "x-2", "X": "X-3"}


@pytest.mark.parametrize("place", ["csv", "csv/runs.csv", "csv/logs"])
def test_a_place_that_cannot_be_written_is_named(
    frames: Frames, tmp_path: Path, place: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to("/dev/full")
    reason = "No space left" if place.endswith(".csv") else "(File exists|Not a directory)"
    with pytest.raises(StoreError, match=f"{place}.*: cannot be written: {reason}"):
        write_csv(frames.runs, frames, tmp_path / "csv")


def test_metrics_are_tables_of_their_own_where_there_are_any(
    frames: Frames, tmp_path: Path
) -> None:
    metrics = pl.DataFrame({"run_id": ["a"], "class_name": ["=1+1"], "f1": [0.25]})
    tables = {"metrics": metrics, "class_metrics": metrics.clear()}
    write_csv(frames.runs, frames, tmp_path, further=tables)
    assert read_csv(tmp_path / "metrics.csv") == [
        {"run_id": "a", "class_name": "'=1+1", "f1": "0.25"}
    ]
    assert not (tmp_path / "class_metrics.csv").exists()
