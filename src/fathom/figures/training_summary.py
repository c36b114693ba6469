"""What a run's whole course comes to: means over epochs, its best epoch, how soon it converged."""

from typing import Final

import polars as pl

from fathom.figures.frames import Frames

SUMMARISED: Final = (
    "train_loss",
    "validation_loss",
    "test_loss",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
)
CONVERGED_SHARE: Final = 0.9  # of the way from chance to a perfect accuracy

CONVERGED_NOTE: Final = (
    "Converged: first epoch whose training accuracy is nine tenths of the way from chance "
    "(1 / classes) to 1. Means are over all epochs after the start."
)
BEST_NOTE: Final = (
    "Best epoch: the one of the best validation metric (train.monitor), whose weights are kept; "
    "the test part has no say in it."
)


def training_summary(frames: Frames) -> pl.DataFrame:
    """Take every metric's mean over all epochs of a run and its value at the best epoch.

    The best epoch is the one whose validation metric (`train.monitor`) is best, the last where
    there is no validation part. So `best_epoch_test_accuracy` is the test accuracy of the
    checkpoint that early stopping keeps; it is not the largest test accuracy of all epochs.

    A run has converged at the first epoch whose training accuracy is at least nine tenths of the
    way from chance to perfect: 1/K + 0.9 (1 - 1/K) for K classes, which is 0.91 for ten. The limit
    is the same for all runs of a study, so that what converges to something bad does not count.

    Not covered: data where one class is much larger than the others, whose share alone can be more
    than this.

    Returns:
        One row for each run in the order of `runs`: `run_id`; `mean_train_loss` and so on, over
        epochs 1 to the last, NaN where an epoch has none; `best_epoch_train_loss` and so on, null
        where no epoch was best; `converged_epoch`, null where it never did or the number of classes
        is not known.
    """
    trained = frames.epochs.filter(pl.col("epoch") > 0)
    chance = 1 / pl.col("num_classes") if "num_classes" in frames.runs.columns else pl.lit(None)
    limits = frames.runs.select("run_id", limit=chance + (1 - chance) * CONVERGED_SHARE)
    accuracy = pl.col("train_accuracy")
    reached = accuracy.is_not_nan() & (accuracy >= pl.col("limit"))
    found = (
        trained
        .join(limits, on="run_id")
        .group_by("run_id")
        .agg(
            pl.col(SUMMARISED).mean().name.prefix("mean_"),
            converged_epoch=pl.col("epoch").filter(reached).min(),
        )
    )
    summary = frames.runs.select("run_id")
    for table in (found, _at_best_epoch(frames, trained)):
        summary = summary.join(table, on="run_id", how="left", maintain_order="left")
    return summary


def _at_best_epoch(frames: Frames, trained: pl.DataFrame) -> pl.DataFrame:
    best = frames.runs.select("run_id", epoch="best_epoch")
    chosen = trained.join(best, on=["run_id", "epoch"])
    return chosen.select("run_id", pl.col(SUMMARISED).name.prefix("best_epoch_"))
