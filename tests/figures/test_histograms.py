"""Recorded histograms: mass kept in other bins, densities that integrate to 1, chosen epochs."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fathom.api import Results, Study
from fathom.figures import (
    FigureError,
    Frames,
    activation_histograms,
    chart,
    distribution_over_epochs,
    gradient_histograms,
    select,
)
from fathom.figures.charts import Floats, Line
from fathom.figures.gradient_histograms import by_size
from fathom.figures.histograms import (
    Histogram,
    Key,
    density,
    rebin,
    recorded,
    run_styles,
    shown_layers,
    unit_for,
)
from made_frames import small, study

NUM_BINS = 64


def histogram(values: Floats) -> Histogram:
    counts, edges = np.histogram(values, NUM_BINS)
    return Histogram(edges, counts.astype(np.float64))


@pytest.fixture(scope="module")
def normal() -> Histogram:
    return histogram(np.random.default_rng(0).normal(1.0, 2.0, 5_000))


def rows(run_id: str, epoch: int, layer: int, values: Floats, quantity: str) -> pl.DataFrame:
    found = histogram(values)
    return pl.DataFrame({
        "run_id": run_id,
        "epoch": epoch,
        "layer": layer,
        "quantity": quantity,
        "bin": np.arange(NUM_BINS),
        "low": found.edges[:-1],
        "high": found.edges[1:],
        "count": found.counts.astype(np.int64),
    })


def frames_of(*tables: pl.DataFrame) -> Frames:
    """Make frames of the runs in the tables, which differ in their activation."""
    histograms = pl.concat(tables)
    ids = histograms["run_id"].unique(maintain_order=True)
    runs = pl.DataFrame({"run_id": ids, "name": ids, "activation": ids, "init": "he", "depth": 2})
    base = small()
    return dataclasses.replace(
        base, runs=runs, settings=("activation",), histograms=histograms.lazy()
    )


def integral(line: Line) -> float:
    """Integrate an outline: each bin is a pair of corners at one height."""
    return float(np.sum(np.diff(line.x)[::2] * line.y[::2]))


class TestBins:
    def test_a_bin_is_shared_in_proportion(self) -> None:
        found = rebin(
            Histogram(np.array([0.0, 1, 2, 3]), np.array([2.0, 4, 6])),
            np.array([0.0, 0.5, 2.25, 3.0]),
        )
        np.testing.assert_allclose(found, [1, 1 + 4 + 1.5, 4.5], rtol=1e-15)

    @pytest.mark.parametrize("num_bins", [1, 7, 64, 1_000])
    def test_mass_is_kept(self, normal: Histogram, num_bins: int) -> None:
        wide = np.linspace(normal.edges[0] - 1, normal.edges[-1] + 3, num_bins + 1)
        assert rebin(normal, wide).sum() == pytest.approx(5_000, rel=1e-12)

    def test_the_same_bins_have_the_same_counts(self, normal: Histogram) -> None:
        np.testing.assert_allclose(rebin(normal, normal.edges), normal.counts, atol=1e-9)

    def test_every_fourth_edge_gives_what_counting_the_values_gives(self) -> None:
        values = np.random.default_rng(1).normal(size=3_000)
        fine = histogram(values)
        coarse = fine.edges[::4]
        expected, _ = np.histogram(values, coarse)
        np.testing.assert_allclose(rebin(fine, coarse), expected, atol=1e-9)

    def test_what_lies_outside_is_not_counted(self) -> None:
        found = rebin(Histogram(np.array([0.0, 4.0]), np.array([8.0])), np.array([1.0, 2.0, 9.0]))
        assert found.tolist() == [2, 4]

    def test_a_single_value_goes_into_its_bin(self) -> None:
        point = Histogram(np.full(3, 0.5), np.array([0.0, 9.0]))
        assert rebin(point, np.array([0.0, 0.5, 1.0])).tolist() == [0, 9]
        assert rebin(point, np.array([0.0, 0.25, 0.5])).tolist() == [0, 9]

    def test_density_integrates_to_one_and_is_that_of_the_values(self) -> None:
        uniform = Histogram(np.linspace(-1, 3, NUM_BINS + 1), np.full(NUM_BINS, 10.0))
        np.testing.assert_allclose(density(uniform), 1 / 4, rtol=1e-14)

    def test_sizes_of_a_uniform_gradient(self) -> None:
        # |x| is uniform over [0, 1] where x is uniform over [-1, 1].
        sizes = 10.0 ** (np.arange(-20, 1) / 10)
        for edges in (np.linspace(-1, 1, 65), np.linspace(0, 1, 65), np.linspace(-1, 0, 65)):
            found = by_size(Histogram(edges, np.full(64, 5.0)), sizes)
            np.testing.assert_allclose(found, 10 * np.diff(sizes), rtol=1e-12)

    def test_an_axis_has_short_numbers(self) -> None:
        assert unit_for("activation", np.array([-3.0, 0.2])) == ("activation", 1.0)
        assert unit_for("activation", np.array([2e7])) == ("activation [1e7]", 1e7)
        assert unit_for("grad_weight", np.array([-4e-3]), np.zeros(2)) == (
            "dL/dW [1e-3 nats]",
            1e-3,
        )
        assert unit_for("grad_weight", np.zeros(2)) == ("dL/dW [nats]", 1.0)


class TestGradients:
    def test_the_study_finding_can_be_read(self) -> None:
        rng = np.random.default_rng(2)
        frames = frames_of(
            rows("sigmoid", 0, 1, rng.normal(0, 1e-5, 4_000), "grad_weight"),
            rows("sigmoid", 0, 2, rng.normal(0, 1e-1, 4_000), "grad_weight"),
            rows("tanh", 0, 1, rng.normal(0, 1e-2, 4_000), "grad_weight"),
            rows("tanh", 0, 2, rng.normal(0, 1e-2, 4_000), "grad_weight"),
            rows("tanh", 1, 1, rng.normal(0, 7.0, 4_000), "grad_weight"),
        )
        found = chart("gradient_histograms", frames)
        assert [panel.title for panel in found.panels] == ["layer 1", "layer 2", "", ""]
        assert found.columns == 2
        # The density per decade of |x| for x ~ N(0, s^2) is highest at |x| = s.
        for panel, scales in zip(found.panels[2:], [(1e-5, 1e-2), (1e-1, 1e-2)], strict=True):
            for line, scale in zip(panel.lines, scales, strict=True):
                assert line.x[line.y.argmax()] == pytest.approx(scale, rel=0.5)
                assert line.y.sum() / 10 == pytest.approx(1, abs=0.02)

    def test_lines_integrate_to_one_in_the_order_of_the_runs(self) -> None:
        frames = study(
            activations=("relu", "tanh"),
            inits=("he",),
            depths=(2, 4),
            epochs=1,
            odd=False,
            histograms=True,
        )
        found = gradient_histograms.chart(gradient_histograms.numbers(frames))
        names = [style.label for style in run_styles(frames).values()]
        for panel in found.panels[: found.columns]:
            assert panel.x.label == "dL/dW [1e-3 nats]"
            shown = [line.name for line in panel.lines]
            assert shown == [name for name in names if name in shown]
            for line in panel.lines:
                assert integral(line) * 1e-3 == pytest.approx(1, rel=1e-12)

    def test_deep_networks_show_six_layers(self) -> None:
        frames = study(
            activations=("relu",), inits=("he",), depths=(50,), epochs=1, histograms=True
        )
        assert gradient_histograms.numbers(frames).layers == (1, 11, 21, 31, 41, 51)
        assert shown_layers(recorded(frames, "activation"), 2) == (1, 50)


class TestActivations:
    def test_last_is_each_runs_own_last_epoch(self) -> None:
        frames = frames_of(
            *(
                rows("long", epoch, 1, np.linspace(0, 1 + epoch, 99), "activation")
                for epoch in (0, 1, 2)
            ),
            *(
                rows("short", epoch, 1, np.linspace(0, 5 + epoch, 99), "activation")
                for epoch in (0, 1)
            ),
        )
        (panel,) = chart("activation_histograms", frames, epoch="last").panels
        assert [line.x[-1] for line in panel.lines] == [3, 6]
        fresh, trained = chart("activation_histograms", frames).panels
        assert (fresh.title, trained.title) == ("layer 1, fresh", "layer 1, last epoch")
        assert [line.x[-1] for line in fresh.lines] == [1, 5]
        (panel,) = chart("activation_histograms", frames, epoch=2).panels
        assert [line.name for line in panel.lines] == ["long"]

    def test_every_line_integrates_to_one(self) -> None:
        for quantity in ("activation", "pre_activation"):
            found = activation_histograms.chart(
                activation_histograms.numbers(small(), quantity=quantity)
            )
            for panel in found.panels:
                for line in panel.lines:
                    assert integral(line) == pytest.approx(1, rel=1e-12)

    def test_a_run_with_values_that_are_not_finite_is_left_out(self) -> None:
        broken = rows("b", 0, 1, np.arange(9.0), "activation").with_columns(
            low=pl.lit(np.nan), high=pl.lit(np.nan), count=pl.lit(0, pl.Int64)
        )
        frames = frames_of(rows("a", 0, 1, np.arange(9.0), "activation"), broken)
        assert set(recorded(frames, "activation")) == {Key("a", 0, 1)}


class TestEpochs:
    def test_all_epochs_share_the_bins_and_keep_their_mass(self) -> None:
        frames = frames_of(
            rows("a", 0, 1, np.linspace(0.0, 1.0, 640), "activation"),
            rows("a", 1, 1, np.linspace(2.0, 4.0, 640), "activation"),
            rows("a", 2, 1, np.full(640, 3.0), "activation"),
        )
        (course,) = distribution_over_epochs.numbers(frames, bins=4).courses
        assert course.edges.tolist() == [0, 1, 2, 3, 4]
        np.testing.assert_allclose(
            course.shares.T, [[1, 0, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1]], atol=1e-12
        )
        assert course.epochs.tolist() == [0, 1, 2]

    @pytest.mark.parametrize("quantity", ["activation", "pre_activation", "grad_weight"])
    def test_each_column_adds_up_to_one(self, quantity: str) -> None:
        frames = small()
        frames = select(frames, runs=frames.runs["run_id"][:4].to_list())
        numbers = distribution_over_epochs.numbers(frames, quantity=quantity)
        assert len(numbers.courses) > 4
        for course in numbers.courses:
            assert course.shares.shape[0] == NUM_BINS
            np.testing.assert_allclose(course.shares.sum(axis=0), 1, rtol=1e-12)

    def test_a_layer_of_one_value_has_a_range_around_it(self) -> None:
        frames = frames_of(rows("a", 0, 1, np.full(9, 3.0), "activation"))
        constant = frames.histograms.with_columns(low=3.0, high=3.0)
        frames = dataclasses.replace(frames, histograms=constant)
        (course,) = distribution_over_epochs.numbers(frames).courses
        assert course.edges[0] < 3 < course.edges[-1]
        assert course.shares.sum() == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gradient_histograms", {"epoch": 9}, "epoch 9 has no histograms; there are 0 to 4"),
        ("activation_histograms", {"epoch": "lst"}, "'lst' has no histograms.* and 'last'"),
        ("activation_histograms", {"epoch": [0, 9]}, "epoch 9 has no histograms"),
        ("activation_histograms", {"epoch": []}, "no epoch"),
        ("activation_histograms", {"quantity": "grad_weight"}, "Known: activation, pre_activation"),
        ("distribution_over_epochs", {"quantity": "activatio"}, "Did you mean 'activation'"),
        ("distribution_over_epochs", {"bins": 1}, "bins: got 1; must be an integer from 2"),
        ("distribution_over_epochs", {}, "8 runs are too many"),
    ],
)
def test_a_mistake_is_a_sentence(name: str, options: dict[str, Any], message: str) -> None:
    frames = small()
    if options:
        frames = select(frames, runs=frames.runs["run_id"][:4].to_list())
    with pytest.raises(FigureError, match=message):
        chart(name, frames, **options)


@pytest.mark.parametrize(
    "name", ["gradient_histograms", "activation_histograms", "distribution_over_epochs"]
)
def test_a_study_without_histograms_says_what_to_do(name: str) -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(2,), epochs=1)
    with pytest.raises(FigureError, match=r"set record\.histograms: true"):
        chart(name, frames)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = Study(
        name="h",
        data={"name": "digits", "limit": 96},
        activation=["tanh", "relu"],
        model={"hidden": [12, 9]},
        train={"epochs": 2, "lr": 0.1},
        record={"probe_size": 32, "histograms": True},
    )
    out = tmp_path_factory.mktemp("results")
    study.run(out, workers=1, progress=False)
    return out / "h"


def test_what_training_recorded_agrees_with_its_layers(trained: Path) -> None:
    results = Results.open(trained)
    found = recorded(results.frames, "activation")
    assert len(found) == 2 * 3 * 2
    layers = {
        Key(*row[:3]): row[3]
        for row in results.layers.select("run_id", "epoch", "layer", "act_mean").rows()
    }
    for key, histogram in found.items():
        assert histogram.counts.sum() == 32 * (12, 9)[key.layer - 1]
        middles = (histogram.edges[1:] + histogram.edges[:-1]) / 2
        mean = np.average(middles, weights=histogram.counts)
        half_a_bin = (histogram.edges[1] - histogram.edges[0]) / 2
        assert mean == pytest.approx(layers[key], abs=half_a_bin * 1.001)
    weights = [h.counts.sum() for h in recorded(results.frames, "grad_weight").values()]
    assert sorted(set(weights)) == [9 * 10, 12 * 9, 64 * 12]


def test_histograms_are_read_when_a_figure_needs_them(trained: Path) -> None:
    results = Results.open(trained)
    assert results.runs.height == 2
    results.figure("loss_curves")
    assert "histograms" not in vars(results)
    results.figure("gradient_histograms", activation="relu")
    assert "histograms" in vars(results)
