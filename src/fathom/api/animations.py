"""Decision surfaces over training as files, one for each case; loads matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from fathom.api.export import folder_names
from fathom.errors import FathomError, suggestion
from fathom.figures import film
from fathom.figures.animation import MAX_PICTURES, Animation, pictures, thinned
from fathom.figures.cases import (
    accuracies,
    case_labels,
    one_of_each_case,
    replicate_note,
    with_text,
)
from fathom.figures.decision_surface import NO_SURFACES
from fathom.figures.frames import Frames, select
from fathom.store.commit import commit, read_file, writing
from fathom.surfaces import Surface

FORMATS: Final = ("gif", "mp4")


class Animations(NamedTuple):
    """What was written.

    Attributes:
        files: In the order of the cases.
        left_out: What was not written, in sentences.
    """

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


def write_animations(
    frames: Frames,
    folder: Path,
    *,
    only: str | None = None,
    replicate: int | None = None,
    formats: Sequence[str] = ("gif",),
) -> Animations:
    """Draw how the decision surface of each case changed, and write it.

    A file that is there already is replaced if it is an animation of the same run, and otherwise
    nothing is written at all. Of more than 500 epochs so many are shown, spread evenly. One run's
    surfaces are read at a time, and one of its pictures is drawn at a time.

    Args:
        frames: The study.
        folder: Made if missing.
        only: Keep the cases whose settings or name contain this text.
        replicate: Seed of the run that stands for its case; the first when omitted.
        formats: `gif`, `mp4` or both. Where there is no ffmpeg, GIFs are written alone.

    Raises:
        FathomError: If no surfaces were recorded, no case is left, a format is unknown, only MP4s
            are asked for and there is no ffmpeg, or a file is in the way or cannot be written.
    """
    wanted, left_out = _possible(formats)
    if folder.exists() and not folder.is_dir():
        raise FathomError(f"{folder}: is a file; choose a folder with --out")
    chosen = one_of_each_case(frames, replicate)
    labels = case_labels(chosen)  # of all cases: a title does not depend on what else is drawn
    if only is not None:
        chosen = with_text(chosen, labels, only)
    stems = folder_names(frames.runs)
    paths = {
        run_id: {kind: folder / f"{stems[run_id]}.{kind}" for kind in wanted}
        for run_id in chosen.runs["run_id"]
    }
    for run_id, by_format in paths.items():
        for path in by_format.values():
            _require_ours(path, run_id)
    num_epochs: dict[str, int] = {}
    for run_id, by_format in paths.items():
        surface = chosen.surfaces((run_id,)).get(run_id)
        if surface is None:
            continue
        num_epochs[run_id] = len(surface.epochs)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        _write(_animation(chosen, labels[run_id], thinned(surface)), by_format)
    if not num_epochs:
        raise FathomError(NO_SURFACES)
    left_out += _gaps(len(paths), num_epochs)
    files = tuple(path for run_id in num_epochs for path in paths[run_id].values())
    return Animations(files, tuple(left_out))


def _gaps(num_cases: int, num_epochs: Mapping[str, int]) -> list[str]:
    """Say which cases and epochs are not shown, given how many epochs were kept of the others."""
    gaps = []
    if without := num_cases - len(num_epochs):
        gaps.append(f"no decision surfaces of {without} of {num_cases} cases")
    if (most := max(num_epochs.values())) > MAX_PICTURES:
        gaps.append(f"of {most:,} recorded epochs {MAX_PICTURES} are shown, spread evenly")
    return gaps


def _possible(formats: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the formats that can be written here, and what is to be said of the others.

    Raises:
        FathomError: If there are none.
    """
    for name in formats:
        if name not in FORMATS:
            near = suggestion(name, FORMATS)
            raise FathomError(f"unknown format {name[:40]!r}.{near} Known: {', '.join(FORMATS)}")
    wanted = list(dict.fromkeys(formats))
    if not wanted:
        raise FathomError(f"no format was chosen; known: {', '.join(FORMATS)}")
    if "mp4" not in wanted or film.has_ffmpeg():
        return wanted, []
    if wanted == ["mp4"]:
        raise FathomError(film.NO_FFMPEG)
    return ["gif"], [film.NO_FFMPEG]


def _mark(run_id: str) -> str:
    """Return what a file says of itself, by which it is known again."""
    return f"fathom animate, run {run_id}"


def _require_ours(path: Path, run_id: str) -> None:
    try:
        content = read_file(path)
    except FileNotFoundError:
        return
    except OSError:  # a folder, a link, or not for us to read
        content = b""
    if _mark(run_id).encode() not in content:
        raise FathomError(
            f"{path}: is there already and is no animation of this run; move it away, or choose "
            "another folder with --out"
        )


def _animation(frames: Frames, label: str, surface: Surface) -> Animation:
    which = replicate_note(select(frames, runs=surface.run_id))
    reached = accuracies(frames, surface.run_id, surface.epochs)
    return Animation(f"{label}, {which}" if which else label, surface, tuple(reached))


def _write(animation: Animation, paths: Mapping[str, Path]) -> None:
    drawn, mark = pictures(animation), _mark(animation.surface.run_id)
    for kind, path in paths.items():
        content = film.gif(drawn, mark) if kind == "gif" else film.mp4(drawn, mark)
        commit(path, content)  # whole or not at all: half a file would not be known again as ours
