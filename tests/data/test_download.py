"""Downloads from mirrors that behave badly, all on the loopback interface."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fathom.data import download as network
from fathom.data.fetch import cache_folder, obtain
from fathom.errors import DataError

KEY = "train_images"


class Mirror(ThreadingHTTPServer):
    """Answers `/<behaviour>/<file>`; counts the requests by behaviour."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.closing = threading.Event()

    def address(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{behaviour}/"

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        _, behaviour, name = self.path.split("/")
        self.server.requests.append(behaviour)
        getattr(self, behaviour)(self.server.files[name])

    def answer(self, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def good(self, body: bytes) -> None:
        self.answer(body)

    def encoded(self, body: bytes) -> None:
        self.answer(body, Content_Encoding="gzip")

    def absent(self, _: bytes) -> None:
        self.send_error(404, "Not Found")

    def cut(self, body: bytes) -> None:
        self.answer(body[: len(body) // 2], length=len(body))

    def short(self, body: bytes) -> None:
        self.answer(body[: len(body) // 2])

    def wrong(self, body: bytes) -> None:
        content = bytearray(gzip.decompress(body))
        content[-1] ^= 1
        self.answer(bytes(content))

    def page(self, body: bytes) -> None:
        self.answer(b"<html>Please log in to this network</html>")

    def endless(self, body: bytes) -> None:
        self.answer(bytes(body[:1]) + bytes(10_000_000))

    def stall(self, body: bytes) -> None:
        self.answer(body[:10], length=len(body))
        self.server.closing.wait()

    def silent(self, _: bytes) -> None:
        self.server.closing.wait()

    def trickle(self, body: bytes) -> None:
        self.answer(b"", length=len(body))
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.closing.wait(0.05):
                break

    def loop(self, _: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def download(
    mirror: Mirror,
    register_tiny: Callable[..., Any],
    tiny_contents: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., bytes]:
    """Look for a file that only mirrors with the given behaviours have."""
    monkeypatch.setattr(network, "TIMEOUT_S", (0.3, 0.3))
    monkeypatch.setattr(network, "DEADLINE_S", 0.5)

    def run(*behaviours: str) -> bytes:
        tiny = register_tiny(tiny_contents, mirrors=tuple(map(mirror.address, behaviours)))
        mirror.files[f"{tiny.file(KEY).name}.gz"] = tiny.packed(KEY)
        return obtain(tiny.collection, tiny.file(KEY), [])

    return run


def cached() -> list[Path]:
    return sorted((cache_folder() / "tiny").glob("*"))


@pytest.mark.parametrize("behaviour", ["good", "encoded"])
def test_a_download_is_kept_and_not_repeated(
    behaviour: str,
    download: Callable[..., bytes],
    mirror: Mirror,
    tiny_contents: dict[str, bytes],
) -> None:
    assert download(behaviour) == tiny_contents[KEY]
    assert len(cached()) == 1  # and nothing half-written beside it
    assert download(behaviour) == tiny_contents[KEY]
    assert mirror.requests == [behaviour]


FAILURES = {
    "absent": "answered 404 Not Found",
    "cut": "the connection broke off before the end",
    "short": "the gzip archive ends too early",
    "wrong": "is damaged or another file: expected 496 bytes with sha256",
    "page": "is damaged or another file: expected 496 bytes with sha256",
    "endless": "sent more than the 66,032 bytes",
    "stall": "no answer within",
    "silent": "no answer within",
    "trickle": "not finished after 0.5 s",
    "loop": "redirects in a circle",
}


@pytest.mark.parametrize("behaviour", FAILURES)
def test_a_bad_mirror_is_named_and_nothing_is_kept(
    behaviour: str, download: Callable[..., bytes]
) -> None:
    with pytest.raises(DataError, match="found no good train-images-idx3-ubyte") as caught:
        download(behaviour)
    assert FAILURES[behaviour] in str(caught.value)
    assert f"/{behaviour}/train-images-idx3-ubyte.gz: " in str(caught.value)
    assert cached() == []


@pytest.mark.parametrize("behaviour", FAILURES)
def test_the_next_mirror_helps(
    behaviour: str, download: Callable[..., bytes], tiny_contents: dict[str, bytes]
) -> None:
    assert download(behaviour, "good") == tiny_contents[KEY]


def test_without_network_a_sentence_says_what_to_do(
    register_tiny: Callable[..., Any], tiny_contents: dict[str, bytes]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port on which nobody listens
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        tiny = register_tiny(tiny_contents, mirrors=(address, "http://name.invalid/"))
        with pytest.raises(DataError, match="found no good") as caught:
            obtain(tiny.collection, tiny.file(KEY), [])
    text = str(caught.value)
    assert f"{address}train-images-idx3-ubyte.gz: no connection" in text
    assert "http://name.invalid/train-images-idx3-ubyte.gz: no connection" in text
    assert "Put train-images-idx3-ubyte.gz, " in text


def test_a_cache_that_cannot_be_written_does_not_stop_the_work(
    download: Callable[..., bytes],
    tiny_contents: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache_folder().parent.mkdir()
    cache_folder().write_text("a file where the folder should be")
    assert download("good") == tiny_contents[KEY]
    assert "the download cannot be kept" in caplog.text


def test_a_damaged_file_of_the_cache_is_downloaded_again(
    download: Callable[..., bytes], mirror: Mirror, tiny_contents: dict[str, bytes]
) -> None:
    download("good")
    (path,) = cached()
    path.write_bytes(b"damage")
    assert download("good") == tiny_contents[KEY]
    assert mirror.requests == ["good", "good"]
    assert len(cached()) == 2  # the new file, and the damaged one under another name
