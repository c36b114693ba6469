"""Which class the trained network of each case answers over the plane, one panel for each."""

from typing import Final, NamedTuple

from fathom.figures.cases import (
    Accuracies,
    accuracies,
    case_labels,
    one_of_each_case,
    replicate_note,
)
from fathom.figures.charts import Chart, columns_for, shortened
from fathom.figures.frames import FigureError, Frames
from fathom.figures.plane import MAX_POINTS, panel
from fathom.surfaces import Surface

MAX_RUNS: Final = 40
NO_SURFACES: Final = (
    "no run has decision surfaces; set record.surfaces, such as 25, in a study of data with two "
    "features"
)

_LONGEST_LABEL: Final = 18  # characters beside the accuracies


class CaseSurface(NamedTuple):
    """One case.

    Attributes:
        label: What sets it apart.
        surface: What the network of one replicate answered.
        accuracies: Of that network at the last epoch.
    """

    label: str
    surface: Surface
    accuracies: Accuracies


class DecisionSurfaces(NamedTuple):
    """What the figure shows.

    Attributes:
        cases: One for each setting.
        replicate: Which replicate is shown; empty if there is one only.
    """

    cases: tuple[CaseSurface, ...]
    replicate: str


def numbers(frames: Frames, *, replicate: int | None = None) -> DecisionSurfaces:
    """Take the last surface of one replicate of each case.

    Args:
        frames: The study.
        replicate: Its seed; the first of each case when omitted.

    Raises:
        FigureError: If no surfaces were recorded, no run has that seed, or there are more than 40
            cases.
    """
    chosen = one_of_each_case(frames, replicate)
    if chosen.runs.height > MAX_RUNS:
        raise FigureError(
            f"{chosen.runs.height} cases are too many for one figure; choose at most {MAX_RUNS} "
            "with runs=[...], activation=..., init=... or another setting"
        )
    ids = chosen.runs["run_id"].to_list()
    surfaces = chosen.surfaces(ids)
    if not surfaces:
        raise FigureError(NO_SURFACES)
    labels = case_labels(chosen)
    cases = tuple(
        CaseSurface(labels[key], found, accuracies(chosen, key, found.epochs[-1:])[0])
        for key in ids
        if (found := surfaces.get(key)) is not None
    )
    return DecisionSurfaces(cases, replicate_note(chosen))


def chart(numbers: DecisionSurfaces) -> Chart:
    """Draw a panel for each case, titled by the accuracy of the network that it shows."""
    which = f", {numbers.replicate}" if numbers.replicate else ""
    most = max(len(case.surface.labels) for case in numbers.cases)
    some = f" Of {most:,} test points the first {MAX_POINTS}." if most > MAX_POINTS else ""
    return Chart(
        title=f"Decision surfaces at the last epoch{which}",
        panels=tuple(panel(case.surface, -1, _title(case)) for case in numbers.cases),
        columns=columns_for(len(numbers.cases), most=4),
        note=f"Beside each name: accuracy of this network on the {_parts(numbers)}.{some}",
    )


def _title(case: CaseSurface) -> str:
    label = shortened(case.label, _LONGEST_LABEL)
    known = [f"{value:.3f}" for value in case.accuracies if value == value]
    return f"{label}: {' / '.join(known)}" if known else label


def _parts(numbers: DecisionSurfaces) -> str:
    """Say which parts the accuracies beside the names are of."""
    has_validation = any(value == value for value, _ in (c.accuracies for c in numbers.cases))
    return "validation and the test part" if has_validation else "test part"
