"""Each run's numbers as the rules of `verdicts` take them: measured, and predicted.

Measured are the probe batch's layers before training (epoch 0) and at the run's last epoch.
Everything is of hidden layers, but for the size of weight steps, which the output layer takes, too.
"""

from typing import Any, Final, Literal

import polars as pl

from fathom.figures.frames import Frames
from fathom.prediction import expected_evidence
from fathom.verdicts import Evidence

Moment = Literal["start", "end"]

BAND_SDS: Final = 2.0  # half the width of a band in standard deviations


def measured(frames: Frames, moment: Moment) -> dict[str, Evidence]:
    """Read what was measured of each run.

    Rules about training need the end: only there are weight steps and losses given. The spread of
    the gradient span is the predicted one.

    Args:
        frames: The study.
        moment: Before training, or the last recorded epoch.

    Returns:
        By run id; what was not recorded is NaN.
    """
    table = _facts(frames)
    spread = _per_run(frames.predictions, span_sd=pl.col("gradient_log10_sd").first())
    for other in (_layer_numbers(frames, moment), _losses(frames, moment), spread):
        table = table.join(other, on="run_id", how="left", maintain_order="left")
    checks = ("layers_finite", "loss_finite", "has_not_diverged")
    ends = [name for name in checks if moment == "end" or name != "has_not_diverged"]
    finite = pl.all_horizontal(pl.col(name).fill_null(value=True) for name in ends)
    return _evidence(table.with_columns(is_finite=finite).drop(checks))


def predicted(frames: Frames) -> dict[str, Evidence]:
    """Read what theory says of each run before training.

    Returns:
        By run id; runs without a prediction are left out.
    """
    layers = frames.predictions.sort("run_id", "layer").partition_by("run_id", as_dict=True)
    facts = _facts(frames).select("run_id", "num_probes", "num_classes")
    return {
        run_id: expected_evidence(layers[run_id,], num_probes or 0, num_classes or 0)
        for run_id, num_probes, num_classes in facts.iter_rows()
        if (run_id,) in layers
    }


def at(frames: Frames, moment: Moment) -> pl.DataFrame:
    """Return the layer table of every run before training, or at its last recorded epoch."""
    epoch = pl.col("epoch")
    return frames.layers.filter(epoch == (0 if moment == "start" else epoch.max().over("run_id")))


def hidden_log10(frames: Frames, moment: Moment) -> pl.DataFrame:
    """Measure each hidden layer in the units of a prediction.

    Returns:
        `run_id`, `layer`, `gradient_log10` (of the rms of dL/dh over that in the last hidden
        layer), `pre_log10` and `pre_cosine`; -inf is the logarithm of 0.
    """
    grad = pl.col("grad_pre_rms")
    return (
        _hidden(at(frames, moment))
        .sort("run_id", "layer")
        .select(
            "run_id",
            "layer",
            gradient_log10=(grad / grad.last().over("run_id")).log10(),
            pre_log10=pl.col("pre_rms").log10(),
            pre_cosine=pl.col("pre_cosine"),
        )
    )


def band_exits(frames: Frames) -> pl.DataFrame:
    """Find where a run leaves its predicted band first, before training.

    The band is the predicted mean with two standard deviations to either side, in decades. The
    gradient is followed the way it takes, from the last hidden layer, which is 1 by definition, to
    the first; the scale of the pre-activations from the first to the last. What counts is one
    layer outside: of many sound networks a good part leaves the band somewhere, for the deviations
    of neighbouring layers go together and there are many layers.

    Returns:
        One row for each run: `run_id`, `leaves_band_layer` of the gradient and
        `scale_leaves_band_layer`; null where it stays inside or nothing is predicted.
    """
    layer = pl.col("layer")
    both = hidden_log10(frames, "start").join(
        frames.predictions, on=["run_id", "layer"], suffix="_predicted"
    )
    exits = both.group_by("run_id").agg(
        leaves_band_layer=layer.filter(_outside("gradient_log10")).max(),
        scale_leaves_band_layer=layer.filter(_outside("pre_log10")).min(),
    )
    return frames.runs.select("run_id").join(exits, on="run_id", how="left", maintain_order="left")


