"""Draw what was measured: `python -m benchmarks.chart results.json docs/images/bench.svg`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.results import Results, Row, best, load
from benchmarks.table import machine_line
from fathom.errors import FathomError

USER_ERROR: Final = 2
FORMATS: Final = (".svg", ".png", ".pdf")
# Okabe and Ito's colours, which colour-blind people tell apart; Fathom's is the darkest.
COLOURS: Final = {
    "dataloader": "#E69F00",
    "autograd": "#F0E442",
    "vmap": "#009E73",
    "jax": "#56B4E9",
    "fathom": "#0072B2",
    "fathom-recording": "#003B5C",
}
NAMES: Final = {
    "dataloader": "DataLoader + autograd",
    "autograd": "autograd, data in memory",
    "vmap": "torch.func vmap",
    "jax": "JAX vmap + scan",
    "fathom": "Fathom",
    "fathom-recording": "Fathom, all recorded",
}

Bars = dict[int, dict[str, dict[str, float]]]


def bars(rows: Sequence[Row]) -> Bars:
    """Return each rival's core-seconds by depth, activation and rival."""
    found: Bars = {}
    for setting, families in best(rows).items():
        by_activation = found.setdefault(setting.depth, {})
        by_activation[setting.activation] = {name: row.core_s for name, row in families.items()}
    return found


def draw(results: Results) -> Figure:
    """Draw a panel for each depth, a group of bars for each activation."""
    panels = bars(results.rows)
    figure = Figure(figsize=(1.5 + 4.2 * len(panels), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (depth, groups) in zip(all_axes, panels.items(), strict=True):
        _draw_panel(axes, groups)
        axes.set_title(f"{depth} hidden layers", fontsize=10)
    all_axes[0].set_ylabel("seconds on one core")
    figure.suptitle("One epoch of 60,000 images, per network (784-128×L-10, batch 128, SGD)")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        frameon=False,
        title=machine_line(results),
        title_fontsize=7,
    )
    return figure


def _draw_panel(axes: Axes, groups: dict[str, dict[str, float]]) -> None:
    rivals = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.84 / len(rivals)
    for place, name in enumerate(rivals):
        shift = (place - (len(rivals) - 1) / 2) * width
        there = [(x + shift, g[name]) for x, g in enumerate(groups.values()) if name in g]
        places, seconds = zip(*there, strict=True)
        drawn = axes.bar(places, seconds, width, label=NAMES[name], color=COLOURS[name])
        texts = [f"{value:.2g}" for value in seconds]
        axes.bar_label(drawn, texts, fontsize=6, rotation=90, padding=2)
    axes.set_yscale("log")
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks(range(len(groups)), list(groups))
    axes.grid(axis="y", linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 2 after a user's error."""
    command = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    command.add_argument("results", type=Path, help="JSON file of benchmarks.step")
    command.add_argument("image", type=Path, help=f"file to write: {', '.join(FORMATS)}")
    given = command.parse_args(arguments)
    if given.image.suffix not in FORMATS:
        command.error(f"image: got {given.image}; must end in one of {', '.join(FORMATS)}")
    try:
        write(draw(load(given.results)), given.image)
    except FathomError as error:
        print(error, file=sys.stderr)
        return USER_ERROR
    return 0


def write(figure: Figure, path: Path) -> None:
    """Save an image; equal figures give equal bytes.

    Raises:
        FathomError: If it cannot be written.
    """
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    try:
        figure.savefig(path, dpi=160, metadata=metadata)
    except OSError as error:
        raise FathomError(f"{path}: cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
