"""A command of the command line, called in this process."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import STUDY, Fathom, Outcome

from fathom.cli import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def fathom(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Fathom]:
    """Run a command in this process, which is quick."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path = list(sys.path)

    def call(*args: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fathom", *args])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), printed.out, printed.err)

    yield call
    sys.path[:] = path
    for number, handler in handlers.items():
        signal.signal(number, handler)
