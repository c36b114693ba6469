"""A study's folder as its users see it."""

import threading
from pathlib import Path

import polars as pl
import pytest
import torch
from made_cohorts import (
    COHORTS,
    MACHINE,
    STUDY,
    commit_made,
    finish,
    make_frames,
    make_weights,
    open_folder,
)
from polars.testing import assert_frame_equal

from fathom.errors import StoreError
from fathom.store.results import StudyFolder
from fathom.store.tables import COLUMNS

ALL_RUNS = [run_id for run_ids in COHORTS.values() for run_id in run_ids]


@pytest.fixture
def full(tmp_path: Path) -> StudyFolder:
    folder = open_folder(tmp_path / "out" / "study")
    finish(folder)
    return folder


def test_what_is_committed_is_read_back(full: StudyFolder) -> None:
    assert set(full.committed()) == set(COHORTS)
    truth = make_frames(sorted(ALL_RUNS))
    for name, frame in truth.items():
        assert_frame_equal(full.table(name), frame, check_exact=True)
    assert full.verify() == []
    assert full.damages == ()


def test_weights_of_one_run_come_back_without_the_others(full: StudyFolder) -> None:
    expected = make_weights(["run_d"])
    found = full.weights("run_d", "best")
    assert set(found) == {f"layers.{i}.{part}" for i in (1, 2) for part in ("weight", "bias")}
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[f"run_d/best/{name}"])


def test_weights_that_are_not_there_are_explained(full: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no finished run 'run_aa'. Did you mean 'run_a'\?"):
        full.weights("run_aa", "best")
    bare = open_folder(tmp_path / "bare")
    with bare.claim("c1"):
        bare.commit_cohort("c1", make_frames(["run_a"]), {}, {})
    with pytest.raises(StoreError, match="the last weights of run run_a were not kept"):
        bare.weights("run_a", "last")


def test_a_reader_writes_nothing_and_needs_a_results_folder(
    full: StudyFolder, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in full.path.rglob("*")}
    reader = StudyFolder.read_only(full.path)
    assert reader.study_digest == "study-1"
    assert reader.read_text("study.yaml") == STUDY
    assert reader.canonical_digest() == full.canonical_digest()
    assert list(reader.fingerprints.values()) == [MACHINE]
    assert {path: path.stat().st_mtime_ns for path in full.path.rglob("*")} == before
    with pytest.raises(StoreError, match="is not a results folder"):
        StudyFolder.read_only(tmp_path)


def test_another_study_is_refused_with_the_difference(full: StudyFolder) -> None:
    other = {"study_yaml": "seed: 2\nname: small\n", "study_digest": "study-2"}
    manifest = (full.path / "manifest").read_bytes()
    with pytest.raises(StoreError, match=r"another study.*\n  - seed: 1\n  \+ seed: 2\nChoose"):
        open_folder(full.path, **other)

    def describe(old: str, new: str) -> list[str]:
        return [f"seed: {old[6]} there, {new[6]} here"]

    with pytest.raises(StoreError, match="seed: 1 there, 2 here"):
        open_folder(full.path, **other, describe_difference=describe)
    assert (full.path / "manifest").read_bytes() == manifest
    (full.path / "manifest").unlink()  # then the text alone tells
    with pytest.raises(StoreError, match="holds the results of another study"):
        open_folder(full.path, **other)


def test_another_machine_is_refused_unless_it_may_be_mixed(full: StudyFolder) -> None:
    other = {"bits": {"torch": "2.13", "cpu": "two"}, "info": {}}
    with pytest.raises(StoreError, match=r"cpu: there 'one', here 'two'\n.*--allow-mixed"):
        open_folder(full.path, fingerprint=other)
    mixed = open_folder(full.path, fingerprint=other, allow_mixed=True)
    assert set(mixed.committed()) == set(COHORTS)
    commit_made(mixed, "c4", ["run_x"])
    machines = {key: record["machine"] for key, record in mixed.committed().items()}
    assert mixed.fingerprints[machines["c4"]] == other
    assert mixed.fingerprints[machines["c1"]] == MACHINE
    with pytest.raises(StoreError, match="cpu: there 'two', here 'one'"):
        open_folder(full.path)


def test_a_folder_of_an_earlier_version_keeps_its_digest_and_can_be_gone_on_with(
    tmp_path: Path,
) -> None:
    with pytest.MonkeyPatch.context() as earlier:
        columns = tuple(column for column in COLUMNS["runs"] if not column.optional)
        earlier.setitem(COLUMNS, "runs", columns)
        commit_made(open_folder(tmp_path), "c1")
        digest = StudyFolder.read_only(tmp_path).canonical_digest()
    reader = StudyFolder.read_only(tmp_path)
    assert reader.canonical_digest() == digest
    finish(open_folder(tmp_path))
    truth = make_frames(sorted(ALL_RUNS))["runs"]
    early = pl.col("run_id").is_in(COHORTS["c1"])
    lost = [pl.when(~early).then(c.name).alias(c.name) for c in COLUMNS["runs"] if c.optional]
    assert_frame_equal(reader.table("runs"), truth.with_columns(lost), check_exact=True)
    assert reader.verify() == []


def test_information_about_the_machine_may_change(full: StudyFolder) -> None:
    newer = MACHINE | {"info": {"python": "3.12"}}
    assert set(open_folder(full.path, fingerprint=newer).committed()) == set(COHORTS)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="is not empty and not a results folder"):
        open_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(StoreError, match=r"study: cannot be written: Not a directory"):
        open_folder(tmp_path / "letter.txt" / "study")


