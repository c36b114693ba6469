"""How well a network tells classes apart: precision, recall, F1, average precision, confusion.

From the logits of a part of the data and its labels. A sample of *single-label* data has one class,
and the largest logit answers. A sample of *multi-label* data has any number of classes, and each
class whose logit is above 0 (a probability above one half) is answered.

Shapes: N samples, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Average(NamedTuple):
    """Precision, recall and F1 over classes, each in [0, 1]."""

    precision: float
    recall: float
    f1: float


class ClassMetrics(NamedTuple):
    """What one class comes to.

    Attributes:
        name: The class; its number where classes have no names.
        precision: Share of right ones among the samples that were answered with the class; 0 where
            there are none.
        recall: Share of the class's samples that were found; NaN for a class without samples.
        f1: Harmonic mean of the two; NaN for a class without samples.
        average_precision: Area below the steps of the precision-recall curve; NaN likewise.
        support: Samples of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    average_precision: float
    support: int


class Metrics(NamedTuple):
    """What a network comes to on a part of the data.

    Attributes:
        accuracy: Share of samples with the right class; of multi-label data the share of pairs of
            sample and class that are right.
        micro: Over all decisions together; of single-label data all three are the accuracy.
        macro: Mean over the classes that have samples.
        mean_average_precision: Mean over the same.
        classes: Class by class.
    """

    accuracy: float
    micro: Average
    macro: Average
    mean_average_precision: float
    classes: tuple[ClassMetrics, ...]


class Curve(NamedTuple):
    """A precision-recall curve, from the lowest threshold to the highest.

    Attributes:
        name: The class.
        precision: `[T + 1]`; 1 at the end, where nothing is answered.
        recall: `[T + 1]`, falling to 0.
        average_precision: The area below its steps.
    """

    name: str
    precision: Floats
    recall: Floats
    average_precision: float


def measure(
    logits_NK: npt.ArrayLike, targets: npt.ArrayLike, class_names: Sequence[str] = ()
) -> Metrics:
    """Compute all metrics.

    Source: the definitions of `sklearn.metrics.precision_recall_fscore_support` and
    `average_precision_score`.

    Args:
        logits_NK: Finite logits.
        targets: Class labels `[N]`, or 0 and 1 for each class `[N, K]`.
        class_names: K names; numbers when empty.

    Raises:
        ValueError: If shapes do not fit or a logit is not finite.
    """
    from sklearn.metrics import precision_recall_fscore_support

    logits, truth_NK, names = _checked(logits_NK, targets, class_names)
    answer_NK = _answers(logits, multi_label=np.ndim(targets) == 2)
    present = truth_NK.any(0)
    both = truth_NK, answer_NK
    if len(names) == 1:  # one column would be read as the two classes "yes" and "no"
        both = tuple(np.pad(part, ((0, 0), (0, 1))) for part in both)  # type: ignore[assignment]
    counted = precision_recall_fscore_support(*both, average=None, zero_division=0)
    precision, recall, f1, support = (column[: len(names)] for column in counted)
    micro = precision_recall_fscore_support(*both, average="micro", zero_division=0)
    areas = np.array([curve.average_precision for curve in _curves(logits, truth_NK, names)])
    recall, f1 = (np.where(present, column, np.nan) for column in (recall, f1))
    right = answer_NK == truth_NK if np.ndim(targets) == 2 else (answer_NK & truth_NK).any(1)
    return Metrics(
        accuracy=float(right.mean()),
        micro=Average(*map(float, micro[:3])),
        macro=Average(*(float(column[present].mean()) for column in (precision, recall, f1))),
        mean_average_precision=float(areas[present].mean()),
        classes=tuple(
            ClassMetrics(
                name=name,
                precision=float(precision[index]),
                recall=float(recall[index]),
                f1=float(f1[index]),
                average_precision=float(areas[index]),
                support=int(support[index]),
            )
            for index, name in enumerate(names)
        ),
    )


def precision_recall(
    logits_NK: npt.ArrayLike, targets: npt.ArrayLike, class_names: Sequence[str] = ()
) -> list[Curve]:
    """Return each class's precision-recall curve, that class against all others.

    Single-label samples are ranked by the class's probability (softmax), multi-label ones by its
    logit. A class without samples has NaN.

    Args:
        logits_NK: Finite logits.
        targets: Class labels `[N]`, or 0 and 1 for each class `[N, K]`.
        class_names: K names; numbers when empty.

    Raises:
        ValueError: If shapes do not fit or a logit is not finite.
    """
    return _curves(*_checked(logits_NK, targets, class_names))


def confusion(logits_NK: npt.ArrayLike, targets: npt.ArrayLike) -> Labels:
    """Count answers: `[i, j]` is the number of samples of class i that were answered with j.

    For single-label data.

    Raises:
        ValueError: If the data are multi-label, shapes do not fit or a logit is not finite.
    """
    from sklearn.metrics import confusion_matrix

    if np.ndim(targets) != 1:
        raise ValueError("a confusion matrix needs one class for each sample; these have several")
    logits, truth_NK, _ = _checked(logits_NK, targets, ())
    num_classes = logits.shape[1]
    found: Labels = confusion_matrix(
        truth_NK.argmax(1), logits.argmax(1), labels=np.arange(num_classes)
    )
    return found


def _checked(
    logits_NK: npt.ArrayLike, targets: npt.ArrayLike, class_names: Sequence[str]
) -> tuple[Floats, npt.NDArray[np.bool_], list[str]]:
    """Return what ranks samples for each class, whose samples they are, and names.

    Raises:
        ValueError: If shapes do not fit or a logit is not finite.
    """
    logits = np.asarray(logits_NK, dtype=np.float64)
    labels = np.asarray(targets)
    if logits.ndim != 2 or len(labels) != len(logits) or not len(logits):
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not fit")
    if not np.isfinite(logits).all():
        raise ValueError("a logit is not finite: the network diverged")
    num_classes = logits.shape[1]
    if labels.ndim == 2:
        if labels.shape != logits.shape:
            raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not fit")
        return logits, labels > 0.5, _names(class_names, num_classes)
    shifted = logits - logits.max(1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return log_shares, labels[:, None] == np.arange(num_classes), _names(class_names, num_classes)


def _names(class_names: Sequence[str], num_classes: int) -> list[str]:
    """Name the classes.

    Raises:
        ValueError: If there are more or fewer names than classes.
    """
    names = [*class_names] or [str(number) for number in range(num_classes)]
    if len(names) != num_classes:
        raise ValueError(f"{len(names)} names for {num_classes} classes")
    return names


def _answers(scores_NK: Floats, *, multi_label: bool) -> npt.NDArray[np.bool_]:
    largest_N1 = scores_NK.argmax(1)[:, None]
    answers: npt.NDArray[np.bool_]
    answers = scores_NK > 0 if multi_label else largest_N1 == np.arange(scores_NK.shape[1])
    return answers


def _curves(
    scores_NK: Floats, truth_NK: npt.NDArray[np.bool_], names: Sequence[str]
) -> list[Curve]:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    found = []
    for index, name in enumerate(names):
        truth, scores = truth_NK[:, index], scores_NK[:, index]
        if not truth.any():
            found.append(Curve(name, np.full(2, np.nan), np.full(2, np.nan), float("nan")))
            continue
        precision, recall, _ = precision_recall_curve(truth, scores)
        area = float(average_precision_score(truth, scores))
        found.append(Curve(name, precision, recall, area))
    return found
