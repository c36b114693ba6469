"""Results folders at a moment of their growth, and a reader of server-sent events."""

import hashlib
import http.client
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

STUDY = """\
name: growing
data: {name: digits, limit: 128}
activation: [relu, tanh]
model: {depth: [1, 2], width: 8}
train: {epochs: 2, lr: 0.1}
record: {probe_size: 32}
"""


def cohort_lines(finished: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of a manifest: of cohorts, and what comes before the first of them."""
    lines = (finished / "manifest").read_bytes().splitlines(keepends=True)
    cohorts = [line for line in lines if b'"kind":"cohort"' in line]
    return cohorts, [line for line in lines if line not in cohorts]


def young(finished: Path, folder: Path, num_cohorts: int) -> None:
    """Copy a finished folder as it was when so many of its cohorts were committed."""
    shutil.copytree(finished, folder)
    cohorts, others = cohort_lines(finished)
    (folder / "manifest").write_bytes(b"".join(others + cohorts[:num_cohorts]))


def commit_next(finished: Path, folder: Path) -> None:
    """Commit one more cohort to a young folder, as a runner does: its record last."""
    known = (folder / "manifest").read_bytes()
    line = next(line for line in cohort_lines(finished)[0] if line not in known)
    with (folder / "manifest").open("ab") as manifest:
        manifest.write(line)


def snapshot(folder: Path) -> dict[str, str]:
    """Return the hash of each file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.02)


class Event(NamedTuple):
    name: str
    data: Any
    id: str


class Reader:
    """A browser's side of an address, without the browser."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname is not None
        self.query = parts.query
        self.port = parts.port or 0
        self.connection = http.client.HTTPConnection(parts.hostname, self.port, timeout=60)

    def get(self, path: str = "/", **headers: str) -> http.client.HTTPResponse:
        return self.ask("GET", f"{path}?{self.query}", **headers)

    def ask(self, method: str, target: str, **headers: str) -> http.client.HTTPResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.connection.request(method, target, headers=named)
        return self.connection.getresponse()

    def close(self) -> None:
        self.connection.close()


def next_event(answer: http.client.HTTPResponse) -> Event:
    """Read an event; passes over comments."""
    fields = {"id": "", "event": "", "data": "null"}
    while True:
        line = answer.readline().decode()
        assert line, "the server closed the connection"
        if line == "\n" and fields["event"]:
            return Event(fields["event"], json.loads(fields["data"]), fields["id"])
        name, _, text = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = text


def next_of(answer: http.client.HTTPResponse, name: str) -> Event:
    """Read events up to one of this name."""
    while True:
        event = next_event(answer)
        if event.name == name:
            return event
