"""Figures of prediction beside measurement: their numbers, and what is drawn of them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fathom.figures import (
    FigureError,
    Frames,
    chart,
    predicted_layers,
    prediction_by_layer,
    prediction_scatter,
    select,
)
from fathom.figures.draw import draw
from made_frames import study


@pytest.fixture(scope="module")
def frames() -> Frames:
    return study(activations=("relu", "sigmoid"), inits=("he", "xavier"), depths=(3, 6), epochs=2)


def first_run(frames: Frames) -> str:
    return str(frames.runs["run_id"][0])


def test_each_layer_is_laid_over_its_prediction(frames: Frames) -> None:
    run_id = first_run(frames)
    (found,) = prediction_by_layer.numbers(select(frames, runs=run_id)).overlays
    told = frames.predictions.filter(run_id=run_id).sort("layer")
    np.testing.assert_array_equal(found.layers, [1, 2, 3])
    np.testing.assert_allclose(found.gradient.mean, told["gradient_log10"])
    np.testing.assert_allclose(
        found.gradient.high - found.gradient.low, 4 * told["gradient_log10_sd"]
    )
    np.testing.assert_allclose(found.scale.mean, told["pre_log10"])
    np.testing.assert_array_equal(found.cosine.low, found.cosine.high)
    for epoch, moment in ((0, "start"), (2, "end")):
        layers = frames.layers.filter(run_id=run_id, epoch=epoch).sort("layer")[:3]
        grads = layers["grad_pre_rms"].to_numpy()
        np.testing.assert_allclose(
            getattr(found.gradient, moment), np.log10(grads / grads[-1]), atol=1e-12
        )
        np.testing.assert_allclose(getattr(found.scale, moment), np.log10(layers["pre_rms"]))
        np.testing.assert_array_equal(getattr(found.cosine, moment), layers["pre_cosine"])


def test_a_row_of_three_panels_for_each_run(frames: Frames) -> None:
    drawn = chart("prediction_by_layer", frames, depth=3)
    assert (drawn.columns, len(drawn.panels)) == (3, 12)
    assert [panel.title for panel in drawn.panels[:4]] == ["relu, he", "", "", "relu, xavier"]
    gradient, scale, cosine = drawn.panels[:3]
    assert gradient.lines[0].low is not None
    assert cosine.lines[0].low is None
    names = [points.name for points in scale.points]
    assert names == ["measured at the last epoch", "measured before training"]


def test_a_run_without_a_prediction_has_its_measurements_alone(frames: Frames) -> None:
    run_id = first_run(frames)
    others = replace(frames, predictions=frames.predictions.filter(pl.col("run_id") != run_id))
    drawn = chart("prediction_by_layer", others, depth=3)
    assert drawn.panels[0].lines == ()
    assert len(drawn.panels[0].points) == 2
    assert len(drawn.panels[3].lines) == 1


@pytest.mark.parametrize("name", ["prediction_by_layer", "prediction_scatter"])
def test_without_any_prediction_there_is_a_reason(name: str, frames: Frames) -> None:
    none = replace(frames, predictions=frames.predictions.clear())
    with pytest.raises(FigureError, match=rf"figure '{name}': no run has a prediction: none was"):
        chart(name, none)
    told = replace(none, obstacles={first_run(frames): "a pole at 0"})
    with pytest.raises(FigureError, match="no run has a prediction: a pole at 0"):
        chart(name, told)


def test_a_prediction_alone_is_drawn_without_points(frames: Frames) -> None:
    layers = frames.predictions.filter(run_id=first_run(frames))
    drawn = predicted_layers.chart(predicted_layers.numbers(layers, "relu, he, 3 layers"))
    assert [len(panel.lines) for panel in drawn.panels] == [1, 1, 1]
    assert all(panel.points == () for panel in drawn.panels)
    assert drawn.note.startswith("relu, he, 3 layers. ")
    draw(drawn)


def spans(frames: Frames, changes: dict[str, float]) -> Frames:
    """Let the gradient of layer 1 before training be that of the last hidden layer times these."""
    last = pl.col("grad_pre_rms").filter(pl.col("layer") == 3).first().over("run_id", "epoch")
    changed = (pl.col("epoch") == 0) & (pl.col("layer") == 1)
    factor = pl.col("run_id").replace_strict(changes, default=1.0, return_dtype=pl.Float64)
    column = pl.when(changed).then(last * factor).otherwise("grad_pre_rms")
    return replace(frames, layers=frames.layers.with_columns(grad_pre_rms=column))


@pytest.fixture
def five() -> tuple[Frames, list[str]]:
    frames = study(
        activations=[f"a{i}" for i in range(5)], inits=("he",), depths=(3,), epochs=1, odd=False
    )
    ids = frames.runs["run_id"].to_list()
    table = {"gradient_log10": 0.0, "gradient_log10_sd": 0.0}
    for name, first in (("gradient_log10", [-1.0, 2.0, -70.0, 0.0]), ("gradient_log10_sd", [0.5])):
        told = dict(zip(ids, first * (4 // len(first)), strict=False))
        table[name] = (
            pl
            .when(pl.col("layer") == 1)
            .then(pl.col("run_id").replace_strict(told, default=0.0, return_dtype=pl.Float64))
            .otherwise(0.0)
        )
    predictions = frames.predictions.with_columns(**table).filter(pl.col("run_id") != ids[4])
    frames = spans(frames, {ids[0]: 0.01, ids[1]: 1000.0, ids[2]: 0.0, ids[3]: float("nan")})
    return replace(frames, predictions=predictions), ids


def test_the_scatter_compares_spans_and_counts_what_it_cannot(
    five: tuple[Frames, list[str]],
) -> None:
    found = prediction_scatter.numbers(five[0])
    assert [cloud.name for cloud in found.clouds] == ["a0", "a1", "a2", "a3"]
    assert [float(c.predicted[0]) for c in found.clouds] == [-1.0, 2.0, -70.0, 0.0]
    np.testing.assert_allclose([float(c.measured[0]) for c in found.clouds[:2]], [-2.0, 3.0])
    assert found.rms_error == pytest.approx(1.0)  # both are one decade off
    assert found.rms_deviation == pytest.approx(1.0 / 0.5)
    counts = (found.num_compared, found.num_vanished, found.num_other, found.num_unpredicted)
    assert counts == (2, 1, 1, 1)
    assert -2.5 < found.low < -2.0
    assert 3.0 < found.high < 3.5


def test_what_lies_beyond_the_edge_is_shown_there_and_counted(
    five: tuple[Frames, list[str]],
) -> None:
    drawn = chart("prediction_scatter", five[0])
    (panel,) = drawn.panels
    assert panel.title == "rms error 1 decades (2 sd), 2 runs"
    inside, _, below = panel.points
    np.testing.assert_allclose([inside.x[0], inside.x_low[0], inside.x_high[0]], [-1, -2, 0])
    assert below.marker == "down"
    assert below.x[0] == below.y[0] == panel.lines[0].x[0]
    assert "a gradient of 0 in the first layer: 1 of the runs" in drawn.note
    assert "nothing was measured: 1 of the runs" in drawn.note
    assert "Without a prediction: 1 of the runs" in drawn.note


def test_a_scatter_needs_a_measured_run(frames: Frames) -> None:
    with pytest.raises(FigureError, match="no run with a prediction has a finite gradient span"):
        chart("prediction_scatter", replace(frames, layers=frames.layers.clear()))
