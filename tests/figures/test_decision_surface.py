"""Decision surfaces: the boundary against closed forms, colours, points, which runs are shown."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from matplotlib.colors import to_hex

from fathom.figures import FigureError, Frames, decision_surface, make
from fathom.figures.cases import Accuracies, case_labels, one_of_each_case, with_text
from fathom.figures.draw import draw
from fathom.figures.paint import HATCHED, colour_map, colour_norm
from fathom.figures.plane import (
    MAX_POINTS,
    boundary,
    class_colour,
    class_points,
    colour_values,
    panel,
    scale_colours,
)
from fathom.surfaces import Surface, log_odds, pack, unpack
from made_frames import study

ACROSS, UP = np.linspace(-2.0, 2.0, 32), np.linspace(-1.0, 1.5, 32)
X1, X2 = np.meshgrid(ACROSS, UP)
CELL = ACROSS[1] - ACROSS[0], UP[1] - UP[0]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def two_classes(difference: np.ndarray) -> np.ndarray:
    """Logits of two classes from their difference."""
    return np.stack([np.zeros_like(difference), difference], -1)


def surface(*logits: np.ndarray, run_id: str = "a", **changes: Any) -> Surface:
    given: dict[str, Any] = {
        "run_id": run_id,
        "epochs": np.arange(len(logits)),
        "across": ACROSS,
        "up": UP,
        "log_odds": log_odds(np.stack(logits)),
        "points": np.array([[-1.0, 0.0], [1.0, 0.5], [1.5, 0.5]]),
        "labels": np.array([0, 1, 1]),
    }
    return Surface(**(given | changes))


LINES = {
    "slanted": (3.0, -2.0, 0.5),
    "sure of itself": (40.0, -25.0, 3.0),  # shares are 0 or 1 at all points of the grid but a few
    "across": (0.0, 2.0, -1.0),
    "upright": (5.0, 0.0, -1.25),
    "steep": (300.0, -90.0, -120.0),
    "steeper": (1000.0, 300.0, 400.0),
    "steepest": (1e30, 1e30, 1e29),
}


def drawn_boundary(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take a network's answers through a file to the line that is drawn."""
    found = unpack(pack({"a": surface(logits)}))["a"]
    (line,) = panel(found, -1, "").lines
    return line.x, line.y


@pytest.mark.parametrize("name", LINES)
def test_the_boundary_of_an_affine_network_is_its_line(name: str) -> None:
    a, b, c = LINES[name]
    x, y = drawn_boundary(two_classes(a * X1 + b * X2 + c))
    assert np.isfinite(x).all()  # one piece
    distance = np.abs(a * x + b * y + c) / np.hypot(a, b)
    # A difference at a point of the grid within a cell of the line is off by float32's rounding.
    assert distance.max() < np.finfo(np.float32).eps * np.hypot(*CELL)
    # It goes from border to border: as long as the line within the grid.
    t = np.linspace(-10, 10, 400_001)[:, None]
    line = -c / (a * a + b * b) * np.array([a, b]) + t * np.array([-b, a]) / np.hypot(a, b)
    within = (np.abs(line[:, 0]) <= 2) & (line[:, 1] >= -1) & (line[:, 1] <= 1.5)
    expected = within.sum() * 20 / 400_000
    assert np.hypot(np.diff(x), np.diff(y)).sum() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("slope", [3.0, 30.0, 300.0, 1000.0, 3000.0])
def test_the_boundary_of_a_float32_network_is_its_line(slope: float) -> None:
    """Each logit is rounded by itself, at a size that it has far away from the line."""
    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.weight[:] = slope * torch.tensor([[-0.5, 0.15], [0.5, -0.15]])
        network.bias[:] = slope * torch.tensor([0.2, -0.2])
        logits = network(torch.tensor(np.stack([X1, X2], -1)).float()).numpy()
    x, y = drawn_boundary(logits)
    assert np.isfinite(x).all()
    # Inputs up to 2 and three terms: a few roundings of numbers no larger than the slope.
    np.testing.assert_allclose(x - 0.3 * y, 0.4, rtol=0, atol=8 * 2 * np.finfo(np.float32).eps)
    assert np.ptp(y) == pytest.approx(2.5)  # from the lower border to the upper one


