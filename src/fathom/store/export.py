"""CSV files for other programs: the classic folder of logs, and the tables as they are."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import polars as pl

from fathom.records import LAYER_COLUMNS
from fathom.store.commit import make_folder, writing
from fathom.store.results import StudyFolder
from fathom.store.tables import KEYS

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
_ALL_LAYER: Final = (
    *_CLASSIC_LAYER,
    *(
        column.name
        for column in LAYER_COLUMNS
        if column.name not in {*_CLASSIC_LAYER, *KEYS["layers"]}
    ),
)
_LONGEST_NAME = 100


def export_csv(folder: StudyFolder, out_dir: Path, *, all_columns: bool = False) -> list[Path]:
    """Write a study's results as CSV.

    Args:
        folder: The results.
        out_dir: Made when missing. Gets `epochs.csv`, `layers.csv`, `runs.csv`, and for each run
            `logs/<run name>/metrics.csv` with one row for each epoch, the layers side by side. A
            name that cannot safely be a folder's is cleaned and gets the run's id.
        all_columns: Also put the layer columns into `metrics.csv` that the classic layout lacks.

    Returns:
        The files that were written.

    Raises:
        StoreError: If the results cannot be read or a file cannot be written.
    """
    frames = folder.tables("epochs", "layers", "runs")
    files = {out_dir / f"{name}.csv": _defused(frame) for name, frame in frames.items()}
    names = _folder_names(frames["runs"])
    layer_columns = _ALL_LAYER if all_columns else _CLASSIC_LAYER
    for run_id, metrics in _metrics(frames["epochs"], frames["layers"], layer_columns):
        files[out_dir / "logs" / names[run_id] / "metrics.csv"] = metrics
    for path, frame in files.items():
        make_folder(path.parent)
        data = frame.write_csv().encode()
        with writing(path, len(data)):
            path.write_bytes(data)
    return list(files)


def _metrics(
    epochs: pl.DataFrame, layers: pl.DataFrame, layer_columns: tuple[str, ...]
) -> Iterator[tuple[str, pl.DataFrame]]:
    layers_of = layers.partition_by("run_id", as_dict=True)
    for key, rows in epochs.partition_by("run_id", as_dict=True).items():
        metrics = rows.select(pl.col(ours).alias(theirs) for ours, theirs in _CLASSIC.items())
        if key in layers_of:
            metrics = metrics.join(_side_by_side(layers_of[key], layer_columns), "epoch", "left")
        yield str(key[0]), metrics


def _side_by_side(layers: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    numbers = layers["layer"].unique().sort()
    wide = layers.pivot("layer", index="epoch", values=columns)
    return wide.select("epoch", *(f"{column}_{i}" for i in numbers for column in columns))


def _folder_names(runs: pl.DataFrame) -> dict[str, str]:
    """Give each run a folder: its name if that is plain text and, whatever the case, unique."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for run_id, name in runs.select("run_id", "name").iter_rows():
        plain = re.sub(r"[^0-9A-Za-z._,=+()-]", "_", name).strip("._-")[:_LONGEST_NAME]
        unique = plain == name and plain.lower() not in taken
        names[run_id] = plain if unique else f"{plain}-{run_id}".lstrip("-")
        taken.add(plain.lower())
    return names


def _defused(frame: pl.DataFrame) -> pl.DataFrame:
    """Mark texts that a spreadsheet would run as a formula."""
    text = pl.col(pl.String)
    risky = text.str.contains(r"^[=+\-@\t\r]")
    return frame.with_columns(pl.when(risky).then("'" + text).otherwise(text).name.keep())
