"""Which class the best network takes for which on the test part, one matrix for each run."""

from typing import NamedTuple

import numpy as np

from fathom.figures.charts import Axis, Chart, Floats, HeatMap, Panel, columns_for
from fathom.figures.class_scores import class_scores, recorded_runs
from fathom.figures.frames import FigureError, Frames, run_labels
from fathom.metrics import confusion

_MOST_NAMES = 20  # beyond this the axes have numbers


class Confusions(NamedTuple):
    """What the figure shows.

    Attributes:
        runs: For each run its label and `[K, K]`: the share of class i's samples that were
            answered with j; NaN for a class without samples.
        class_names: K names.
    """

    runs: tuple[tuple[str, Floats], ...]
    class_names: tuple[str, ...]


def numbers(frames: Frames) -> Confusions:
    """Count answers.

    Raises:
        FigureError: If no run has scores, there are more than 12 runs, or samples have several
            labels.
    """
    labels = run_labels(frames)
    found: list[tuple[str, Floats]] = []
    names: tuple[str, ...] = ()
    for run_id in recorded_runs(frames):
        answers = class_scores(frames.scores, run_id)
        if answers.targets.ndim == 2:
            raise FigureError("samples with several labels have no confusion matrix; see pr_curves")
        counts = confusion(answers.logits, answers.targets).astype(np.float64)
        totals = counts.sum(1, keepdims=True)
        shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
        found.append((labels[run_id], shares))
        names = answers.class_names
    return Confusions(tuple(found), names)


def chart(numbers: Confusions) -> Chart:
    """Draw one panel for each run."""
    places = np.arange(len(numbers.class_names), dtype=np.float64)
    names = numbers.class_names if len(numbers.class_names) <= _MOST_NAMES else ()
    panels = tuple(
        Panel(
            title=label,
            x=Axis(label="answered", categories=names),
            y=Axis(label="class", categories=names),
            heat_map=HeatMap(
                x=places,
                y=places,
                z=shares,
                label="share of the class",
                scale="linear",
                low=0.0,
                high=1.0,
            ),
        )
        for label, shares in numbers.runs
    )
    return Chart(
        title="Confusion matrix of the test part",
        panels=panels,
        columns=columns_for(len(panels), most=3),
        note="Each row is a class, and its shares add up to 1.",
    )