def test_a_worker_joins_only_what_was_opened_for_its_machine(full: StudyFolder) -> None:
    commit_made(StudyFolder.join(full.path, fingerprint=MACHINE), "c4", ["run_x"])
    assert "c4" in full.committed()
    with pytest.raises(StoreError, match="was not opened for a machine like this one"):
        StudyFolder.join(full.path, fingerprint={"bits": {"cpu": "two"}, "info": {}})


def test_committing_again_is_nothing_or_an_error(full: StudyFolder) -> None:
    manifest = (full.path / "manifest").read_bytes()
    commit_made(full, "c1", elapsed_s=7.0)  # a time is no result
    assert (full.path / "manifest").read_bytes() == manifest
    frames = make_frames(COHORTS["c1"])
    wrong = frames | {"epochs": frames["epochs"].with_columns(pl.col("lr") + 1e-16)}
    assert not wrong["epochs"].equals(frames["epochs"])
    weights = make_weights(COHORTS["c1"])
    with full.claim("c1"), pytest.raises(StoreError, match=r"c1: run run_\w came out other than"):
        full.commit_cohort("c1", wrong, weights, {})
    with full.claim("c1"), pytest.raises(StoreError, match="c1: the weights came out other than"):
        full.commit_cohort("c1", frames, {key: -value for key, value in weights.items()}, {})
    with full.claim("other"), pytest.raises(StoreError, match=r"other: run run_\w came out other"):
        full.commit_cohort("other", wrong, {}, {})
    assert (full.path / "manifest").read_bytes() == manifest


def test_a_run_in_two_cohorts_is_shown_once(full: StudyFolder) -> None:
    digest = full.canonical_digest()
    commit_made(full, "again", ["run_a", "run_d"])
    assert set(full.committed()) == {*COHORTS, "again"}
    assert full.table("runs")["run_id"].to_list() == sorted(ALL_RUNS)
    assert full.canonical_digest() == digest


def test_the_digest_ignores_grouping_order_and_times(full: StudyFolder, tmp_path: Path) -> None:
    other = open_folder(tmp_path / "other")
    for cohort_id, run_ids in {"x": ["run_f", "run_b"], "y": ["run_e", "run_c"]}.items():
        commit_made(other, cohort_id, run_ids, elapsed_s=9.0)
    assert other.canonical_digest() != full.canonical_digest()
    commit_made(other, "z", ["run_d", "run_a"], elapsed_s=5.0)
    assert other.canonical_digest() == full.canonical_digest()


def test_a_cohort_is_owned_by_one(full: StudyFolder) -> None:
    second = open_folder(full.path)
    with full.claim("c9") as first_has, second.claim("c9") as second_has:
        assert first_has
        assert not second_has
    with second.claim("c9") as second_has:
        assert second_has


