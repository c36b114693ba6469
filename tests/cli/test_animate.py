"""The verb `animate`: which files it writes, and what it leaves alone."""

import dataclasses
import io
import os
from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from command import Fathom
from fathom.api import Results
from fathom.api.animations import write_animations
from fathom.errors import FathomError
from fathom.surfaces import Surface
from made_frames import study

MOONS = """\
data: {name: half_moons, limit: 120}
activation: [relu, tanh]
seeds: 2
model: {depth: 1, width: 4}
train: {epochs: 4, lr: 0.1}
record: {probe_size: 16, surfaces: 3}
"""


@pytest.fixture
def done(fathom: Fathom, here: Path) -> Path:
    (here / "moons.yaml").write_text(MOONS)
    assert fathom("run", "moons.yaml", "--no-report", "--workers", "1", "-q").code == 0
    return here / "results" / "moons"


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def names(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


def test_a_gif_for_each_case(fathom: Fathom, done: Path) -> None:
    before = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    outcome = fathom("animate", str(done))
    assert (outcome.code, outcome.err) == (0, "")
    paths = [Path(line) for line in outcome.out.splitlines()]
    assert names(done / "animations") == ["relu", "tanh"]
    assert sorted(paths) == sorted((done / "animations").iterdir())
    for path in paths:
        assert "-s0-" in path.name  # the first replicate
        film = opened(path)
        assert (film.format, film.n_frames) == ("GIF", 3)
    assert {path: path.read_bytes() for path in before} == before
    assert fathom("verify", str(done)).code == 0


def test_a_case_a_replicate_and_a_folder_can_be_chosen(
    fathom: Fathom, done: Path, here: Path
) -> None:
    outcome = fathom(
        "animate", str(done), "--only", "Tan", "--replicate", "1", "--out", str(here / "new" / "x")
    )
    (path,) = (here / "new" / "x").iterdir()
    assert outcome.out.splitlines() == [str(path)]
    assert path.name.startswith("tanh")
    assert "-s1-" in path.name
    assert not (done / "animations").exists()


def test_own_files_are_replaced_and_others_left_alone(fathom: Fathom, done: Path) -> None:
    first = fathom("animate", str(done))
    relu, tanh = [Path(line) for line in first.out.splitlines()]
    drawn = relu.read_bytes()
    assert fathom("animate", str(done)) == first
    assert relu.read_bytes() == drawn
    relu.unlink()
    tanh.write_bytes(b"GIF89a of somebody's holidays")
    outcome = fathom("animate", str(done))
    assert outcome.code == 2
    assert f"{tanh}: is there already and is no animation of this run" in outcome.err
    assert tanh.read_bytes() == b"GIF89a of somebody's holidays"
    assert not relu.exists()  # nothing was written, not even what is in nobody's way


def test_an_animation_of_another_run_is_not_replaced(fathom: Fathom, done: Path) -> None:
    relu, tanh = [Path(line) for line in fathom("animate", str(done)).out.splitlines()]
    relu.rename(tanh)
    assert fathom("animate", str(done), "--only", "tanh").code == 2


def test_a_link_is_not_followed(fathom: Fathom, done: Path, here: Path) -> None:
    (path,) = [Path(p) for p in fathom("animate", str(done), "--only", "relu").out.splitlines()]
    path.rename(here / "mine.gif")
    path.symlink_to(here / "mine.gif")
    content = (here / "mine.gif").read_bytes()
    assert fathom("animate", str(done), "--only", "relu").code == 2
    assert path.is_symlink()
    assert (here / "mine.gif").read_bytes() == content


def test_a_folder_is_in_the_way(fathom: Fathom, done: Path, here: Path) -> None:
    (here / "file").touch()
    outcome = fathom("animate", str(done), "--out", "file")
    assert outcome.code == 2
    assert outcome.err.startswith("file")
    assert len(outcome.err.splitlines()) == 1


def test_without_ffmpeg_gifs_are_written_and_a_sentence_tells_the_rest(
    fathom: Fathom, done: Path, no_ffmpeg: None
) -> None:
    outcome = fathom("animate", str(done), "--format", "gif,mp4", "--only", "relu")
    assert outcome.code == 0
    assert [Path(line).suffix for line in outcome.out.splitlines()] == [".gif"]
    assert outcome.err.splitlines() == [
        "no MP4: the program ffmpeg is not on the path; install it, or ask for --format gif"
    ]
    alone = fathom("animate", str(done), "--format", "mp4", "--out", "films")
    assert alone.code == 2
    assert alone.err == outcome.err
    assert not Path("films").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--format", "gfi"), "unknown format 'gfi'. Did you mean 'gif'? Known: gif, mp4"),
        (("--format", ","), "no format was chosen; known: gif, mp4"),
        (("--only", "relo"), "no case contains 'relo'. Did you mean 'relu'?"),
        (("--replicate", "7"), "no run with replicate 7; there are: 0, 1"),
    ],
    ids=["format", "no format", "only", "replicate"],
)
def test_what_cannot_be_is_one_sentence(
    fathom: Fathom, done: Path, options: tuple[str, ...], told: str
) -> None:
    outcome = fathom("animate", str(done), *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(told)
    assert len(outcome.err.splitlines()) == 1
    assert not (done / "animations").exists()


def test_a_study_without_surfaces_is_told_how_to_get_them(fathom: Fathom, here: Path) -> None:
    fathom("run", "s.yaml", "--no-report", "--workers", "1", "-q")
    outcome = fathom("animate", "results/s")
    assert outcome.code == 2
    assert "set record.surfaces, such as 25" in outcome.err


def test_a_file_is_no_folder(fathom: Fathom, done: Path) -> None:
    Path("a").write_text("mine")
    outcome = fathom("animate", str(done), "--out", "a")
    assert (outcome.code, outcome.err) == (2, "a: is a file; choose a folder with --out\n")
    outcome = fathom("animate", str(done / "study.yaml"))
    assert outcome.code == 2
    assert "study.yaml: is not a results folder" in outcome.err


def test_a_study_without_a_finished_run(
    fathom: Fathom, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results.open(done)
    monkeypatch.setattr(Results, "missing", tuple(map(str, range(results.num_runs))))
    outcome = fathom("animate", str(done))
    assert (outcome.code, outcome.err) == (
        2,
        f"{done}: no run is finished yet; nothing to animate\n",
    )


def test_from_python(done: Path, here: Path) -> None:
    results = Results.open(done)
    written = results.animate(here / "films", only="relu", replicate=1)
    assert written.left_out == ()
    (path,) = written.files
    assert path.parent == here / "films"
    assert opened(path).n_frames == 3
    (titled,) = results.animate(only="tanh").files
    assert titled.parent == results.folder / "animations"


def test_names_never_become_paths(tmp_path: Path) -> None:
    hostile = ["../../etc/passwd", "/absolute", "a\0b\n$x$", "RELU", "relu", ".."]
    made = study(
        activations=[f"a{i}" for i in range(6)],
        inits=("he",),
        depths=(1,),
        epochs=2,
        odd=False,
        observed=True,
    )
    shown = [f"$\\frac{{${name}" for name in hostile]
    runs = made.runs.with_columns(name=pl.Series(hostile), activation=pl.Series(shown))
    folder = tmp_path / "in" / "here"
    written = write_animations(dataclasses.replace(made, runs=runs), folder)
    assert len(written.files) == len(hostile)
    assert sorted(written.files) == sorted(folder.iterdir())
    assert len({path.name.lower() for path in written.files}) == len(hostile)
    assert os.listdir(tmp_path) == ["in"]
    assert os.listdir(tmp_path / "in") == ["here"]


def test_cases_without_surfaces_are_told(tmp_path: Path) -> None:
    made = study(
        activations=("relu", "tanh"), inits=("he",), depths=(1,), epochs=2, odd=False, observed=True
    )
    some = made.surfaces(made.runs["run_id"].to_list()[:1])
    written = write_animations(dataclasses.replace(made, surfaces=lambda _: some), tmp_path)
    assert len(written.files) == 1
    assert written.left_out == ("no decision surfaces of 1 of 2 cases",)


def test_one_run_is_read_at_a_time_and_no_other_replicate(tmp_path: Path) -> None:
    made = study(
        activations=("relu", "tanh"),
        inits=("he",),
        depths=(1,),
        seeds=(0, 1, 2),
        epochs=2,
        observed=True,
    )
    read: list[Collection[str]] = []

    def surfaces(ids: Collection[str]) -> Mapping[str, Surface]:
        read.append(ids)
        return made.surfaces(ids)

    written = write_animations(dataclasses.replace(made, surfaces=surfaces), tmp_path)
    firsts = made.runs.filter(pl.col("seed") == 0)["run_id"]
    assert len(written.files) == 2
    assert read == [(run_id,) for run_id in firsts]


def test_of_more_epochs_than_a_film_takes_some_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fathom.api.animations", "fathom.figures.animation"):
        monkeypatch.setattr(f"{module}.MAX_PICTURES", 2)
    made = study(activations=("relu",), inits=("he",), depths=(1,), epochs=4, observed=True)
    written = write_animations(made, tmp_path)
    assert opened(written.files[0]).n_frames == 2
    assert written.left_out == ("of 3 recorded epochs 2 are shown, spread evenly",)


def test_without_surfaces_nothing_is_written(tmp_path: Path) -> None:
    made = study(activations=("relu",), inits=("he",), depths=(1,), epochs=2)
    with pytest.raises(FathomError, match=r"no run has decision surfaces; set record\.surfaces"):
        write_animations(made, tmp_path / "films")
    assert not (tmp_path / "films").exists()


def test_a_picture_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device fails while the second file is flushed."""
    made = study(
        activations=("relu", "tanh"), inits=("he",), depths=(1,), epochs=2, odd=False, observed=True
    )
    flushed: list[int] = []

    def fail(descriptor: int) -> None:
        flushed.append(descriptor)
        if len(flushed) == 3:  # a file, its folder, a file
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FathomError, match="cannot be written"):
        write_animations(made, tmp_path)
    (path,) = tmp_path.iterdir()
    assert opened(path).n_frames == 3
