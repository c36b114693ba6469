"""The fingerprint: the same here and now, another when something that decides bits is other."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fathom.store import fingerprint as module
from fathom.store.fingerprint import bits_difference, bits_digest, machine_fingerprint

PRINT = "from fathom.store.fingerprint import *; print(bits_digest(machine_fingerprint()))"


def test_it_holds_texts_only_and_repeats() -> None:
    found = machine_fingerprint()
    assert found == machine_fingerprint()
    assert set(found) == {"bits", "info"}
    assert all(isinstance(text, str) for part in found.values() for text in part.values())
    assert found["bits"]["torch"] == torch.__version__
    assert found["bits"]["cpu"]


def test_the_policy_on_denormals_is_part_of_it() -> None:
    old, new = machine_fingerprint(), machine_fingerprint(flush_denormal=True)
    assert bits_digest(old) != bits_digest(new)
    assert bits_difference(old, new) == ["flush_denormal: there 'false', here 'true'"]


def test_settings_that_choose_other_kernels_are_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    old = machine_fingerprint()
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    new = machine_fingerprint()
    assert bits_difference(old, new) == ["MKL_CBWR: there '', here 'COMPATIBLE'"]


def test_threads_and_information_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    old = bits_digest(machine_fingerprint())
    monkeypatch.setattr(module.platform, "python_version", lambda: "9.9")
    monkeypatch.setattr(module.os, "cpu_count", lambda: 99)
    assert bits_digest(machine_fingerprint()) == old


def test_a_machine_without_cpuinfo_has_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, **named: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert isinstance(machine_fingerprint()["bits"]["cpu"], str)


@pytest.mark.slow
def test_another_instruction_set_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for capability in ("", "default"):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)
        words = [sys.executable, "-c", PRINT]
        digests.add(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert len(digests) == 2