def test_only_an_owner_commits_and_only_plain_names_are_taken(full: StudyFolder) -> None:
    with pytest.raises(AssertionError, match="cohort c1 was not claimed"):
        full.commit_cohort("c1", {}, {}, {})
    reader = StudyFolder.read_only(full.path)
    with reader.claim("c1"), pytest.raises(AssertionError, match="opened for reading"):
        reader.drop_state("c1")
    with pytest.raises(ValueError, match=r"'\.\./c1' cannot be a cohort's id"):
        full.claim("../c1").__enter__()
    with pytest.raises(ValueError, match=r"'\.\./plan.json' cannot be the name of a text file"):
        full.write_text("../plan.json", "")


def test_two_checkpoints_are_kept_and_dropped(full: StudyFolder) -> None:
    states = [{"epoch": torch.tensor(k), "w": torch.full((3,), 0.1 * k)} for k in range(3)]
    cohort = full.path / "cohorts" / "c9"
    with full.claim("c9"):
        assert full.load_state("c9", data="d") is None
        for state in states:
            full.save_state("c9", state, data="d")
        loaded = full.load_state("c9", data="d")
        assert loaded is not None
        assert all(torch.equal(loaded[key], states[2][key]) for key in states[2])
        (cohort / "state").write_bytes((cohort / "state").read_bytes()[:-1])
        before = full.load_state("c9", data="d")
        assert before is not None
        assert before["epoch"] == 1
        assert [damage.path for damage in full.damages] == ["cohorts/c9/state"]
        full.drop_state("c9")
        assert full.load_state("c9", data="d") is None
    assert sorted(path.name for path in cohort.iterdir()) == ["lock"]
    assert [path.name for path in (full.path / "quarantine").iterdir()] == ["cohorts.c9.state.1"]


def test_a_checkpoint_serves_only_its_cohort_machine_and_data(full: StudyFolder) -> None:
    with full.claim("c8"), full.claim("c9"):
        full.save_state("c8", {"epoch": torch.tensor(1)}, data="d")
        stolen = (full.path / "cohorts" / "c8" / "state").read_bytes()
        (full.path / "cohorts" / "c9" / "state").write_bytes(stolen)
        assert full.load_state("c9", data="d") is None
        assert "belongs to another cohort" in str(full.damages[-1])
        assert full.load_state("c8", data="d") is not None
        assert full.load_state("c8", data="e") is None
    assert (full.state_data("c8"), full.state_data("c7")) == ({"d"}, set())
    other = {"bits": {"torch": "2.13", "cpu": "two"}, "info": {}}
    mixed = open_folder(full.path, fingerprint=other, allow_mixed=True)
    with mixed.claim("c8"):
        assert mixed.load_state("c8", data="d") is None
    with full.claim("c8"):
        assert full.load_state("c8", data="d") is not None


def test_a_commit_drops_the_checkpoints_also_those_left_by_a_kill(full: StudyFolder) -> None:
    with full.claim("c9"):
        full.save_state("c9", {"epoch": torch.tensor(1)}, data="d")
    left = (full.path / "cohorts" / "c9" / "state").read_bytes()
    commit_made(full, "c9", ["run_x"])
    assert not (full.path / "cohorts" / "c9" / "state").exists()
    (full.path / "cohorts" / "c9" / "state").write_bytes(left)
    with full.claim("c9"):  # at work: nothing of it is touched
        open_folder(full.path)
        assert (full.path / "cohorts" / "c9" / "state").exists()
    open_folder(full.path)
    assert not (full.path / "cohorts" / "c9" / "state").exists()


def test_texts_are_listed_and_may_change(full: StudyFolder) -> None:
    for text in ("one", "two", "two", "one"):
        full.write_text("plan.json", text)
        assert full.read_text("plan.json") == text
    assert full.read_text("other.json") is None
    assert full.verify() == []
    (full.path / "plan.json").write_text("three")
    assert full.read_text("plan.json") is None
    assert [damage.path for damage in full.verify()] == ["plan.json"]
    full.write_text("plan.json", "four")
    assert [damage.kept_at for damage in full.damages] == ["quarantine/plan.json.1"]
    assert full.verify() == []


def test_the_first_text_stays_while_it_is_whole(full: StudyFolder) -> None:
    assert [full.first_text("plan.json", text) for text in ("one", "two")] == ["one", "one"]
    (full.path / "plan.json").write_text("thr")
    assert full.first_text("plan.json", "two") == "two" == full.read_text("plan.json")
    assert [damage.kept_at for damage in full.damages] == ["quarantine/plan.json.1"]


