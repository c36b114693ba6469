"""Charts and their matplotlib form: units, odd numbers, hostile texts, equal bytes."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom.figures import FIGURES, FigureError, Frames, chart, make
from fathom.figures.charts import (
    Axis,
    Bars,
    Chart,
    HeatMap,
    Line,
    Panel,
    Points,
    columns_for,
    curve_scale,
    to_plain,
)
from fathom.figures.draw import FORMATS, draw, save
from fathom.figures.paint import clean, edges, spread
from made_frames import small, study

X = np.arange(3.0)
NO_UNIT = {
    "epoch",
    "layer",
    "activation",
    "init",
    "mean activation",
    "std of activation",
    "cosine",
}


@pytest.fixture(scope="module")
def small_study() -> Frames:
    return small()


@pytest.fixture(scope="module")
def large_study() -> Frames:
    return study(epochs=6, histograms=True, observed=True)


def line(y: Any, **options: Any) -> Line:
    return Line(**({"name": "a", "x": X, "y": np.array(y, float), "colour": "#0072b2"} | options))


def one_panel(**content: Any) -> Chart:
    x, y = content.pop("x", Axis(label="epoch")), content.pop("y", Axis(label="loss [nats]"))
    return Chart(title="t", panels=(Panel(title="p", x=x, y=y, **content),), columns=1)


def heat_map(z: Any, **options: Any) -> HeatMap:
    z = np.array(z, float)
    size = {"x": np.arange(z.shape[1], dtype=float), "y": np.arange(z.shape[0], dtype=float)}
    look = {"label": "norm [nats]", "scale": "log", "low": 1e-3, "high": 10.0}
    return HeatMap(z=z, **(size | look | options))


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_and_colour_scale_names_its_unit(name: str) -> None:
    inits = ("he_normal(factor=1)", "he_normal(factor=2.5)")
    frames = study(
        activations=("relu", "tanh"),
        inits=inits,
        depths=(2, 4),
        epochs=3,
        histograms=True,
        observed=True,
    )
    found = chart(name, frames, **few(name, frames))
    labels = [p.y.label for p in found.panels] + [p.x.label for p in found.panels]
    labels += [p.heat_map.label for p in found.panels if p.heat_map is not None]
    for label in labels:
        assert (
            label.endswith("]")
            or label in NO_UNIT
            or label in {"factor of the initializer", "depth", "true class", "answered class"}
            or label in {"precision", "recall", "share of the class"}
            or label in {"density", "share of the values in a bin"}
            or label in {"share of the units", "share of class 1", "x1", "x2"}
            or label.startswith("first epoch with train accuracy ≥")
        ), label


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("shape", ["one epoch and layer", "one run", "odd values"])
def test_every_figure_is_drawn_without_a_warning(name: str, shape: str) -> None:
    inits = ("he_normal(factor=1)", "he_normal(factor=2)")
    options: dict[str, Any] = {"activations": ("relu", "tanh"), "inits": inits, "depths": (2, 4)}
    options |= {
        "one epoch and layer": {"epochs": 1, "depths": (1, 2)},
        "one run": {"activations": ("relu",), "inits": inits[:1], "depths": (2,)},
        "odd values": {},
    }[shape]
    frames = study(**({"epochs": 4, "histograms": True, "observed": True} | options))
    if shape == "odd values":
        frames = dataclasses.replace(
            frames, epochs=spoil(frames.epochs), layers=spoil(frames.layers)
        )
    try:
        figure = make(name, frames, **few(name, frames))
    except FigureError:
        assert shape == "one run"
        return
    figure.set_dpi(40)
    figure.canvas.draw()
    assert any(ax.has_data() for ax in figure.axes)


def few(name: str, frames: Frames) -> dict[str, Any]:
    """Choose as many runs as the figure can show."""
    return {"runs": list(frames.runs["run_id"][: FIGURES[name].max_runs])}


def spoil(table: Any) -> Any:
    """Put NaN, both infinities and zero in turn into every column of numbers."""
    odd = np.resize([np.nan, np.inf, -np.inf, 0.0, 1.0, 1e30, 1e-30], table.height)
    names = [n for n in table.columns if table[n].dtype.is_float()]
    return table.with_columns(**dict.fromkeys(names, odd))


def test_what_is_not_finite_is_a_gap_and_the_band_too() -> None:
    y = [1.0, np.inf, np.nan]
    figure = draw(one_panel(lines=(line(y, low=np.array(y) / 2, high=np.array(y) * 2),)))
    drawn = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(drawn, [1.0, np.nan, np.nan])


def test_a_log_axis_has_a_gap_at_zero() -> None:
    y = Axis(label="loss [nats]", scale="log")
    figure = draw(one_panel(y=y, lines=(line([1.0, 0.0, 100.0]),)))
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1.0, np.nan, 100.0])
    assert figure.axes[0].get_yscale() == "log"


def test_heat_map_colours_are_clipped_and_nan_is_masked() -> None:
    figure = draw(one_panel(heat_map=heat_map([[0.0, 0.1, np.inf], [np.nan, 1e-9, 5.0]])))
    (image,) = figure.axes[0].images
    shown = image.get_array()
    np.testing.assert_array_equal(shown.mask, [[False] * 3, [True, False, False]])
    np.testing.assert_array_equal(shown.compressed(), [1e-3, 0.1, 10.0, 1e-3, 5.0])
    assert image.get_extent() == [-0.5, 2.5, -0.5, 1.5]
    assert (image.norm.vmin, image.norm.vmax) == (1e-3, 10.0)


def test_a_heat_map_with_uneven_epochs_keeps_their_places() -> None:
    figure = draw(one_panel(heat_map=heat_map([[1.0, 2.0, 3.0]], x=np.array([0.0, 1.0, 5.0]))))
    (mesh,) = figure.axes[0].collections
    assert mesh.get_coordinates()[0, :, 0].tolist() == [-0.5, 0.5, 3.0, 7.0]


def test_panels_with_the_same_label_share_their_range() -> None:
    panels = tuple(
        Panel(title="p", x=Axis(label="epoch"), y=Axis(label=label), lines=(line(y),))
        for label, y in (
            ("loss [nats]", [0, 1, 2]),
            ("loss [nats]", [5, 6, 9]),
            ("time [s]", [0, 0, 1]),
        )
    )
    axes = draw(Chart(title="t", panels=panels, columns=3)).axes
    assert axes[0].get_ylim() == axes[1].get_ylim() != axes[2].get_ylim()
    assert axes[0].get_ylim()[1] > 9


def test_an_axis_ends_where_the_chart_says() -> None:
    figure = draw(one_panel(y=Axis(label="loss [nats]", high=3.0), lines=(line([1, 2, 1e9]),)))
    assert figure.axes[0].get_ylim()[1] == 3.0


def test_panels_that_share_nothing_keep_their_range() -> None:
    panels = tuple(
        Panel(
            title="p",
            x=Axis(label="epoch"),
            y=Axis(label="loss [nats]", shared=shared),
            lines=(line(y),),
        )
        for shared, y in ((False, [0, 1, 2]), (True, [5, 6, 9]))
    )
    first, second = draw(Chart(title="t", panels=panels, columns=2)).axes
    assert first.get_ylim()[1] < 3
    assert second.get_ylim()[0] > 4


def test_points_are_joined_by_nothing_and_a_ring_is_open() -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, np.inf, 3.0])
    points = tuple(
        Points(name=marker, x=x, y=y, x_low=x - 1, x_high=x + 2, colour="#0072b2", marker=marker)
        for marker in ("dot", "ring")
    )
    figure = draw(one_panel(points=points))
    dots, rings = figure.axes[0].lines
    for drawn in (dots, rings):
        np.testing.assert_array_equal(drawn.get_ydata(), [1.0, np.nan, 3.0])
        assert drawn.get_linestyle() == "None"
    assert dots.get_markerfacecolor() == "#0072b2"
    assert rings.get_markerfacecolor() == "none"
    whiskers = figure.axes[0].collections[0].get_segments()
    assert [segment.tolist() for segment in whiskers if len(segment)] == [
        [[0.0, 1.0], [3.0, 1.0]],
        [[2.0, 3.0], [5.0, 3.0]],
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dot", "ring"]


def test_bars_stand_at_their_categories() -> None:
    bars = Bars(name="g", y=np.array([1.0, np.nan, 3.0]), colours=("#111111", "#222222", "#333333"))
    x = Axis(label="init", categories=("he", "xavier", "zero"))
    ax = draw(one_panel(x=x, bars=(bars,))).axes[0]
    assert [round(p.get_x() + p.get_width() / 2, 6) for p in ax.patches] == [0, 2]
    assert [p.get_height() for p in ax.patches] == [1.0, 3.0]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["he", "xavier", "zero"]


HOSTILE = ("$\\frac{$", "_hidden", "a\nb\x00c", "日本" * 50, "%s{}", "<script>", "\ud800")


def test_texts_from_others_are_drawn_as_they_are(tmp_path: Path) -> None:
    panels = tuple(
        Panel(title=text, x=Axis(label=text, categories=(text,)), y=Axis(label=text), bars=(bar,))
        for text in HOSTILE
        for bar in [Bars(name=text, y=np.ones(1), colours=("#0072b2",))]
    )
    figure = draw(Chart(title=HOSTILE[0], panels=panels, columns=3, note=HOSTILE[2]))
    for kind in FORMATS:
        save(figure, tmp_path / f"hostile.{kind}")
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [clean(text) for text in HOSTILE]
    assert "<script>" not in (tmp_path / "hostile.svg").read_text()


def test_clean_replaces_what_cannot_be_printed_and_shortens() -> None:
    assert clean("a\nb") == "a\N{REPLACEMENT CHARACTER}b"
    assert clean("x" * 60 + "y" * 60) == "x" * 35 + "…" + "y" * 24


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_chart_gives_the_same_bytes(
    kind: str, small_study: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for time in ("1", "1000000"):  # what matplotlib would write as the date
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time)
        save(make("gradient_heatmap", small_study, depth=2), tmp_path / f"{time}.{kind}")
    assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"1000000.{kind}").read_bytes()


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter and return the plotting modules that it loaded."""
    report = "; import sys; print(*{'matplotlib', 'matplotlib.pyplot', 'plotly'} & {*sys.modules})"
    command = [sys.executable, "-c", program + report]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_describing_loads_no_plotting_library_and_drawing_no_global_state() -> None:
    assert loaded_by("import fathom.figures") == set()
    assert loaded_by("import fathom.figures.draw") == {"matplotlib"}


