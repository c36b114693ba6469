"""Scores of single classes as tables and figures, against counts by hand."""

import math

import numpy as np
import polars as pl
import pytest

from fathom.figures import FigureError, Frames, confusion_matrix, draw, pr_curves
from fathom.figures.class_scores import class_scores
from fathom.figures.metric_tables import class_table, metric_table
from made_frames import small

NAMES = ("coat", "boot", "bag")
# Five samples of classes 0, 0, 0, 1, 1; the answers are 0, 0, 1, 1, 2. Nothing is of class 2.
ANSWERS, CLASSES = (0, 0, 1, 1, 2), (0, 0, 0, 1, 1)


def rows(
    run_id: str, logits: np.ndarray, labels: np.ndarray, *, several: bool = False
) -> pl.DataFrame:
    """Write scores, the last sample first."""
    num, num_classes = logits.shape
    table = pl.DataFrame({
        "run_id": [run_id] * logits.size,
        "sample": np.repeat(np.arange(num), num_classes),
        "class": np.tile(np.arange(num_classes), num),
        "class_name": list(NAMES[:num_classes]) * num,
        "label": labels.ravel().astype(np.int64),
        "multi_label": np.full(logits.size, int(several)),
        "logit": logits.ravel().astype(np.float64),
    })
    return table.reverse()


def frames(*tables: pl.DataFrame) -> Frames:
    """Make two runs, `a` and `b`, with these scores."""
    runs = pl.DataFrame({
        "run_id": ["a", "b"],
        "name": ["first", "second"],
        "activation": ["relu", "tanh"],
        "init": ["he", "he"],
        "depth": [0, 0],
    })
    empty = small()
    return Frames(
        runs=runs,
        epochs=empty.epochs.clear(),
        layers=empty.layers.clear(),
        settings=("activation",),
        scores=pl.concat(tables),
    )


ONE_LABEL = rows("a", 5.0 * np.eye(3)[list(ANSWERS)], np.eye(3)[list(CLASSES)])
SEVERAL_LABELS = rows(
    "b", np.array([[1.0, -1, 2], [-1, 1, 1]]), np.array([[1, 0, 1], [0, 1, 0]]), several=True
)


def test_scores_are_arranged_whatever_the_order_of_their_rows() -> None:
    found = class_scores(frames(ONE_LABEL).runs, ONE_LABEL)
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"].logits.argmax(1), ANSWERS)
    np.testing.assert_array_equal(found["a"].targets, CLASSES)
    assert found["a"].class_names == NAMES
    several = class_scores(frames(SEVERAL_LABELS).runs, SEVERAL_LABELS)
    np.testing.assert_array_equal(several["b"].targets, [[1, 0, 1], [0, 1, 0]])


def test_a_run_that_diverged_has_no_metrics() -> None:
    broken = SEVERAL_LABELS.with_columns(logit=pl.lit(math.nan))
    made = frames(ONE_LABEL, broken)
    assert metric_table(made.runs, made.scores)["name"].to_list() == ["first"]
    assert class_table(made.runs, made.scores)["class_name"].to_list() == list(NAMES)