def test_the_log_takes_lines_and_never_fails(full: StudyFolder) -> None:
    full.log("first\n")
    full.log("zweite Größe")
    log = full.path / "training.log"
    assert log.read_text(encoding="utf-8") == "first\nzweite Größe\n"
    log.unlink()
    log.mkdir()
    full.log("lost")


def test_a_damaged_cohort_is_withdrawn_and_computed_anew(full: StudyFolder) -> None:
    digest = full.canonical_digest()
    victim = full.path / "cohorts" / "c1" / "layers.parquet"
    victim.write_bytes(b"PAR1" + victim.read_bytes()[4:-1])
    reader = StudyFolder.read_only(full.path)
    assert set(reader.committed()) == {"c2", "c3"}
    assert victim.exists()
    assert "sha256 is" in str(reader.damages[0])
    assert full.table("runs")["run_id"].to_list() == ["run_c", "run_d", "run_e", "run_f"]
    assert [damage.kept_at for damage in full.damages] == ["quarantine/cohorts.c1.layers.parquet.1"]
    assert not victim.exists()
    later = StudyFolder.read_only(full.path)
    assert set(later.committed()) == {"c2", "c3"}
    assert later.damages == ()
    finish(full)
    assert full.canonical_digest() == digest
    assert full.verify() == []


def test_everything_damaged_is_kept(full: StudyFolder) -> None:
    victim = full.path / "cohorts" / "c2" / "runs.parquet"
    for text in (b"first", b"second"):
        victim.write_bytes(text)
        finish(full)
    kept = sorted((full.path / "quarantine").iterdir())
    assert [path.read_bytes() for path in kept] == [b"first", b"second"]


def test_what_a_dead_writer_left_is_removed_by_the_next_owner_only(full: StudyFolder) -> None:
    left = full.path / "cohorts" / "c2" / ".state.01234567.fathom-tmp"
    second = open_folder(full.path)
    with full.claim("c2"):
        left.touch()
        open_folder(full.path)
        with second.claim("c2"):
            assert left.exists()
    with second.claim("c2"):
        assert not left.exists()


def test_a_damaged_cohort_that_is_being_recomputed_is_left_to_its_owner(full: StudyFolder) -> None:
    victim = full.path / "cohorts" / "c2" / "epochs.parquet"
    victim.write_bytes(b"")
    second = open_folder(full.path)
    with second.claim("c2"):
        assert set(full.committed()) == {"c1", "c3"}
        assert victim.exists()
        assert full.damages == ()


def test_reading_while_others_write_shows_whole_cohorts_only(tmp_path: Path) -> None:
    writer = open_folder(tmp_path / "study")
    reader = StudyFolder.read_only(tmp_path / "study")
    truth = make_frames(sorted(ALL_RUNS))["layers"]
    worker = threading.Thread(target=finish, args=(writer,))
    worker.start()
    sizes = [0]
    while worker.is_alive() or sizes[-1] < len(ALL_RUNS):
        found = reader.tables("layers", "runs")
        ids = found["runs"]["run_id"].to_list()
        assert_frame_equal(found["layers"], truth.filter(pl.col("run_id").is_in(ids)))
        assert set(ids) in [{*a, *b, *c} for a in _parts(0) for b in _parts(1) for c in _parts(2)]
        sizes.append(len(ids))
    worker.join()
    assert sizes == sorted(sizes)
    assert reader.damages == ()


def _parts(index: int) -> list[tuple[str, ...]]:
    return [(), list(COHORTS.values())[index]]


def test_a_forged_manifest_does_not_reach_out_of_its_folder(full: StudyFolder) -> None:
    from fathom.store import manifest

    outside = full.path.parent / "precious.parquet"
    outside.write_text("mine")
    record = full.committed()["c1"]
    forged = record | {
        "files": record["files"] | {"../../../precious.parquet": {"sha256": "0" * 64}}
    }
    manifest.append(full.path / "manifest", forged)
    with pytest.raises(StoreError, match="records that this version of Fathom does not write"):
        full.committed()
    assert outside.read_text() == "mine"