def test_a_round_boundary_is_found_in_one_piece_and_two_in_two() -> None:
    radius_squared = X1**2 + (X2 - 0.25) ** 2
    x, y = boundary(ACROSS, UP, two_classes(radius_squared - 0.64))
    assert np.isfinite(x).all()
    # Linear between points at most h apart, where the radius squared bends by 2: off by h^2 / 4.
    off = max(np.diff(ACROSS)[0], np.diff(UP)[0]) ** 2 / 4 / (2 * 0.8)
    np.testing.assert_allclose(np.hypot(x, y - 0.25), 0.8, atol=1.1 * off)
    x, _ = boundary(ACROSS, UP, two_classes((X1 - 1) * (X1 + 1)))
    pieces = np.split(x, np.flatnonzero(np.isnan(x)))
    assert sorted(np.sign(np.nanmean(piece)) for piece in pieces) == [-1, 1]


def test_of_three_classes_each_border_is_where_the_two_most_likely_are_equal() -> None:
    """Logits of three directions 120 degrees apart: borders are rays from the origin."""
    angles = np.pi / 2 + 2 * np.pi / 3 * np.arange(3)

    def logits(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 4 * (x[..., None] * np.cos(angles) + y[..., None] * np.sin(angles))

    x, y = drawn_boundary(logits(X1, X2))
    known = np.isfinite(x) & (np.hypot(x, y) > 0.2)  # beside the point where three meet
    x, y = x[known], y[known]
    second, first = np.sort(logits(x, y), -1)[:, 1:].T
    np.testing.assert_allclose(first, second, atol=1e-6)
    reached = {tuple(np.sort(np.argsort(row)[1:])) for row in logits(x, y)}
    assert reached == {(0, 1), (0, 2), (1, 2)}


def test_nothing_is_drawn_where_one_class_wins_or_there_is_no_number() -> None:
    x, y = boundary(ACROSS, UP, two_classes(np.full_like(X1, 0.3)))
    assert x.shape == y.shape == (0,)
    logits = two_classes(X1)
    logits[X2 > 0] = np.nan
    x, y = boundary(ACROSS, UP, logits)
    np.testing.assert_allclose(x, 0, atol=1e-7)
    assert y.max() <= 0
    x, _ = boundary(ACROSS, UP, np.full_like(logits, np.nan))
    assert x.size == 0


def test_colours_stand_for_the_share_of_two_classes_and_the_winner_of_more() -> None:
    shares = softmax(two_classes(X1))
    np.testing.assert_array_equal(colour_values(shares), shares[..., 1])
    certain, even, nan = np.eye(4)[2], np.full(4, 1 / 4), np.full(4, np.nan)
    half = np.array([0.1, 0.625, 0.125, 0.15])  # 5/8 is half-way between 1/4 and 1
    values = colour_values(np.stack([certain, even, half, nan]))
    # Within its class's part of the scale, but for a fiftieth on either side.
    np.testing.assert_allclose(values, [2 + 49 / 50, 1 / 50, 1 + 1 / 2, np.nan])


def shown(description: Any) -> Callable[[float], str]:
    colours, norm = colour_map(description), colour_norm(description)
    assert not isinstance(colours, str)
    return lambda value: to_hex(colours(norm(value)))


def test_both_ends_of_the_scale_are_the_classes_colours() -> None:
    two = panel(surface(two_classes(X1)), 0, "").heat_map
    assert two is not None
    assert (two.low, two.high) == (0, 1)
    colour = shown(two)
    assert (colour(0.0), colour(1.0)) == (class_colour(0), class_colour(1))
    pale = [int(colour(0.5)[i : i + 2], 16) for i in (1, 3, 5)]
    assert min(pale) > 240  # neither class

    three = panel(surface(np.stack([X1, X2, 0 * X1], -1)), 0, "").heat_map
    assert three is not None
    assert [name for _, name in three.ticks] == ["0", "1", "2"]
    sure = [shown(three)(label + 49 / 50) for label in range(3)]
    unsure = [shown(three)(label + 1 / 50) for label in range(3)]
    for label in range(3):
        wanted = np.array([int(class_colour(label)[i : i + 2], 16) for i in (1, 3, 5)])
        found = np.array([int(sure[label][i : i + 2], 16) for i in (1, 3, 5)])
        assert np.abs(found - wanted).max() <= 6
        assert min(int(unsure[label][i : i + 2], 16) for i in (1, 3, 5)) > 235


def test_one_class_has_no_scale() -> None:
    with pytest.raises(ValueError, match="1 classes have no boundary"):
        scale_colours(1)


def test_points_have_the_colour_and_the_shape_of_their_class() -> None:
    first, second = class_points(surface(two_classes(X1)))
    assert (first.x.tolist(), first.y.tolist()) == ([-1.0], [0.0])
    assert (second.x.tolist(), second.y.tolist()) == ([1.0, 1.5], [0.5, 0.5])
    assert first.marker != second.marker
    assert first.colour != second.colour
    many = surface(
        two_classes(X1), points=np.zeros((MAX_POINTS + 1, 2)), labels=np.zeros(MAX_POINTS + 1, int)
    )
    assert sum(len(points.x) for points in class_points(many)) == MAX_POINTS


def drawn_axes(found: Surface) -> Any:
    case = decision_surface.CaseSurface("relu", found, Accuracies(0.5, 0.25))
    figure = draw(decision_surface.chart(decision_surface.DecisionSurfaces((case,), "")))
    figure.canvas.draw()
    return figure


def test_features_are_drawn_as_they_are_named() -> None:
    """A share that depends on the first feature only changes across, not up."""
    ax = drawn_axes(surface(two_classes(5 * X1))).axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x1", "x2")
    (image,) = ax.images
    z = image.get_array()
    np.testing.assert_array_equal(z, np.broadcast_to(z[:1], z.shape))
    assert (np.diff(z[0]) >= 0).all()
    step = ACROSS[1] - ACROSS[0]
    left, right, bottom, top = image.get_extent()
    assert image.origin == "lower"
    assert (left, right) == pytest.approx((-2 - step / 2, 2 + step / 2))
    assert bottom < -1 < 1.5 < top


def test_a_unit_is_as_long_across_as_up_whatever_the_shape_of_the_plane() -> None:
    for stretch in (1, 20):
        tall = surface(two_classes(5 * X1), up=stretch * UP)
        ax = drawn_axes(tall).axes[0]
        right, above = np.diff(ax.transData.transform([(0, 0), (1, 1)]), axis=0)[0]
        assert right == pytest.approx(above)


def test_what_has_no_number_is_hatched_and_said_so() -> None:
    logits = two_classes(X1)
    logits[X2 > 0.5] = np.nan
    spoiled, whole = drawn_axes(surface(logits)), drawn_axes(surface(two_classes(X1)))
    for figure, expected in ((spoiled, True), (whole, False)):
        (legend,) = figure.legends
        names = [text.get_text() for text in legend.get_texts()]
        assert ("no number" in names) == expected
        assert "boundary: share 0.5" in names
        assert (figure.axes[0].patch.get_hatch() == HATCHED["hatch"]) == expected


@pytest.fixture(scope="module")
def cases() -> Frames:
    """Two activations at two rates that follow from them, three replicates."""
    made = study(
        activations=("relu", "tanh"), inits=("he",), depths=(2,), seeds=(4, 5, 6), epochs=4
    )
    rate = pl.when(pl.col("activation") == "tanh").then(0.1).otherwise(0.01)
    made = dataclasses.replace(
        made, runs=made.runs.with_columns(lr=rate), settings=(*made.settings, "lr")
    )
    found = {
        run_id: surface(
            two_classes(X1), two_classes(X1 - place), run_id=run_id, epochs=np.array([0, 4])
        )
        for place, run_id in enumerate(made.runs["run_id"])
    }
    return dataclasses.replace(made, surfaces=lambda ids: {key: found[key] for key in ids})


def test_one_replicate_of_each_case_is_shown_with_its_accuracy(cases: Frames) -> None:
    found = decision_surface.numbers(cases)
    assert [case.label for case in found.cases] == ["relu", "tanh"]  # the rate follows
    first = cases.runs.filter(seed=4)
    assert [case.surface.run_id for case in found.cases] == first["run_id"].to_list()
    last = cases.epochs.filter(epoch=4)
    for case in found.cases:
        (row,) = last.filter(run_id=case.surface.run_id).iter_rows(named=True)
        assert case.accuracies == (row["validation_accuracy"], row["test_accuracy"])
    chart = decision_surface.chart(found)
    assert chart.title == "Decision surfaces at the last epoch, seed 4"
    for one, case in zip(chart.panels, found.cases, strict=True):
        numbers = " / ".join(f"{value:.3f}" for value in case.accuracies)
        assert one.title == f"{case.label}: {numbers}"
        # The last surface: its boundary is where the first feature is the run's place.
        place = cases.runs["run_id"].to_list().index(case.surface.run_id)
        np.testing.assert_allclose(one.lines[0].x, place, atol=1e-6)


def test_another_replicate_can_be_chosen(cases: Frames) -> None:
    found = decision_surface.numbers(cases, replicate=6)
    third = cases.runs.filter(seed=6)["run_id"].to_list()
    assert [case.surface.run_id for case in found.cases] == third
    assert found.replicate == "seed 6"
    with pytest.raises(FigureError, match="no run with replicate 9; there are: 4, 5, 6"):
        decision_surface.numbers(cases, replicate=9)


def test_without_replicates_no_seed_is_named(cases: Frames) -> None:
    alone = dataclasses.replace(cases, runs=cases.runs.filter(seed=5))
    assert decision_surface.numbers(alone).replicate == ""


def test_cases_are_found_by_a_text_in_their_settings_or_name(cases: Frames) -> None:
    chosen = one_of_each_case(cases)
    labels = case_labels(chosen)
    assert with_text(chosen, labels, "TAN").runs["activation"].to_list() == ["tanh"]
    assert with_text(chosen, labels, "-he-d2").runs.height == 2
    with pytest.raises(FigureError, match=r"no case contains 'tanj'. Did you mean 'tanh'\?"):
        with_text(chosen, labels, "tanj")


def test_settings_are_told_until_all_cases_differ(cases: Frames) -> None:
    doubled = cases.runs.with_columns(lr=pl.col("seed") / 10).filter(pl.col("seed") < 6)
    both = dataclasses.replace(cases, runs=doubled)
    assert list(case_labels(both).values()) == [
        *("relu, lr 0.4", "relu, lr 0.5", "tanh, lr 0.4", "tanh, lr 0.5")
    ]


def test_a_part_that_does_not_exist_is_not_told() -> None:
    assert Accuracies(0.5, 0.25).text == "validation 0.500, test 0.250"
    assert Accuracies(float("nan"), 1.0).text == "test 1.000"
    assert Accuracies(float("nan"), float("nan")).text == "no accuracy"


def test_names_of_others_are_text(cases: Frames) -> None:
    hostile = cases.runs.with_columns(activation=pl.lit(r"$\frac{$") + pl.col("activation"))
    figure = make("decision_surface", dataclasses.replace(cases, runs=hostile))
    figure.canvas.draw()
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert [title.partition(":")[0] for title in titles] == [r"$\frac{$relu", r"$\frac{$tanh"]


def test_a_study_without_surfaces_is_told_how_to_get_them(cases: Frames) -> None:
    bare = dataclasses.replace(cases, surfaces=lambda _: {})
    with pytest.raises(FigureError, match=r"record\.surfaces, such as 25"):
        decision_surface.numbers(bare)


def test_too_many_cases_are_refused() -> None:
    many = study(activations=[f"a{i}" for i in range(41)], inits=("he",), depths=(2,), epochs=1)
    with pytest.raises(FigureError, match="41 cases are too many for one figure"):
        decision_surface.numbers(many)
