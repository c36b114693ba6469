"""Decision surfaces in the store: committed with their cohort, hashed, set aside when damaged."""

from pathlib import Path

import numpy as np
import pytest
from made_cohorts import COHORTS, make_frames, make_weights, open_folder

from fathom.errors import StoreError
from fathom.seeds import derive_seed
from fathom.store.commit import commit
from fathom.store.results import StudyFolder
from fathom.store.tensors import read_arrays
from fathom.surfaces import Surface

FILE = "surfaces.safetensors"


def made(run_id: str) -> Surface:
    rng = np.random.default_rng(derive_seed(run_id))
    return Surface(
        run_id=run_id,
        epochs=np.array([0, 3]),
        across=np.linspace(-1, 1, 4),
        up=np.linspace(0, 2, 4),
        log_odds=rng.normal(0, 3, (2, 4, 4, 2)).astype(np.float32),
        points=np.ones((5, 2)),
        labels=np.arange(5),
    )


def commit_made(folder: StudyFolder, cohort_id: str, *, surfaces: bool = True) -> None:
    runs = COHORTS[cohort_id]
    kept = {run_id: made(run_id) for run_id in runs} if surfaces else {}
    with folder.claim(cohort_id) as mine:
        assert mine
        folder.commit_cohort(cohort_id, make_frames(runs), make_weights(runs), {}, kept)


def test_surfaces_are_those_of_all_cohorts(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    for cohort_id in ("c1", "c3"):
        commit_made(folder, cohort_id)
    commit_made(folder, "c2", surfaces=False)
    assert not (tmp_path / "cohorts" / "c2" / FILE).exists()
    found = StudyFolder.read_only(tmp_path).surfaces()
    assert {*found} == {*COHORTS["c1"], *COHORTS["c3"]}
    for run_id, surface in found.items():
        given = made(run_id)
        np.testing.assert_array_equal(surface.epochs, given.epochs)
        np.testing.assert_array_equal(surface.labels, given.labels)
        np.testing.assert_array_equal(surface.log_odds, given.log_odds)


def test_only_the_wanted_runs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tmp_path)
    for cohort_id in ("c1", "c3"):
        commit_made(folder, cohort_id)
    read: list[int] = []

    def counted(data: bytes) -> dict[str, np.ndarray]:
        read.append(len(data))
        return read_arrays(data)

    monkeypatch.setattr("fathom.store.cohorts.read_arrays", counted)
    wanted = COHORTS["c3"][0]
    assert {*folder.surfaces([wanted, "unknown"])} == {wanted}
    assert len(read) == 1
    assert folder.surfaces([]) == {}
    assert len(read) == 1


def test_a_study_without_surfaces_has_none(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    commit_made(folder, "c1", surfaces=False)
    assert folder.surfaces() == {}


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_file_is_told_set_aside_and_made_again(how: str, tmp_path: Path) -> None:
    commit_made(open_folder(tmp_path), "c1")
    path = tmp_path / "cohorts" / "c1" / FILE
    whole = path.read_bytes()
    path.unlink()
    if how == "flipped":
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    elif how == "cut":
        path.write_bytes(whole[:-1])
    reader = StudyFolder.read_only(tmp_path)
    assert [damage.path for damage in reader.verify()] == [f"cohorts/c1/{FILE}"]
    assert reader.surfaces() == {}
    folder = open_folder(tmp_path)
    assert folder.committed() == {}
    assert how == "gone" or any((tmp_path / "quarantine").iterdir())
    commit_made(folder, "c1")
    assert path.read_bytes() == whole
    assert {*folder.surfaces()} == {*COHORTS["c1"]}
    assert folder.verify() == []


def test_a_file_with_its_hash_that_holds_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text, told in (
        ("c1", b"no arrays", "cannot be read as arrays"),
        ("c2", None, "surfaces without 'across'"),
    ):
        folder = open_folder(tmp_path / name)
        with monkeypatch.context() as patch:
            if text is None:
                only = {"r/log_odds": np.zeros((1, 2, 2, 1), np.float32)}
                patch.setattr("fathom.store.cohorts.pack", lambda _, only=only: only)
            else:
                patch.setattr("fathom.store.cohorts.array_bytes", lambda _, text=text: text)
            commit_made(folder, name)
        with pytest.raises(StoreError, match=rf"{FILE}: .*{told}"):
            folder.surfaces()


def test_frames_are_durable_before_the_record(tmp_path: Path) -> None:
    """Whoever reads the manifest finds the file: it is listed with its hash and size."""
    folder = open_folder(tmp_path)
    commit_made(folder, "c2")
    entry = folder.committed()["c2"]["files"][FILE]
    path = tmp_path / "cohorts" / "c2" / FILE
    assert entry["size"] == path.stat().st_size
    assert entry["sha256"] == commit(tmp_path / "copy", path.read_bytes())
