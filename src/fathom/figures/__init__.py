"""Figures by name: numbers first, a description of what is drawn second, paint last."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from fathom.errors import suggestion
from fathom.figures import (
    accuracy_by_depth,
    accuracy_curves,
    activation_histograms,
    activation_statistics,
    activations_at_init,
    class_scores,
    confusion_matrix,
    decision_surface,
    distribution_over_epochs,
    factor_comparison,
    gradient_by_layer,
    gradient_heatmap,
    gradient_histograms,
    gradient_mean_abs_heatmap,
    inits_at_activation,
    layer_maps,
    loss_curves,
    pr_curves,
    prediction_by_layer,
    prediction_scatter,
    training_time,
    unit_life,
)
from fathom.figures.charts import Chart
from fathom.figures.frames import FigureError, Frames, select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "Chart", "FigureError", "FigureSpec", "Frames", "chart", "make", "select"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureSpec:
    """One figure.

    Attributes:
        name: Name in the registry; its module's name.
        description: One sentence.
        numbers: `numbers(frames, **options)` returns a named tuple.
        chart: `chart(numbers)` returns what is drawn.
        max_runs: Most runs in one figure of single runs; None for a figure that compares all runs.
        per_case: Whether it shows one replicate of each case, whatever runs it is given.
    """

    name: str
    description: str
    numbers: Callable[..., Any]
    chart: Callable[[Any], Chart]
    max_runs: int | None = None
    per_case: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the figure's own options, beside those that choose runs."""
        return tuple(inspect.signature(self.numbers).parameters)[1:]


def _spec(module: ModuleType, max_runs: int | None = None, *, per_case: bool = False) -> FigureSpec:
    return FigureSpec(
        name=module.__name__.rpartition(".")[2],
        description=(module.__doc__ or "").partition("\n")[0],
        numbers=module.numbers,
        chart=module.chart,
        max_runs=max_runs,
        per_case=per_case,
    )


FIGURES: Final[dict[str, FigureSpec]] = {
    spec.name: spec
    for spec in (
        _spec(accuracy_by_depth),
        _spec(loss_curves),
        _spec(accuracy_curves),
        _spec(inits_at_activation),
        _spec(activations_at_init),
        _spec(factor_comparison),
        _spec(training_time),
        _spec(prediction_scatter),
        _spec(gradient_heatmap, layer_maps.MAX_RUNS),
        _spec(gradient_mean_abs_heatmap, layer_maps.MAX_RUNS),
        _spec(gradient_by_layer, layer_maps.MAX_RUNS),
        _spec(prediction_by_layer, prediction_by_layer.MAX_RUNS),
        _spec(activation_statistics, activation_statistics.MAX_RUNS),
        _spec(gradient_histograms, gradient_histograms.MAX_RUNS),
        _spec(activation_histograms, activation_histograms.MAX_RUNS),
        _spec(distribution_over_epochs, distribution_over_epochs.MAX_RUNS),
        _spec(pr_curves, class_scores.MAX_RUNS),
        _spec(confusion_matrix, class_scores.MAX_RUNS),
        _spec(unit_life, unit_life.MAX_RUNS),
        _spec(decision_surface, decision_surface.MAX_RUNS, per_case=True),
    )
}


def chart(name: str, frames: Frames, **options: Any) -> Chart:  # noqa: ANN401 - each figure has its own
    """Describe a figure.

    Args:
        name: A name in `FIGURES`.
        frames: The study.
        **options: `runs` (ids or names), `activation`, `init`, `depth` or another setting, each one
            value or several, choose runs; the rest are options of the figure.

    Returns:
        What is to be drawn.

    Raises:
        FigureError: If the name or an option is unknown, or the figure makes no sense for the runs.
    """
    spec = FIGURES.get(name)
    if spec is None:
        raise FigureError(
            f"unknown figure {name[:80]!r}.{suggestion(name, FIGURES)} Known: {', '.join(FIGURES)}"
        )
    selectors = ("runs", *frames.all_settings)
    for key in options:
        if key not in spec.options and key not in selectors:
            known = [*spec.options, *selectors]
            raise FigureError(
                f"figure '{name}' has no option {key[:40]!r}.{suggestion(key, known)} "
                f"Its options: {', '.join(known)}"
            )
    chosen = select(frames, **{k: v for k, v in options.items() if k not in spec.options})
    own = {key: value for key, value in options.items() if key in spec.options}
    try:
        return spec.chart(spec.numbers(chosen, **own))
    except FigureError as error:
        raise FigureError(f"figure '{name}': {error}") from None


def make(name: str, frames: Frames, **options: Any) -> "Figure":  # noqa: ANN401 - as in `chart`
    """Draw a figure with matplotlib.

    Args:
        name: A name in `FIGURES`.
        frames: The study.
        **options: As in `chart`.

    Returns:
        A figure to show, change or save.

    Raises:
        FigureError: As `chart`.
    """
    from fathom.figures.draw import draw  # loads matplotlib

    return draw(chart(name, frames, **options))
