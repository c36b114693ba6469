"""Means over epochs and the epoch of convergence, of runs written by hand."""

import math

import polars as pl
import pytest

from fathom.figures.frames import Frames
from fathom.figures.training_summary import SUMMARISED, training_summary


def study(
    accuracies: dict[str, list[float]], num_classes: int | None = 10, best_epoch: int = 1
) -> Frames:
    """Make runs with these training accuracies from epoch 0 on; the other metrics are twice it."""
    rows = [
        {"run_id": run_id, "epoch": epoch}
        | dict.fromkeys(SUMMARISED, 2 * accuracy)
        | {"train_accuracy": accuracy}
        for run_id, values in accuracies.items()
        for epoch, accuracy in enumerate(values)
    ]
    runs = pl.DataFrame({
        "run_id": list(accuracies),
        "num_classes": [num_classes] * len(accuracies),
        "best_epoch": [best_epoch] * len(accuracies),
    })
    runs = runs.with_columns(pl.col("num_classes").cast(pl.Int64))
    return Frames(runs=runs, epochs=pl.DataFrame(rows), layers=pl.DataFrame(), settings=())


def test_the_mean_leaves_out_the_start() -> None:
    (row,) = training_summary(study({"a": [9.0, 0.25, 0.75]})).to_dicts()
    assert row["mean_train_accuracy"] == 0.5
    assert row["best_epoch_train_accuracy"] == 0.25
    others = {f"mean_{name}" for name in SUMMARISED} - {"mean_train_accuracy"}
    assert all(row[name] == 1.0 for name in others)


@pytest.mark.parametrize(
    ("accuracy", "num_classes", "epoch"),
    [
        ([0.95, 0.5, 0.92, 0.5], 10, 2),  # not before the start; a later fall does not count
        ([0.1, 0.905, 0.909], 10, None),  # 0.1 + 0.9 x 0.9 = 0.91
        ([0.1, 0.92, 0.94, 0.96], 2, 3),  # 0.5 + 0.9 x 0.5 = 0.95
        ([0.1, math.nan, 0.99], 10, 2),
        ([0.1, 0.99], None, None),
    ],
)
def test_a_run_converges_nine_tenths_of_the_way_from_chance(
    accuracy: list[float], num_classes: int | None, epoch: int | None
) -> None:
    (row,) = training_summary(study({"a": accuracy}, num_classes)).to_dicts()
    assert row["converged_epoch"] == epoch


def test_runs_keep_their_order_and_one_without_epochs_has_nothing() -> None:
    found = training_summary(study({"b": [0.1, 0.3], "a": [0.1], "c": [0.1, 0.5]}))
    assert found["run_id"].to_list() == ["b", "a", "c"]
    assert found["mean_train_accuracy"].to_list() == [0.3, None, 0.5]


def test_what_is_not_a_number_stays_so() -> None:
    (row,) = training_summary(study({"a": [0.1, 0.3, math.nan]})).to_dicts()
    assert math.isnan(row["mean_train_accuracy"])


def test_the_best_epochs_metrics_are_those_of_the_kept_weights_and_not_the_largest() -> None:
    """The validation part chose epoch 2, and the test part is better before and after."""
    frames = study({"a": [0.0, 0.0, 0.0, 0.0]}, best_epoch=2)
    frames.epochs.replace_column(
        frames.epochs.get_column_index("test_accuracy"),
        pl.Series("test_accuracy", [0.9, 0.8, 0.3, 0.7]),
    )
    frames.epochs.replace_column(
        frames.epochs.get_column_index("test_loss"), pl.Series("test_loss", [1.0, 2.0, 3.0, 4.0])
    )
    (row,) = training_summary(frames).to_dicts()
    assert (row["best_epoch_test_accuracy"], row["best_epoch_test_loss"]) == (0.3, 3.0)


def test_a_run_without_a_best_epoch_has_no_metrics_there() -> None:
    """Epoch 0 stands for none: a run that diverged at once."""
    (row,) = training_summary(study({"a": [0.1, 0.3]}, best_epoch=0)).to_dicts()
    assert row["best_epoch_test_accuracy"] is None
    assert row["mean_train_accuracy"] == 0.3
