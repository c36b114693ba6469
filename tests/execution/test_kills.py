"""Kill -9 at any moment, then the same command again: the same bits as without any kill."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NUM_KILLS = 30
SEED = 20_261_122
STUDY = """\
data: {name: digits, limit: 256}
activation: [relu, tanh, gelu, sigmoid]
model: {depth: [1, 2, 3], width: 16}
train: {epochs: 20, lr: 0.1, optimizer: {name: sgd, momentum: 0.9}}
record: {probe_size: 64}
seeds: 2
"""
COMMAND = [sys.executable, "-c", "from fathom.cli import main; main()", "run", "study.yaml"]
COMMAND += ["--checkpoint-every", "0", "--workers", "2", "--no-report", "--json"]


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        COMMAND,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(folder: Path) -> str:
    """Run to the end and return the canonical digest."""
    process = start(folder)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    summary = json.loads(out)
    assert (summary["runs"], summary["missing"]) == (24, [])
    return str(summary["digest"])


def wait_for_training(process: subprocess.Popen[str], log: Path, lines: int) -> None:
    """Wait until a cohort is trained that the log did not know yet, or the command is over."""
    while process.poll() is None and _num_lines(log) <= lines:
        time.sleep(0.005)


def _num_lines(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def measure(folder: Path) -> tuple[str, float]:
    """Run without interruption; return the digest, and how long training and saving took."""
    process = start(folder)
    wait_for_training(process, folder / "results/study/training.log", 0)
    began = time.monotonic()
    process.communicate(timeout=200)
    return finish(folder), time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_thirty_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    folders = [tmp_path / str(number) for number in range(NUM_KILLS + 1)]
    for folder in folders:
        folder.mkdir()
        (folder / "study.yaml").write_text(STUDY)
    whole, span_s = measure(folders.pop())
    kills = equal = num_studies = went_on = 0
    while kills < NUM_KILLS:
        folder = folders.pop()
        log = folder / "results/study/training.log"
        killed_here = 0
        while kills < NUM_KILLS:
            process = start(folder)
            if chance.random() < 0.8:  # else any moment will do, such as in the middle of an import
                wait_for_training(process, log, _num_lines(log))
            time.sleep(chance.uniform(0, span_s / 3))
            if process.poll() is not None:
                process.communicate()
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills, killed_here = kills + 1, killed_here + 1
        num_studies += 1
        equal += killed_here if finish(folder) == whole else 0
        went_on += log.read_text().count("goes on after epoch")
    with capsys.disabled():
        print(
            f"\n{equal} of {kills} kills (-9) gave the same bits; {num_studies} studies, "
            f"{went_on} cohorts went on from a saved state"
        )
    assert equal == kills == NUM_KILLS
    assert went_on > 0, "no kill hit a cohort in training: this test would not have seen anything"