def _outside(name: str) -> pl.Expr:
    distance = (pl.col(name) - pl.col(f"{name}_predicted")).abs()
    limit = BAND_SDS * pl.col(f"{name}_sd")
    # NaN counts as larger than anything in a comparison, and as unknown here.
    return (distance > limit) & distance.is_not_nan() & limit.is_not_nan()


def _hidden(layers: pl.DataFrame) -> pl.DataFrame:
    last = pl.col("layer").max().over("run_id")
    return layers.filter(pl.col("layer") < last)


def _per_run(table: pl.DataFrame, **numbers: pl.Expr) -> pl.DataFrame:
    return table.sort("run_id", "layer").group_by("run_id").agg(**numbers)


def _largest(name: str) -> pl.Expr:
    return pl.col(name).filter(pl.col(name).is_not_nan()).max()


def _layer_numbers(frames: Frames, moment: Moment) -> pl.DataFrame:
    layers = at(frames, moment)
    grad, rms = pl.col("grad_pre_rms"), pl.col("pre_rms")
    hidden = _per_run(
        _hidden(layers),
        gradient_span=(grad.first() / grad.last()).log10(),
        smallest_gradient=grad.min(),
        # From nothing there is no growth: units whose weights are 0, below others with a bias.
        scale_growth=pl.when(rms.first() > 0).then(2 * (rms.last() / rms.first()).log10()),
        largest_rms=rms.max(),
        cosine=pl.col("pre_cosine").last(),
        dead_share=_largest("dead_share"),
        saturated_share=_largest("saturated_share"),
    )
    every = _per_run(layers, layers_finite=grad.is_finite().all() & rms.is_finite().all())
    if moment == "end":
        every = every.join(_weight_steps(frames), on="run_id", how="left")
    return every.join(hidden, on="run_id", how="left")


def _weight_steps(frames: Frames) -> pl.DataFrame:
    """Measure weight steps where the learning rate last was at least half its largest.

    A schedule that ends near 0 makes every last step tiny, which says nothing of the network.
    """
    rate, epoch = pl.col("lr"), pl.col("epoch")
    chosen = (
        frames.epochs
        .filter((epoch > 0) & (rate >= rate.max().over("run_id") / 2))
        .group_by("run_id")
        .agg(epoch.max())
    )
    step = pl.col("update_ratio")
    return _per_run(
        frames.layers.join(chosen, on=["run_id", "epoch"]),
        largest_update=_largest("update_ratio"),
        smallest_update=step.filter(step.is_not_nan()).min(),
    )


def _losses(frames: Frames, moment: Moment) -> pl.DataFrame:
    epoch, loss = pl.col("epoch"), pl.col("train_loss")
    first = loss.filter(epoch == 0).first()
    table = frames.epochs.sort("epoch").group_by("run_id")
    if moment == "start":
        return table.agg(loss_finite=first.is_finite())
    return table.agg(
        loss_finite=loss.last().is_finite(),
        loss=loss.last(),
        first_loss=first,
        epochs=epoch.last(),
    )


def _facts(frames: Frames) -> pl.DataFrame:
    """Return what does not depend on the epoch; a study need not tell all of it."""

    def known(name: str, kind: type[pl.DataType]) -> pl.Expr:
        return pl.col(name).cast(kind) if name in frames.runs.columns else pl.lit(None, dtype=kind)

    classes = known("num_classes", pl.Int64)
    is_entropy = known("loss", pl.String) == "cross_entropy"
    return frames.runs.select(
        "run_id",
        num_classes=classes,
        num_probes=pl.coalesce(known("num_probes", pl.Int64), known("probe_size", pl.Int64)),
        uniform_loss=pl.when(is_entropy).then(classes.log()),
        has_not_diverged=pl.col("outcome") != "diverged",
    )


def _evidence(table: pl.DataFrame) -> dict[str, Evidence]:
    found: dict[str, Evidence] = {}
    for row in table.iter_rows(named=True):
        known: dict[str, Any] = {key: value for key, value in row.items() if value is not None}
        run_id = known.pop("run_id")
        found[run_id] = Evidence(**known)
    return found
