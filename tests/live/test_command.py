"""The commands `live` and `run --live` as a user meets them."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from command import Fathom
from fathom.live import beside
from live.folders import STUDY, Reader, next_event, next_of, wait_until

COMMAND = [sys.executable, "-c", "from fathom.cli import main; main()"]


def start(*args: str, **settings: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )


def address_in(text: str) -> str:
    found = re.search(r"^live page: (http://127\.0\.0\.1:\d+/\?token=[\w-]{32,})$", text, re.M)
    assert found is not None, text
    return found[1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once(tmp_path: Path, number: int, code: int) -> None:
    started_s = time.monotonic()
    process = start("live", str(tmp_path / "s"))
    assert process.stdout is not None
    address = address_in(process.stdout.readline())
    ready_s = time.monotonic() - started_s
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
    reader = Reader(address)
    assert next_event(reader.get("/events")).name == "status"
    begun_s = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert time.monotonic() - begun_s < ready_s
    assert (out, "Traceback" in err) == ("", False)
    assert f"{tmp_path / 's'} is not there yet; the page waits for it" in err
    assert "Stopped." in err
    reader.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [("live", "results/s"), ("run", "s.yaml", "--live")])
def test_a_missing_package_is_named_before_anything_is_done(
    fathom: Fathom, here: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.setattr(beside, "find_spec", lambda name: None)
    outcome = fathom(*verb)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "the live page needs starlette and uvicorn, not installed here; "
        "pip install starlette uvicorn\n"
    )
    assert [path.name for path in here.iterdir()] == ["s.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["."], "is not a results folder"),
        (["s.yaml"], "s.yaml: cannot be read: Not a directory"),
        (["results", "--port", "0"], "--port"),
        (["results", "--port", "65536"], "--port"),
    ],
)
def test_mistakes(here: Path, args: list[str], told: str) -> None:
    (here / "s.yaml").touch()
    process = start("live", *args, cwd=here)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_page_beside_the_training(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 200"))
    options = ("--live", "--workers", "1", "--json", "--no-report")
    process = start("run", "s.yaml", *options, cwd=tmp_path)
    assert process.stderr is not None
    wait_until((tmp_path / "results" / "growing" / "training.log").exists)
    process.send_signal(signal.SIGSTOP)  # the page is another process and answers all the same
    reader = Reader(address_in(process.stderr.readline()))
    events = reader.get("/events")
    assert re.match("[02] of 4 runs have a result.", next_of(events, "status").data)
    process.send_signal(signal.SIGCONT)
    told = ""
    while (event := next_event(events)).name != "end":
        if event.name == "status":
            told = event.data
    out, err = process.communicate(timeout=120)
    assert told == "4 of 4 runs have a result."
    assert (process.returncode, err) == (0, "")
    assert out.startswith('{"study": "growing"')
    reader.close()


@pytest.mark.slow
def test_a_killed_training_takes_its_page_along(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 100000"))
    process = start("run", "s.yaml", "--live", "--workers", "1", "--json", cwd=tmp_path)
    assert process.stderr is not None
    reader = Reader(address_in(process.stderr.readline()))
    answer = reader.get()
    assert answer.status == 200
    answer.read()
    reader.close()
    process.kill()
    assert process.wait() == -signal.SIGKILL

    def is_gone() -> bool:
        with contextlib.closing(socket.socket()) as caller:
            return caller.connect_ex(("127.0.0.1", reader.port)) != 0

    wait_until(is_gone)
    assert process.communicate() == ("", "")
