"""Damage: always noticed, kept in the quarantine, and never a wrong number."""

import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_cohorts import (
    COHORTS,
    TABLES,
    commit_made,
    finish,
    make_frames,
    make_weights,
    open_folder,
)
from polars.testing import assert_frame_equal

from fathom.errors import StoreError
from fathom.store.integrity import Checker
from fathom.store.results import StudyFolder

COHORT_FILES = [f"cohorts/c3/{name}.parquet" for name in TABLES] + [
    "cohorts/c3/weights.safetensors"
]
FILES = [*COHORT_FILES, "cohorts/c9/state", "manifest", "study.yaml", "plan.json"]
STATE = {"epoch": torch.tensor(3), "weight": torch.arange(300.0)}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = open_folder(tmp_path_factory.mktemp("good") / "study")
    for cohort_id in COHORTS:
        commit_made(folder, cohort_id)
    folder.write_text("plan.json", '{"cohorts": 3}')
    with folder.claim("c9"):
        folder.save_state("c9", {"epoch": torch.tensor(2)}, data="d")
        folder.save_state("c9", STATE, data="d")
    return folder.path


@pytest.fixture
def study(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is cut here
    return Path(shutil.copytree(good, tmp_path / "study"))


def flip(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def blank(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice([16, 512, 4096]))
    return data[:start] + bytes(stop - start) + data[stop:]


def grow(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.randint(1, 600))


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, blank, grow]


def check_damaged(study: Path, name: str) -> None:
    """Open a folder in which one file was damaged, and see it noticed, kept and healed."""
    there = study / name
    damaged = there.read_bytes() if there.is_file() and not there.is_symlink() else None
    folder = open_folder(study)
    done = folder.committed()
    runs = sorted(run_id for cohort_id in done for run_id in COHORTS[cohort_id])
    for table, truth in make_frames(runs).items():
        assert_frame_equal(folder.table(table), truth, check_exact=True)
    if name in COHORT_FILES:
        assert set(done) == {"c1", "c2"}
    check_state(folder, is_damaged=name.endswith("state"))
    assert folder.read_text("plan.json") in {'{"cohorts": 3}', None}
    folder.write_text("plan.json", '{"cohorts": 3}')
    assert name in {damage.path for damage in folder.damages}
    kept = [study / damage.kept_at for damage in folder.damages if damage.kept_at]
    assert damaged is None or damaged in [path.read_bytes() for path in kept if path.is_file()]
    finish(folder)
    for table, truth in make_frames(sorted(sum(COHORTS.values(), ()))).items():
        assert_frame_equal(folder.table(table), truth, check_exact=True)
    assert torch.equal(
        folder.weights("run_d", "best")["layers.1.bias"],
        make_weights(["run_d"])["run_d/best/layers.1.bias"],
    )
    assert [damage for damage in folder.verify() if damage.path != "manifest"] == []
    assert open_folder(study).damages == ()


def check_state(folder: StudyFolder, *, is_damaged: bool) -> None:
    with folder.claim("c9"):
        state = folder.load_state("c9", data="d")
    assert state is not None
    assert state["epoch"] == (2 if is_damaged else 3)
    assert is_damaged or torch.equal(state["weight"], STATE["weight"])


def check_random_damage(good: Path, study: Path, name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    data = (good / name).read_bytes()
    damaged = rng.choice(DAMAGES)(data, rng)
    if name == "manifest" and damaged == data[: len(damaged)] and damaged[-1:] in {b"\n", b""}:
        return  # cut between two records: nothing is damaged, the rest is not known and done anew
    if damaged != data:
        (study / name).write_bytes(damaged)
        check_damaged(study, name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed_kept_and_healed(good: Path, study: Path, name: str, seed: int) -> None:
    check_random_damage(good, study, name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_much_damage_is_noticed_kept_and_healed(good: Path, study: Path, name: str) -> None:
    for seed in range(100, 200):
        shutil.rmtree(study)
        shutil.copytree(good, study)
        check_random_damage(good, study, name, seed)


def replace_by_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_text("something")


def replace_by_link(path: Path) -> None:
    path.symlink_to("/dev/zero")  # endless, if it were read


def replace_by_file_of_another_cohort(path: Path) -> None:
    other = path.parents[1] / "c1" / path.name
    path.write_bytes(other.read_bytes() if other.exists() else b"")


ODD: list[Callable[[Path], None]] = [replace_by_folder, replace_by_link, os.mkfifo, Path.touch]


@pytest.mark.parametrize("put", [*ODD, replace_by_file_of_another_cohort])
@pytest.mark.parametrize("name", ["cohorts/c3/epochs.parquet", "cohorts/c9/state", "study.yaml"])
def test_something_else_under_the_name_is_noticed(
    study: Path, name: str, put: Callable[[Path], None]
) -> None:
    (study / name).unlink()
    put(study / name)
    check_damaged(study, name)


@pytest.mark.parametrize("put", ODD[:3])
def test_a_manifest_that_is_no_file_is_set_aside(study: Path, put: Callable[[Path], None]) -> None:
    (study / "manifest").unlink()
    put(study / "manifest")
    with pytest.raises(StoreError, match="manifest: cannot be read: "):
        StudyFolder.read_only(study)
    check_damaged(study, "manifest")


@pytest.mark.parametrize("name", ["cohorts/c3/runs.parquet", "cohorts/c3/weights.safetensors"])
def test_a_missing_file_is_noticed(study: Path, name: str) -> None:
    (study / name).unlink()
    check_damaged(study, name)


@pytest.mark.parametrize("name", ["manifest", "study.yaml", "plan.json"])
def test_what_can_be_made_anew_may_be_missing(study: Path, name: str) -> None:
    (study / name).unlink()
    folder = open_folder(study)
    folder.write_text("plan.json", "{}")
    finish(folder)
    assert folder.verify() == []


def test_a_swapped_file_of_the_same_kind_is_never_shown(study: Path) -> None:
    for name in TABLES:
        first, second = (study / "cohorts" / c / f"{name}.parquet" for c in ("c1", "c2"))
        first_bytes = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(first_bytes)
    reader = StudyFolder.read_only(study)
    assert reader.table("runs")["run_id"].to_list() == list(COHORTS["c3"])
    assert len(reader.damages) == 2 * len(TABLES)


def test_damage_after_the_first_look_is_noticed_when_read(study: Path) -> None:
    folder = open_folder(study)
    assert set(folder.committed()) == set(COHORTS)
    path = study / "cohorts" / "c2" / "layers.parquet"
    before = os.stat(path)
    with path.open("r+b") as file:  # the same size and time: only the bytes tell
        file.seek(200)
        byte = file.read(1)[0]
        file.seek(200)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "run_c" not in folder.tables("layers", "runs")["runs"]["run_id"]
    assert [damage.path for damage in folder.damages] == ["cohorts/c2/layers.parquet"]


def test_the_very_bytes_that_are_parsed_are_compared(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, path = StudyFolder.read_only(study), study / "cohorts" / "c1" / "runs.parquet"
    other = study / "cohorts" / "c2" / "runs.parquet"
    really = Checker.problem

    def too_early(checker: Checker, path: Path, sha256: str, *, again: bool = False) -> str:
        return really(checker, path, sha256, again=again) if again else ""

    monkeypatch.setattr(Checker, "problem", too_early)
    path.write_bytes(other.read_bytes())  # as if just after the check
    assert reader.table("runs")["run_id"].to_list() == [*COHORTS["c2"], *COHORTS["c3"]]
    assert [damage.path for damage in reader.damages] == ["cohorts/c1/runs.parquet"]


def test_too_many_open_files_is_no_damage(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(study)

    real = os.open

    def fail(path: Path, *given: int, **named: int) -> int:
        if path.suffix == ".parquet":
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *given, **named)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StoreError, match=r"parquet: cannot be read: Too many open files"):
        folder.verify()
    assert folder.damages == ()
