"""Power cuts: whatever the disk may be left with, what was called saved is there and whole."""

import hashlib
import os
import random
from pathlib import Path

import pytest
import torch
from crash_disk import PLANTED, RecordedDisk, crash_image
from made_cohorts import COHORTS, commit_made, finish, make_frames, open_folder
from polars.testing import assert_frame_equal

from fathom.store import commit as commit_module
from fathom.store import manifest
from fathom.store.commit import make_folder
from fathom.store.results import StudyFolder

CONTENTS = {f"files/{k}": bytes([65 + k]) * (700 * k + 300) for k in range(4)}


def record_files(root: Path, patch: pytest.MonkeyPatch, plant: str = "") -> RecordedDisk:
    """Commit a few files and list each in a manifest, as the store does with a cohort."""
    root.mkdir()
    disk = RecordedDisk(root, patch)
    if plant:
        name, place, stand_in = PLANTED[plant]
        patch.setattr(place, name, stand_in)
    make_folder(root / "files")
    for name, data in CONTENTS.items():
        digest = commit_module.commit(root / name, data)
        manifest.append(root / "manifest", {"name": name, "sha256": digest})
        disk.acknowledge(name)
    return disk


def faults_of_image(image: Path, saved: set[str]) -> list[str]:
    records = manifest.read(image / "manifest").records
    listed = {record["name"]: record["sha256"] for record in records}
    faults = [f"{name} was saved and is forgotten" for name in saved - listed.keys()]
    for name, digest in listed.items():
        path = image / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            faults.append(f"{name} is listed and not whole")
    shown = (image / "files").glob("[!.]*")
    torn = [path for path in shown if path.read_bytes() != CONTENTS[f"files/{path.name}"]]
    return faults + [f"{path.name} shows half a file" for path in torn]


def faults_of_images(disk: RecordedDisk, tmp_path: Path, num_images: int) -> list[str]:
    faults = []
    for seed in range(num_images):
        rng = random.Random(seed)
        ops = disk.ops[: rng.randint(0, len(disk.ops))]
        image = tmp_path / f"image-{seed}"
        crash_image(ops, image, rng)
        faults += faults_of_image(image, {op.path for op in ops if op.kind == "saved"})
    return faults


def check_files(tmp_path: Path, patch: pytest.MonkeyPatch, num_images: int) -> None:
    with patch.context() as recording:
        disk = record_files(tmp_path / "disk", recording)
    assert faults_of_images(disk, tmp_path, num_images) == []


def test_saved_files_outlive_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_files(tmp_path, monkeypatch, 300)


@pytest.mark.slow
def test_saved_files_outlive_many_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_files(tmp_path, monkeypatch, 20_000)


@pytest.mark.parametrize("plant", PLANTED)
def test_a_step_left_out_shows_after_a_power_cut(
    plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as recording:
        disk = record_files(tmp_path / "disk", recording, plant)
    assert faults_of_images(disk, tmp_path, 100)


STATES = [{"epoch": torch.tensor(k)} for k in (1, 2, 3)]


def record_study(root: Path, patch: pytest.MonkeyPatch) -> RecordedDisk:
    """Run a small study: checkpoints of one cohort on the way, then all commits."""
    root.mkdir()
    disk = RecordedDisk(root, patch)
    folder = open_folder(root / "study")
    disk.acknowledge("open")
    with folder.claim("c3"):
        for state in STATES:
            folder.save_state("c3", state, data="d")
            disk.acknowledge(f"state {int(state['epoch'])}")
    folder.write_text("plan.json", "{}")
    for cohort_id in COHORTS:
        commit_made(folder, cohort_id)
        disk.acknowledge(cohort_id)
    return disk


def check_study(tmp_path: Path, patch: pytest.MonkeyPatch, num_images: int) -> None:
    with patch.context() as recording:
        disk = record_study(tmp_path / "disk", recording)
    digest = StudyFolder.read_only(tmp_path / "disk" / "study").canonical_digest()
    patch.setattr(os, "fsync", lambda descriptor: None)  # only the look at the images: faster
    for seed in range(num_images):
        rng = random.Random(seed)
        ops = disk.ops[: rng.randint(0, len(disk.ops))]
        image = tmp_path / f"study-{seed}"
        crash_image(ops, image, rng)
        saved = [op.path for op in ops if op.kind == "saved"]
        folder = open_folder(image / "study")
        check_reopened(folder, saved)
        folder.write_text("plan.json", "{}")
        finish(folder)
        assert folder.canonical_digest() == digest
        assert folder.verify() == []
        assert not list(image.rglob("*.fathom-tmp"))


def check_reopened(folder: StudyFolder, saved: list[str]) -> None:
    done = folder.committed()
    assert COHORTS.keys() & saved <= done.keys()
    runs = sorted(run_id for cohort_id in done for run_id in COHORTS[cohort_id])
    assert_frame_equal(folder.table("epochs"), make_frames(runs)["epochs"], check_exact=True)
    if "c3" not in done:  # else its checkpoints are of no use any more
        with folder.claim("c3"):
            state = folder.load_state("c3", data="d")
        epoch = 0 if state is None else int(state["epoch"])
        assert epoch >= max((int(what[6:]) for what in saved if what[:5] == "state"), default=0)
    # A record may be torn, being appended to a file; nothing else may.
    assert {damage.path for damage in folder.damages} <= {"manifest"}


def test_a_study_goes_on_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_study(tmp_path, monkeypatch, 25)


@pytest.mark.slow
def test_a_study_goes_on_after_many_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_study(tmp_path, monkeypatch, 600)
