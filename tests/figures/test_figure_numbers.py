"""Every figure's numbers for tiny frames, against values computed by hand."""

from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from fathom.figures import (
    FIGURES,
    FigureError,
    Frames,
    accuracy_by_depth,
    accuracy_curves,
    activation_statistics,
    activations_at_init,
    chart,
    factor_comparison,
    gradient_by_layer,
    gradient_heatmap,
    gradient_mean_abs_heatmap,
    inits_at_activation,
    loss_curves,
    training_time,
)
from fathom.initializers import INITIALIZERS
from made_frames import small, study


@pytest.fixture(scope="module")
def small_study() -> Frames:
    return small()


@pytest.fixture(scope="module")
def large_study() -> Frames:
    return study(epochs=6)


def tiny(
    runs: list[dict[str, Any]], epochs: list[dict[str, Any]] = (), layers: list[dict[str, Any]] = ()
) -> Frames:
    """Make frames by hand; what a test does not mention has a value that would be noticed."""
    base = {
        "outcome": "completed",
        "reason": "",
        "elapsed_s": 1.0,
        "activation": "relu",
        "init": "he",
        "depth": 2,
    }
    metrics = {
        f"{part}_{metric}": -99.0
        for part in ("train", "validation", "test")
        for metric in ("loss", "accuracy")
    }
    quantities = dict.fromkeys(
        ("act_mean", "act_std", "grad_norm", "grad_mean_abs", "grad_pre_rms"), 99.0
    )
    rows = [base | {"name": run["run_id"]} | run for run in runs]
    swept = [
        key
        for key in ("activation", "init", "depth", "seed")
        if len({r.get(key) for r in rows}) > 1
    ]
    return Frames(
        runs=pl.DataFrame(rows),
        epochs=pl.DataFrame([metrics | row for row in epochs or [{"run_id": "none", "epoch": 0}]]),
        layers=pl.DataFrame([
            quantities | row for row in layers or [{"run_id": "none", "epoch": 0, "layer": 1}]
        ]),
        settings=tuple(swept),
    )


def epochs_of(run_id: str, column: str, values: list[float]) -> list[dict[str, Any]]:
    return [{"run_id": run_id, "epoch": epoch, column: value} for epoch, value in enumerate(values)]


def test_loss_curves_are_the_recorded_losses() -> None:
    frames = tiny(
        [{"run_id": "a"}, {"run_id": "b", "activation": "tanh"}],
        epochs_of("a", "train_loss", [2.3, 1.0, 0.5]) + epochs_of("b", "train_loss", [2.4, np.inf]),
    )
    numbers = loss_curves.numbers(frames, parts=["train"])
    first, second = numbers.curves
    assert (first.group.name, second.group.name) == ("relu", "tanh")
    np.testing.assert_array_equal(first.series.x, [0, 1, 2])
    np.testing.assert_array_equal(first.series.median, [2.3, 1.0, 0.5])
    np.testing.assert_array_equal(second.series.median, [2.4, np.nan])


