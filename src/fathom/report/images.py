"""The image files of a study: every figure that makes sense, in every wanted format."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fathom.errors import FathomError, suggestion
from fathom.figures import FIGURES, FigureSpec, Frames, make
from fathom.figures.cases import one_of_each_case
from fathom.figures.draw import FORMATS, save
from fathom.figures.frames import FigureError, number_text, select, values, varying
from fathom.store.commit import writing

MAX_FILES = 12  # of one figure of single runs; the page shows the rest
MIN_RUNS = 6  # in a file of its own for each value of a setting
# Figures of single runs that are not profiles of layers, which are told by the deepest networks.
ALL_DEPTHS = frozenset({
    "gradient_heatmap",
    "gradient_mean_abs_heatmap",
    "pr_curves",
    "confusion_matrix",
    "unit_life",
    "decision_surface",
})


class Images(NamedTuple):
    """What was written.

    Attributes:
        files: For each figure the paths relative to the report's folder.
        left_out: For each figure that was not drawn, or not for all runs, the reason.
    """

    files: dict[str, list[str]]
    left_out: dict[str, str]


class Page(NamedTuple):
    """Runs that share one file; the label tells files of one figure apart."""

    label: str
    run_ids: tuple[str, ...]


def write_images(frames: Frames, folder: Path, formats: Sequence[str]) -> Images:
    """Draw every figure into `folder/figures`.

    Args:
        frames: The study, runs in the order in which they are to be shown.
        folder: The report's folder.
        formats: Some of `png`, `svg` and `pdf`.

    Raises:
        FathomError: If a format is unknown or a file cannot be written.
    """
    for wanted in formats:
        if wanted not in FORMATS:
            raise FathomError(
                f"unknown format {wanted[:40]!r}.{suggestion(wanted, FORMATS)} "
                f"Known: {', '.join(FORMATS)}"
            )
    with writing(folder / "figures"):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    images = Images({}, {})
    for spec in FIGURES.values() if formats else ():
        try:
            images.files[spec.name] = list(_write(spec, frames, folder, formats, images))
        except FigureError as error:
            images.left_out[spec.name] = str(error)
    return images


def _write(
    spec: FigureSpec, frames: Frames, folder: Path, formats: Sequence[str], images: Images
) -> Iterator[str]:
    frames = one_of_each_case(frames) if spec.per_case else frames
    pages = [Page("", tuple(frames.runs["run_id"]))]
    if spec.max_runs is not None:
        shown = _deepest(spec, frames)
        pages = split_pages(shown, spec.max_runs)
        if len(pages) > MAX_FILES or shown is not frames:
            images.left_out[spec.name] = f"figure '{spec.name}': {_rest(spec, shown, frames)}"
    pages = pages[:MAX_FILES]
    stems = file_stems(spec.name, [page.label for page in pages])
    for page, stem in zip(pages, stems, strict=True):
        figure = make(spec.name, frames, runs=page.run_ids)
        for wanted in formats:
            path = f"figures/{stem}.{wanted}"
            save(figure, folder / path)
            yield path


def _rest(spec: FigureSpec, shown: Frames, frames: Frames) -> str:
    if spec.per_case:
        return "not all cases"
    which = "the deepest networks alone" if shown is not frames else "not all runs"
    return f"{which}; the page shows each"


def _deepest(spec: FigureSpec, frames: Frames) -> Frames:
    """Show only the deepest networks in profiles of single runs, for there the story is told."""
    if spec.name in ALL_DEPTHS or frames.runs.height <= (spec.max_runs or 0):
        return frames
    depths = values(frames.runs, "depth")
    return select(frames, depth=depths[-1]) if len(depths) > 1 else frames


def split_pages(frames: Frames, most: int) -> list[Page]:
    """Spread runs over files: one or more files for each value of the first setting that varies.

    Args:
        frames: The runs.
        most: Largest number of runs in a file.

    Returns:
        At least one page; none has more than `most` runs.
    """
    ids = tuple(frames.runs["run_id"])
    if len(ids) <= most:
        return [Page("", ids)]
    settings = varying(frames)
    if settings:
        known = values(frames.runs, settings[0])
        groups = [Page(number_text(v), _with(frames, settings[0], v)) for v in known]
        if min(len(group.run_ids) for group in groups) >= MIN_RUNS:
            return [page for group in groups for page in _chunks(group, most)]
    return _chunks(Page("", ids), most)


def _with(frames: Frames, setting: str, value: object) -> tuple[str, ...]:
    return tuple(select(frames, **{setting: value}).runs["run_id"])


def _chunks(page: Page, most: int) -> list[Page]:
    count = -(-len(page.run_ids) // most)
    size = -(-len(page.run_ids) // count)
    return [
        page._replace(run_ids=page.run_ids[start : start + size])
        for start in range(0, len(page.run_ids), size)
    ]


def file_stems(name: str, labels: Sequence[str]) -> list[str]:
    """Name the files of one figure; a label is text from anywhere and never a path.

    >>> file_stems("map", ["", "relu", "../RELU", "he_normal(factor=2)"])
    ['map', 'map-relu', 'map-relu-2', 'map-he_normal_factor_2']
    """
    stems: list[str] = []
    used: Counter[str] = Counter()
    for label in labels:
        safe = re.sub(r"[^a-z0-9_]+", "_", label.lower()).strip("_")[:40]
        stem = f"{name}-{safe}" if safe else name
        used[stem] += 1
        stems.append(stem if used[stem] == 1 else f"{stem}-{used[stem]}")
    return stems
