"""Downloads from mirrors that behave badly, all on the loopback interface."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirrors import Mirror

from fathom.data import download as network
from fathom.data.fetch import cache_folder, obtain
from fathom.errors import DataError

KEY = "train_images"


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
