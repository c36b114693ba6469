"""Which image files a report has."""

import re
from pathlib import Path

import pytest

from fathom.errors import FathomError
from fathom.figures.frames import in_order
from fathom.report.images import file_stems, split_pages, write_images
from made_frames import study


def test_files_of_a_small_study(tmp_path: Path) -> None:
    frames = study(
        activations=("relu", "tanh"),
        inits=("he",),
        depths=(2, 4),
        epochs=2,
        histograms=True,
        observed=True,
    )
    found = write_images(frames, tmp_path, ["png"])
    written = sorted(f"figures/{path.name}" for path in (tmp_path / "figures").iterdir())
    assert written == sorted(path for paths in found.files.values() for path in paths)
    assert len(written) == 18
    assert set(found.left_out) == {"factor_comparison", "inits_at_activation"}
    assert "needs at least two values of init" in found.left_out["inits_at_activation"]


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(2,), epochs=1)
    with pytest.raises(FathomError, match=r"unknown format 'pgn'. Did you mean 'png'\? Known: png"):
        write_images(frames, tmp_path / "new", ["png", "pgn"])
    assert not (tmp_path / "new").exists()


def test_hundreds_of_runs_share_files_by_activation() -> None:
    frames = in_order(study(epochs=1))
    pages = split_pages(frames, 24)
    assert [page.label for page in pages] == [
        a for a in ("relu", "tanh", "sigmoid", "gelu") for _ in "12"
    ]
    assert [len(page.run_ids) for page in pages] == [24] * 8
    assert [i for page in pages for i in page.run_ids] == frames.runs["run_id"].to_list()


def test_many_values_with_few_runs_do_not_get_a_file_each() -> None:
    frames = study(activations=[f"a{i}" for i in range(30)], inits=("he",), depths=(2,), epochs=1)
    pages = split_pages(frames, 24)
    assert [(page.label, len(page.run_ids)) for page in pages] == [("", 15), ("", 15)]


def test_labels_never_become_paths() -> None:
    labels = [
        "../../etc/passwd",
        "..",
        "C:\\x",
        "a\0b\n",
        "日本",
        "x" * 300,
        "RELU",
        "relu",
        "con.png",
    ]
    stems = file_stems("map", labels)
    assert len(set(stems)) == len(labels)
    assert all(re.fullmatch(r"map[a-z0-9_-]{0,44}", stem) for stem in stems)