@pytest.mark.parametrize("name", FIGURES)
def test_charts_are_valid_json(name: str, large_study: Frames) -> None:
    spec = FIGURES[name]
    options = {} if spec.max_runs is None else {"runs": list(large_study.runs["run_id"][:4])}
    try:
        plain = to_plain(chart(name, large_study, **options))
    except FigureError:
        assert name == "factor_comparison"
        return
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_to_plain_writes_what_json_lacks_as_none_and_leaves_empty_parts_out() -> None:
    plain = to_plain(one_panel(lines=(line([1.23456, np.nan, np.inf]),)))
    (panel,) = plain["panels"]
    assert panel["lines"][0]["y"] == [1.235, None, None]
    assert "heat_map" not in panel
    assert "low" not in panel["lines"][0]


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 29], "linear"), ([1, 30], "log"), ([0, 100], "linear"), ([np.nan, np.inf], "linear")],
)
def test_curve_scale(values: list[float], scale: str) -> None:
    assert curve_scale([np.array(values, float)]) == scale


def test_columns_edges_and_spread() -> None:
    assert [columns_for(n) for n in (1, 4, 9, 100)] == [1, 4, 4, 6]
    np.testing.assert_array_equal(edges(np.array([1.0, 2.0, 3.0])), [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_allclose(spread([0.9, 0.95, 1.0], 0.1), [0.8, 0.9, 1.0])
