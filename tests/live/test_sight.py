"""What is seen of a results folder while it comes to be, grows, is replaced or damaged."""

import json
import shutil
from pathlib import Path

import pytest

from fathom.api import Results
from fathom.errors import FathomError
from fathom.live.sight import Sight, look, mark, require_possible, status
from live.folders import commit_next, snapshot, young


def test_a_folder_that_grows(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    missing = look(folder, Sight())
    assert (missing.elements, missing.num_runs) == ({}, 0)
    assert status(folder, missing) == f"{folder}: no results yet; waiting for fathom run"
    young(finished, folder, 0)
    empty = look(folder, missing)
    assert (empty.elements, empty.num_done, empty.num_runs) == ({}, 0, 4)
    assert status(folder, empty).startswith("0 of 4 runs have a result. ")
    marks = {mark(tmp_path / "s")}
    for done in (2, 4):
        commit_next(finished, folder)
        marks.add(mark(folder))
        seen = look(folder, empty)
        assert (seen.num_done, seen.num_runs, seen.problem) == (done, 4, "")
        runs = json.loads(seen.elements["study"])["runs"]
        assert runs["run_id"] == Results.open(folder).runs["run_id"].to_list()
        assert len(runs["run_id"]) == done
    assert len(marks) == 3
    assert status(folder, seen) == "4 of 4 runs have a result."
    assert set(seen.elements) >= {"study", "charts", "predictions", "measurements"}


def test_nothing_is_changed_and_nothing_locked(finished: Path) -> None:
    before = snapshot(finished)
    status(finished, look(finished, Sight()))
    assert snapshot(finished) == before


def test_what_was_seen_stays_when_the_folder_goes(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    seen = look(folder, Sight())
    shutil.rmtree(folder)
    after = look(folder, seen)
    assert after.elements == seen.elements
    assert "no results yet" in status(folder, after)
    young(finished, folder, 1)
    assert look(folder, after).num_done == 2
    (folder / "runs.json").write_text("[")
    assert "runs.json: is missing or damaged" in status(folder, look(folder, after))


def test_damage_is_told(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    shutil.copytree(finished, folder)
    table = min(folder.glob("cohorts/*/epochs.parquet"))
    table.write_bytes(table.read_bytes()[:-1])
    seen = look(folder, Sight())
    assert seen.num_done == 2
    assert "left out: cohorts/" in status(folder, seen)


def test_only_a_results_folder_or_an_empty_place_is_waited_for(
    finished: Path, tmp_path: Path
) -> None:
    require_possible(finished)
    require_possible(tmp_path)
    require_possible(tmp_path / "missing")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FathomError, match="is not a results folder; give the folder that"):
        require_possible(tmp_path)
    with pytest.raises(FathomError, match=r"mine\.txt: cannot be read: Not a directory"):
        require_possible(tmp_path / "mine.txt")