def test_accuracy_curves_summarise_replicates_and_carry_ended_runs_on() -> None:
    frames = tiny(
        [{"run_id": i, "seed": n} for n, i in enumerate("abc")],
        epochs_of("a", "test_accuracy", [0.1, 0.2, 0.3])
        + epochs_of("b", "test_accuracy", [0.1, 0.6, 0.9])
        + epochs_of("c", "test_accuracy", [0.1, 0.4]),
    )
    (curve,) = accuracy_curves.numbers(frames, parts=["test"]).curves
    np.testing.assert_array_equal(curve.series.median, [0.1, 0.4, 0.4])
    np.testing.assert_array_equal(curve.series.low, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(curve.series.high, [0.1, 0.6, 0.9])


def test_parts_without_values_are_left_out() -> None:
    rows = [
        {"run_id": "a", "epoch": 0, "validation_loss": np.nan, "train_loss": 1.0, "test_loss": 2.0}
    ]
    assert loss_curves.numbers(tiny([{"run_id": "a"}], rows)).parts == ("train", "test")
    with pytest.raises(FigureError, match="no run has a finite loss on validation data"):
        loss_curves.numbers(tiny([{"run_id": "a"}], rows), parts=["validation"])
    with pytest.raises(FigureError, match=r"unknown part 'tets'. Did you mean 'test'\?"):
        loss_curves.numbers(tiny([{"run_id": "a"}], rows), parts=["tets"])


def test_a_diverging_loss_does_not_stretch_the_axis() -> None:
    losses = {"relu": [2.0, 1.5, 1e30], "tanh": [3.0, 4.0, 19.0], "elu": [1e9, 1e9, 1e9]}
    rows = [row for name, loss in losses.items() for row in epochs_of(name, "train_loss", loss)]
    frames = tiny([{"run_id": name, "activation": name} for name in losses], rows)
    drawn = loss_curves.chart(loss_curves.numbers(frames, parts=["train"]))
    assert drawn.panels[0].y.high == pytest.approx(1.1 * 19)
    assert drawn.panels[0].y.scale == "linear"
    assert "10 times the middle first loss" in drawn.note


LAYERS = [
    {
        "run_id": "a",
        "epoch": e,
        "layer": layer,
        "grad_norm": g,
        "grad_mean_abs": g / 10,
        "act_mean": m,
        "act_std": s,
    }
    for e, layer, g, m, s in [
        (1, 2, 4.0, np.nan, np.nan),
        (0, 1, 1.0, 0.1, 0.5),
        (0, 2, 2.0, np.nan, np.nan),
        (1, 1, 0.0, 0.3, 0.7),
    ]
]


@pytest.mark.parametrize(
    ("figure", "share"), [(gradient_heatmap, 1.0), (gradient_mean_abs_heatmap, 0.1)]
)
def test_heat_maps_are_layer_by_epoch_with_a_shared_range(figure: ModuleType, share: float) -> None:
    rows = [
        *LAYERS,
        {"run_id": "b", "epoch": 0, "layer": 1, "grad_norm": 8.0, "grad_mean_abs": 0.8},
    ]
    numbers = figure.numbers(tiny([{"run_id": "a"}, {"run_id": "b", "depth": 3}], layers=rows))
    first, second = numbers.maps
    np.testing.assert_array_equal(first.epochs, [0, 1])
    np.testing.assert_array_equal(first.layers, [1, 2])
    np.testing.assert_allclose(first.values, np.array([[1.0, 0.0], [2.0, 4.0]]) * share)
    np.testing.assert_allclose(second.values, [[8.0 * share]])
    assert (numbers.low, numbers.high) == pytest.approx((1.0 * share, 8.0 * share))
    assert (first.label, second.label) == ("depth 2", "depth 3")


def test_heat_maps_show_at_most_sixteen_decades_and_24_runs(large_study: Frames) -> None:
    rows = [
        {"run_id": "a", "epoch": 0, "layer": i + 1, "grad_norm": g}
        for i, g in enumerate((1e-30, 1.0))
    ]
    assert gradient_heatmap.numbers(tiny([{"run_id": "a"}], layers=rows)).low == pytest.approx(
        1e-16, abs=0
    )
    with pytest.raises(FigureError, match=r"192 runs are too many for one figure .* at most 24"):
        gradient_heatmap.numbers(large_study)
    rows = [{"run_id": "a", "epoch": 0, "layer": 1, "grad_norm": 0.0}]
    with pytest.raises(FigureError, match="no run has a positive, finite grad_norm"):
        gradient_heatmap.numbers(tiny([{"run_id": "a"}], layers=rows))


def test_gradient_by_layer_reads_the_chosen_epochs() -> None:
    frames = tiny([{"run_id": "a"}], layers=LAYERS)
    (profile,) = gradient_by_layer.numbers(frames).profiles
    assert profile.epochs == (0, 1)
    np.testing.assert_array_equal(profile.grad_norm, [[1.0, 2.0], [0.0, 4.0]])
    (profile,) = gradient_by_layer.numbers(frames, epochs=[1]).profiles
    np.testing.assert_array_equal(profile.grad_norm, [[0.0, 4.0]])
    with pytest.raises(FigureError, match="epoch 7 was not recorded; there are 0 to 1"):
        gradient_by_layer.numbers(frames, epochs=[1, 7])


def test_activation_statistics_leave_the_output_layer_out() -> None:
    (run,) = activation_statistics.numbers(tiny([{"run_id": "a"}], layers=LAYERS)).runs
    np.testing.assert_array_equal(run.layers, [1])
    np.testing.assert_array_equal(run.mean, [[0.1, 0.3]])
    np.testing.assert_array_equal(run.std, [[0.5, 0.7]])


def test_activation_statistics_show_six_layers_with_first_and_last() -> None:
    rows = [{"run_id": "a", "epoch": 0, "layer": i, "act_mean": 1.0 * i} for i in range(1, 51)]
    (run,) = activation_statistics.numbers(tiny([{"run_id": "a"}], layers=rows)).runs
    assert run.layers.tolist() == [1, 11, 21, 30, 40, 50]
    assert run.mean[:, 0].tolist() == run.layers.tolist()


def test_accuracy_by_depth_takes_the_last_epoch() -> None:
    frames = tiny(
        [
            {"run_id": "a", "depth": 5},
            {"run_id": "b", "depth": 10, "seed": 1},
            {"run_id": "c", "depth": 10},
        ],
        [
            {"run_id": "a", "epoch": 1, "train_accuracy": 0.9, "test_accuracy": 0.8},
            {"run_id": "a", "epoch": 0, "train_accuracy": 0.1, "test_accuracy": 0.1},
            {"run_id": "b", "epoch": 3, "train_accuracy": 0.5, "test_accuracy": 0.4},
            {"run_id": "c", "epoch": 3, "train_accuracy": 0.7, "test_accuracy": 0.5},
        ],
    )
    train, test = accuracy_by_depth.numbers(frames).curves
    np.testing.assert_array_equal(train.series.x, [5, 10])
    np.testing.assert_allclose(train.series.median, [0.9, 0.6])
    np.testing.assert_allclose(test.series.median, [0.8, 0.45])
    np.testing.assert_allclose(test.series.low, [0.8, 0.4])
    with pytest.raises(FigureError, match="needs at least two depths; all runs have depth 2"):
        accuracy_by_depth.numbers(tiny([{"run_id": "a"}]))


COMPARED = [
    *epochs_of("a", "train_accuracy", [0.95, 0.2, 0.8, 0.9]),
    *epochs_of("b", "train_accuracy", [0.1, 0.3, 0.4, 0.5]),
    *epochs_of("c", "train_accuracy", [0.1, 1.0, 1.0, 1.0]),
]


def test_inits_at_activation_measures_how_soon_the_target_is_reached() -> None:
    runs = [
        {"run_id": "a", "init": "he"},
        {"run_id": "b", "init": "xavier"},
        {"run_id": "c", "init": "he", "activation": "tanh"},
    ]
    numbers = inits_at_activation.numbers(tiny(runs, COMPARED))
    found = {(e.group.panel, e.group.name): e for e in numbers.entries}
    assert numbers.target == pytest.approx(0.9)  # of the best, 1.0
    assert list(found) == [("relu", "he"), ("relu", "xavier"), ("tanh", "he")]
    assert found["relu", "he"].convergence == (3, 1, 1)  # the state before training does not count
    never = found["relu", "xavier"].convergence
    assert np.isnan(never.epochs)
    assert (never.reached, never.total) == (0, 1)
    np.testing.assert_array_equal(found["tanh", "he"].accuracy.median, [1.0, 1.0, 1.0])
    assert (
        inits_at_activation.numbers(tiny(runs, COMPARED), target=0.5).entries[1].convergence.epochs
        == 3
    )
    with pytest.raises(FigureError, match=r"target must be a share in \(0, 1\]; got 90"):
        inits_at_activation.numbers(tiny(runs, COMPARED), target=90)


def test_activations_at_init_compares_the_other_way_round() -> None:
    runs = [
        {"run_id": "a"},
        {"run_id": "b", "activation": "tanh", "seed": 1},
        {"run_id": "c", "activation": "tanh"},
    ]
    numbers = activations_at_init.numbers(tiny(runs, COMPARED))
    names = [(e.group.panel, e.group.name) for e in numbers.entries]
    assert names == [("he", "relu"), ("he", "tanh")]
    both = numbers.entries[1]
    np.testing.assert_allclose(both.accuracy.median, [0.65, 0.7, 0.75])
    assert np.isnan(both.convergence.epochs)  # one of two never arrives: the later half is "never"
    assert (both.convergence.reached, both.convergence.total) == (1, 2)
    with pytest.raises(
        FigureError, match="needs at least two values of activation; all runs have relu"
    ):
        activations_at_init.numbers(tiny([{"run_id": "a"}], COMPARED))


def test_factor_comparison_reads_the_factor_from_the_label() -> None:
    runs = [
        {"run_id": "a", "init": "he_normal(factor=0.5, mode=fan_out)"},
        {"run_id": "b", "init": "he_normal(factor=3, mode=fan_out)"},
        {"run_id": "c", "init": "zero"},
    ]
    epochs = [
        {"run_id": i, "epoch": 1, "train_accuracy": t, "test_accuracy": t - 0.1}
        for i, t in (("a", 0.5), ("b", 0.9), ("c", 0.1))
    ]
    layers = [
        {"run_id": i, "epoch": epoch, "layer": layer, "grad_pre_rms": g}
        for i, epoch, gs in (
            ("a", 0, (0.1, 1, 7)),
            ("a", 1, (1, 1, 7)),
            ("b", 0, (100, 1, 7)),
            ("b", 1, (10, 1, 7)),
        )
        for layer, g in enumerate(map(float, gs), 1)
    ]
    numbers = factor_comparison.numbers(tiny(runs, epochs, layers))
    assert numbers.parameter == "factor"
    found = {curve.quantity: curve.series for curve in numbers.curves}
    assert list(found) == ["train_accuracy", "test_accuracy", "span_start", "span_end"]
    expected = {
        "train_accuracy": [0.5, 0.9],
        "test_accuracy": [0.4, 0.8],
        "span_start": [-1, 2],
        "span_end": [0, 1],
    }
    for quantity, median in expected.items():
        np.testing.assert_array_equal(found[quantity].x, [0.5, 3])
        np.testing.assert_allclose(found[quantity].median, median, atol=1e-12)
    assert len({curve.group for curve in numbers.curves}) == 1


def test_a_factor_that_is_not_written_is_the_initializers_default() -> None:
    default = INITIALIZERS.parameters("he_normal")["factor"].default
    labels = ["he_normal", "he_normal(factor=0.5)", "unknown"]
    frames = study(activations=("relu",), inits=labels, depths=(2,), epochs=1)
    curve = factor_comparison.numbers(frames).curves[0]
    assert curve.series.x.tolist() == [0.5, default]


def test_factor_comparison_needs_a_swept_number(small_study: Frames) -> None:
    with pytest.raises(FigureError, match="needs a numeric parameter of the initializer"):
        factor_comparison.numbers(small_study)
    labels = [f"normal(std={s})" for s in (0.01, 0.1)]
    frames = study(activations=("relu",), inits=labels, depths=(2,), epochs=1)
    assert factor_comparison.numbers(frames).parameter == "std"
    with pytest.raises(FigureError, match=r"no initializer is swept over 'sd'. .*Swept: std"):
        factor_comparison.numbers(frames, parameter="sd")


def test_training_time_by_depth_and_activation() -> None:
    runs = [
        {"run_id": "a", "depth": 5, "elapsed_s": 1.0, "seed": 0},
        {"run_id": "b", "depth": 5, "elapsed_s": 3.0, "seed": 1},
        {"run_id": "f", "depth": 5, "elapsed_s": 9.0, "seed": 2},
        {"run_id": "c", "depth": 9, "elapsed_s": 7.0, "seed": 0},
        {"run_id": "d", "depth": 9, "elapsed_s": np.nan, "seed": 1},
        {"run_id": "e", "depth": 5, "elapsed_s": 4.0, "activation": "tanh"},
    ]
    numbers = training_time.numbers(tiny(runs))
    assert (numbers.setting, numbers.categories) == ("depth", ("5", "9"))
    assert [g.name for g in numbers.groups] == ["relu", "tanh"]
    np.testing.assert_array_equal(numbers.median_s, [[3.0, 7.0], [4.0, np.nan]])
    np.testing.assert_array_equal(numbers.low_s, [[1.0, 7.0], [4.0, np.nan]])
    np.testing.assert_array_equal(numbers.high_s, [[9.0, 7.0], [4.0, np.nan]])
    assert numbers.total_s == 24.0
    with pytest.raises(FigureError, match="no run has a recorded time"):
        training_time.numbers(tiny([{"run_id": "a", "elapsed_s": np.nan}]))


def test_the_registry_suggests_names_and_options(small_study: Frames) -> None:
    assert all(spec.name == name for name, spec in FIGURES.items())
    with pytest.raises(
        FigureError, match=r"unknown figure 'los_curves'. Did you mean 'loss_curves'\?"
    ):
        chart("los_curves", small_study)
    with pytest.raises(
        FigureError,
        match=r"has no option 'epoch'. Did you mean 'epochs'\? Its options: epochs, runs",
    ):
        chart("gradient_by_layer", small_study, epoch=3)
    with pytest.raises(FigureError, match="figure 'accuracy_by_depth': needs at least two depths"):
        chart("accuracy_by_depth", small_study, depth=2)


def test_chart_takes_selections_and_options_together(small_study: Frames) -> None:
    drawn = chart("gradient_by_layer", small_study, activation="relu", depth=[2], epochs=[0, 4])
    assert [panel.title for panel in drawn.panels] == ["he_normal", "xavier_normal"]
    assert [line.name for line in drawn.panels[0].lines] == ["epoch 0", "epoch 4"]