def test_tables_have_a_row_for_each_run_and_for_each_class() -> None:
    made = frames(SEVERAL_LABELS, ONE_LABEL)
    table = metric_table(made.runs, made.scores)
    assert table["name"].to_list() == ["first", "second"]  # the runs' order, not the scores'
    # Three of five answers are right; five of six decisions.
    assert table["accuracy"].to_list() == [3 / 5, 5 / 6]
    # Precision of coat 2/2 and boot 1/2, recall 2/3 and 1/2; bag has no samples.
    first = table.row(0, named=True)
    assert first["precision_macro"] == pytest.approx((1 + 1 / 2) / 2)
    assert first["recall_macro"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    classes = class_table(made.runs, made.scores).filter(name="first")
    assert classes["class_name"].to_list() == list(NAMES)
    assert classes["support"].to_list() == [3, 2, 0]
    assert classes["precision"].to_list() == [1.0, 0.5, 0.0]
    assert math.isnan(classes["recall"][2])


def test_a_confusion_matrix_has_shares_of_each_true_class() -> None:
    found = confusion_matrix.numbers(frames(ONE_LABEL))
    ((label, names, matrix),) = found.runs
    assert (label, names) == ("relu", NAMES)
    nan = math.nan
    expected = [[2 / 3, 1 / 3, 0], [0, 1 / 2, 1 / 2], [nan, nan, nan]]
    np.testing.assert_allclose(matrix, expected)


def test_the_first_class_is_the_top_row_and_both_axes_have_names() -> None:
    drawn = draw.draw(confusion_matrix.chart(confusion_matrix.numbers(frames(ONE_LABEL))))
    ax = drawn.axes[0]
    low, high = ax.get_ylim()
    assert low > high  # positions grow downwards
    for axis in (ax.xaxis, ax.yaxis):
        assert [text.get_text() for text in axis.get_ticklabels()] == list(NAMES)
    # Row 0, column 1 of the matrix is a third, and is painted where row 0 and column 1 are.
    (image,) = ax.get_images()
    left, right, bottom, top = image.get_extent()
    assert image.origin == "lower"
    assert (left, right, bottom, top) == (-0.5, 2.5, -0.5, 2.5)
    assert image.get_array()[0, 1] == pytest.approx(1 / 3)


def _one_matrix(matrix: np.ndarray, names: tuple[str, ...]) -> confusion_matrix.Confusions:
    return confusion_matrix.Confusions((confusion_matrix.Confusion("run", names, matrix),))


def test_each_panel_has_the_classes_of_its_own_data() -> None:
    two = rows("b", np.eye(2), np.eye(2))
    drawn = confusion_matrix.chart(confusion_matrix.numbers(frames(ONE_LABEL, two)))
    assert [panel.x.categories for panel in drawn.panels] == [NAMES, NAMES[:2]]
    assert [panel.y.categories for panel in drawn.panels] == [NAMES, NAMES[:2]]


def test_several_labels_are_a_property_of_the_data_and_not_of_a_sample() -> None:
    """Every sample has one label by chance; still each class whose logit is above 0 is answered."""
    logits, labels = np.array([[1.0, 2, -1], [-1, -1, -2]]), np.array([[1, 0, 0], [0, 1, 0]])
    table = rows("b", logits, labels, several=True)
    (accuracy,) = metric_table(frames(table).runs, table)["accuracy"]
    assert accuracy == pytest.approx(4 / 6)


def test_many_classes_get_a_few_numbers() -> None:
    names = tuple(f"class {index}" for index in range(60))
    chart = confusion_matrix.chart(_one_matrix(np.eye(60), names))
    shown = chart.panels[0].y.categories
    assert len(shown) == 60
    assert [name for name in shown if name] == ["0", "10", "20", "30", "40", "50"]
    drawn = draw.draw(chart)
    assert list(drawn.axes[0].get_yticks()) == [0, 10, 20, 30, 40, 50]


def test_several_labels_have_curves_and_no_matrix() -> None:
    made = frames(SEVERAL_LABELS)
    with pytest.raises(FigureError, match="several labels have no confusion matrix"):
        confusion_matrix.numbers(made)
    ((label, curves),) = pr_curves.numbers(made).runs
    assert label == "tanh"
    assert [curve.name for curve in curves] == list(NAMES)
    assert [curve.average_precision for curve in curves] == [1.0, 1.0, 1.0]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_area() -> None:
    """A tenth of 4,000 samples are of class 0; most thresholds lie where recall is nearly 1."""
    rng = np.random.default_rng(3)
    labels = np.zeros((4000, 3))
    labels[:, 0] = rng.random(4000) < 0.1
    labels[:, 1] = 1 - labels[:, 0]
    logits = np.stack(
        [2 * labels[:, 0] + rng.normal(size=4000), np.zeros(4000), -9 * np.ones(4000)], 1
    )
    ((_, curves),) = pr_curves.numbers(frames(rows("a", logits, labels))).runs
    curve = curves[0]
    assert len(curve.recall) <= 122
    assert (curve.recall[0], curve.recall[-1]) == (0.0, 1.0)
    assert curve.precision[0] == 1.0
    assert (np.diff(curve.recall) >= 0).all()
    area = np.sum(np.diff(curve.recall) * (curve.precision[1:] + curve.precision[:-1]) / 2)
    assert area == pytest.approx(curve.average_precision, abs=0.01)
    assert math.isnan(curves[2].average_precision)


def test_a_study_without_scores_is_told_how_to_get_them() -> None:
    bare = frames(ONE_LABEL.clear())
    for figure in (pr_curves, confusion_matrix):
        with pytest.raises(FigureError, match=r"record\.scores: true"):
            figure.numbers(bare)
