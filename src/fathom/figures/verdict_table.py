"""What theory expected of each run and what became of it, as one table and in one sentence."""

from typing import Final, NamedTuple

import polars as pl

from fathom.figures.evidence import band_exits, measured, predicted
from fathom.figures.frames import Frames, final_metrics
from fathom.verdicts import Evidence, Verdict, judge, no_prediction

TRAINED_SHARE: Final = 0.1  # of the way from chance to a perfect accuracy
TRAINABLE: Final = ("healthy", "borderline")

TRAINED_NOTE = (
    "Trained: not diverged, and the training accuracy of the last epoch is at least a tenth of the "
    "way from chance (1 / classes) to 1. Expected to train: predicted healthy or borderline."
)


def verdict_table(frames: Frames) -> pl.DataFrame:
    """Judge every run by the rules of `verdicts`: predicted, before training, at the end.

    Returns:
        One row for each run in the order of `runs`:

        * `run_id`;
        * `span_measured`, `span_predicted`, `span_predicted_sd`: gradient span before training in
          decades, see `frames.gradient_spans`; NaN where unknown;
        * `verdict_predicted`, `verdict_start`, `verdict_end`: names;
        * `sentence_predicted`, `sentence_start`, `sentence_end`: why;
        * `leaves_band_layer`, `scale_leaves_band_layer`: see `evidence.band_exits`;
        * `trained`: see `trained`.
    """
    theory, start, end = predicted(frames), measured(frames, "start"), measured(frames, "end")
    rows = []
    for run_id in frames.runs["run_id"]:
        expected = theory.get(run_id)
        told = expected or Evidence()
        verdicts = {
            "predicted": _expected_verdict(frames, run_id, expected),
            "start": judge(start[run_id], told),
            "end": judge(end[run_id], told),
        }
        rows.append({
            "run_id": run_id,
            "span_measured": start[run_id].gradient_span,
            "span_predicted": told.gradient_span,
            "span_predicted_sd": told.span_sd,
            **{f"verdict_{when}": verdict.name for when, verdict in verdicts.items()},
            **{f"sentence_{when}": verdict.sentence for when, verdict in verdicts.items()},
        })
    return (
        pl
        .DataFrame(rows, infer_schema_length=None)
        .join(band_exits(frames), on="run_id", how="left", maintain_order="left")
        .join(trained(frames), on="run_id", how="left", maintain_order="left")
    )


def _expected_verdict(frames: Frames, run_id: str, expected: Evidence | None) -> Verdict:
    if expected is None:
        return no_prediction(frames.obstacles.get(run_id, "none was made for this run"))
    return judge(expected)


def trained(frames: Frames) -> pl.DataFrame:
    """Tell which runs learned anything.

    A run trained if it did not diverge and its last epoch's training accuracy is at least a tenth
    of the way from chance to perfect: 1/K + (1 - 1/K) / 10 for K classes, which is 0.19 for ten.
    Chance is that of classes of equal size.

    Not covered: data where one class is much larger than the others, whose share alone can be more
    than this.

    Returns:
        `run_id` and `trained`, in the order of `runs`; null where the number of classes or the
        accuracy is not known.
    """
    chance = 1 / pl.col("num_classes") if "num_classes" in frames.runs.columns else pl.lit(None)
    facts = frames.runs.select("run_id", chance=chance, diverged=pl.col("outcome") == "diverged")
    accuracy = final_metrics(frames).select("run_id", accuracy="train_accuracy")
    reached = pl.col("accuracy") >= pl.col("chance") + (1 - pl.col("chance")) * TRAINED_SHARE
    learned = pl.when(pl.col("accuracy").is_not_nan()).then(reached)
    return facts.join(accuracy, on="run_id", maintain_order="left").select(
        "run_id", trained=pl.when(pl.col("diverged")).then(statement=False).otherwise(learned)
    )


class Forecast(NamedTuple):
    """How many runs theory said would train, and how many did.

    Attributes:
        hits: Expected to train, and trained.
        disappointments: Expected to train, and did not.
        surprises: Not expected to train, and trained all the same.
        failures: Not expected to train, and did not.
        unpredicted: Runs without a prediction, or of an unknown one.
        unknown: Predicted runs of which it is not known whether they trained.
        obstacles: The different reasons why runs have no prediction.
    """

    hits: int
    disappointments: int
    surprises: int
    failures: int
    unpredicted: int
    unknown: int
    obstacles: tuple[str, ...]

    @property
    def num_predicted(self) -> int:
        """Runs with a prediction."""
        return self.hits + self.disappointments + self.surprises + self.failures + self.unknown

    @property
    def sentence(self) -> str:
        """All of it in words."""
        expected = self.hits + self.disappointments
        others = self.surprises + self.failures
        parts = []
        if expected + others:
            rest = f", and so did {self.surprises} of the other {others}" if others else ""
            parts.append(
                f"Theory expected {expected} of {expected + others} runs to train; {self.hits} of "
                f"these did{rest}."
            )
        if self.disappointments > self.hits:
            parts.append(
                "It looks at the start alone: too few steps or too small a rate are not in it."
            )
        if self.unknown:
            parts.append(f"Not known whether they trained: {self.unknown}.")
        if self.unpredicted:
            reason = f" ({self.obstacles[0]})" if len(self.obstacles) == 1 else ""
            parts.append(f"Runs without a prediction: {self.unpredicted}{reason}.")
        return " ".join(parts)


def forecast(frames: Frames, table: pl.DataFrame) -> Forecast:
    """Count what theory expected against what came.

    Args:
        frames: The study.
        table: Of `verdict_table`.
    """
    verdict, learned = pl.col("verdict_predicted"), pl.col("trained")
    without = table.filter(verdict.is_in(["no prediction", "unknown"]))
    rest = table.filter(~verdict.is_in(["no prediction", "unknown"]))
    expected = verdict.is_in(TRAINABLE)
    reasons = (frames.obstacles.get(run_id, "") for run_id in without["run_id"])
    return Forecast(
        hits=rest.filter(expected & learned).height,
        disappointments=rest.filter(expected & ~learned).height,
        surprises=rest.filter(~expected & learned).height,
        failures=rest.filter(~expected & ~learned).height,
        unpredicted=without.height,
        unknown=rest.filter(learned.is_null()).height,
        obstacles=tuple(dict.fromkeys(reason for reason in reasons if reason)),
    )
