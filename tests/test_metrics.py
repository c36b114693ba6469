"""Metrics against counts by hand."""

import math

import numpy as np
import pytest

from fathom.metrics import confusion, measure, precision_recall

# Four samples of classes 0, 0, 1, 2; the answers are 0, 1, 1, 1.
LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 3.0, 1.0], [0.0, 1.0, 0.9]])
CLASSES = np.array([0, 0, 1, 2])


def test_single_label_metrics_are_the_counts() -> None:
    found = measure(LOGITS, CLASSES, ("a", "b", "c"))
    assert found.accuracy == 2 / 4
    assert found.micro == pytest.approx((0.5, 0.5, 0.5))
    a, b, c = found.classes
    assert (a.name, a.precision, a.recall, a.support) == ("a", 1.0, 0.5, 2)
    assert (b.precision, b.recall, b.support) == (pytest.approx(1 / 3), 1.0, 1)
    assert (c.precision, c.recall, c.f1, c.support) == (0.0, 0.0, 0.0, 1)
    assert a.f1 == pytest.approx(2 / 3)
    assert b.f1 == pytest.approx(1 / 2)
    assert found.macro == pytest.approx(((1 + 1 / 3) / 3, 0.5, (2 / 3 + 1 / 2) / 3))
    np.testing.assert_array_equal(confusion(LOGITS, CLASSES), [[1, 1, 0], [0, 1, 0], [0, 1, 0]])


def test_multi_label_metrics_are_the_counts() -> None:
    logits = np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    found = measure(logits, labels)
    # Of 4 decisions for class 0 two are right; of class 1 all are.
    assert found.accuracy == 6 / 8
    assert [c.name for c in found.classes] == ["0", "1"]
    assert found.classes[0][1:4] == (0.5, 0.5, 0.5)
    assert found.classes[1][1:5] == (1.0, 1.0, 1.0, 1.0)
    # 3 of 4 answers are right, and 3 of 4 labels are found.
    assert found.micro == pytest.approx((0.75, 0.75, 0.75))


def test_one_class_alone_may_be_asked_for() -> None:
    found = measure([[1.0], [1.0], [-1.0]], [[1], [0], [1]], ("person",))
    assert found.accuracy == pytest.approx(1 / 3)
    (person,) = found.classes
    assert (person.name, person.precision, person.recall, person.support) == ("person", 0.5, 0.5, 2)
    assert found.micro == found.macro == pytest.approx((0.5, 0.5, 0.5))


def test_average_precision_is_the_mean_of_precisions_where_a_sample_is_found() -> None:
    """Ranks of the samples of class 1 are 1, 3 and 4: precisions 1/1, 2/3 and 3/4."""
    logits = np.array([[0.0, score] for score in (5.0, 4.0, 3.0, 2.0, 1.0)])
    labels = np.array([[0, 1], [1, 0], [0, 1], [0, 1], [1, 0]])
    curve = precision_recall(logits, labels)[1]
    assert curve.average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert (curve.precision[-1], curve.recall[-1]) == (1.0, 0.0)
    assert measure(logits, labels).classes[1].average_precision == curve.average_precision


def test_samples_are_ranked_by_probability_and_not_by_logit() -> None:
    """The logits of class 0 rank the other way than its probabilities do."""
    logits = np.array([[1.0, 0.0], [5.0, 9.0]])
    assert precision_recall(logits, np.array([0, 1]))[0].average_precision == 1.0


def test_a_class_without_samples_is_left_out_of_means() -> None:
    found = measure(LOGITS[:3], CLASSES[:3])
    assert math.isnan(found.classes[2].recall)
    assert math.isnan(found.classes[2].average_precision)
    assert found.macro.recall == pytest.approx((0.5 + 1.0) / 2)
    assert math.isfinite(found.mean_average_precision)


@pytest.mark.parametrize(
    ("logits", "targets", "names", "message"),
    [
        (LOGITS, CLASSES[:2], (), "do not fit"),
        (LOGITS, np.zeros((4, 2)), (), "do not fit"),
        (np.full((4, 3), math.inf), CLASSES, (), "not finite"),
        (LOGITS, CLASSES, ("a",), "1 names for 3 classes"),
    ],
)
def test_what_does_not_fit_is_refused(
    logits: np.ndarray, targets: np.ndarray, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(logits, targets, names)


def test_several_classes_have_no_confusion_matrix() -> None:
    with pytest.raises(ValueError, match="several"):
        confusion(LOGITS, np.zeros((4, 3)))
