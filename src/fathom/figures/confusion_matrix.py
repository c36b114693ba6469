"""Which class the best network takes for which on the test part, one matrix for each run."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, HeatMap, Panel, columns_for
from fathom.figures.class_scores import ClassScores, recorded_scores
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.metrics import confusion as count_answers

_MOST_NAMES = 20  # beyond this the axes have some numbers
_STEPS = (2, 5, 10, 20, 50, 100, 200, 500)  # between these


class Confusion(NamedTuple):
    """One run.

    Attributes:
        label: What sets the run apart.
        class_names: K names.
        shares: `[K, K]`, see `shares`.
    """

    label: str
    class_names: tuple[str, ...]
    shares: Floats


class Confusions(NamedTuple):
    """What the figure shows: a matrix for each run."""

    runs: tuple[Confusion, ...]


def numbers(frames: Frames) -> Confusions:
    """Count answers.

    Raises:
        FigureError: If no run has scores, there are more than 12 runs, or samples have several
            labels.
    """
    labels = run_labels(frames)
    found = recorded_scores(frames)
    return Confusions(
        tuple(
            Confusion(labels[run_id], answers.class_names, shares(answers))
            for run_id, answers in found.items()
        )
    )


def shares(answers: ClassScores) -> Floats:
    """Return `[K, K]`: the share of class i's samples that were answered with j.

    NaN for a class without samples.

    Raises:
        FigureError: If samples have several labels.
    """
    if answers.targets.ndim == 2:
        raise FigureError("samples with several labels have no confusion matrix; see pr_curves")
    counts = count_answers(answers.logits, answers.targets).astype(np.float64)
    totals = counts.sum(1, keepdims=True)
    unknown = np.full_like(counts, np.nan)
    found: Floats = np.divide(counts, totals, out=unknown, where=totals > 0)
    return found


def chart(numbers: Confusions) -> Chart:
    """Draw one panel for each run."""
    return Chart(
        title="Confusion matrix of the test part",
        panels=tuple(_panel(confusion) for confusion in numbers.runs),
        columns=columns_for(len(numbers.runs), most=3),
        note="Each row is a class, and its shares add up to 1.",
    )


def _panel(confusion: Confusion) -> Panel:
    places = np.arange(len(confusion.class_names), dtype=np.float64)
    names = _shown_names(confusion.class_names)
    return Panel(
        title=confusion.label,
        x=Axis(label="answered class", categories=names),
        y=Axis(label="true class", categories=names),
        heat_map=HeatMap(
            x=places,
            y=places,
            z=confusion.shares,
            label="share of the class",
            scale="linear",
            low=0.0,
            high=1.0,
        ),
    )


def _shown_names(names: Sequence[str]) -> tuple[str, ...]:
    """Name all classes, or some by their number where there are too many to read."""
    count = len(names)
    if count <= _MOST_NAMES:
        return tuple(names)
    step = next((step for step in _STEPS if count <= 10 * step), _STEPS[-1])
    return tuple("" if index % step else str(index) for index in range(count))
