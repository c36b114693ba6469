"""Requests made by chance, sane and insane: no answer is a fault, writes, or reveals anything."""

import random
import re
import socket
from pathlib import Path

import pytest

from live.conftest import Open
from live.folders import Reader, snapshot

ENOUGH = 1 << 20  # bytes of an answer; a page is longer, a stream of events never ends
METHODS = [
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"),
    *("get", "BREW", "", " ", "G\x00T", "GET" * 100, "é"),
]
PATHS = [
    *("/", "/events", "/events/", "//", "*", "", "manifest", "/manifest", "/runs.json"),
    *("/../manifest", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/....//etc/passwd"),
    *("/..\\..\\etc\\passwd", "/%00", "/\x00", "/%ff%fe", "/%", "/%zz", "/é", "/;a=b", "/#a"),
    *("http://127.0.0.1/", "http://evil.test/", "//evil.test/", "/" + "a" * 5_000),
]
QUERIES = ["?{token}", "", "?", "?{token}&{token}", "?{token}&a=1", "?token=", "?token=%", "?%ff"]
HOSTS = ["127.0.0.1:{port}", "localhost:{port}", "evil.test", "", "127.0.0.1", "[::1]:{port}"]
NAMES = [
    *("Origin", "Referer", "Range", "Accept", "Accept-Encoding", "Content-Length", "Expect"),
    *("Transfer-Encoding", "Upgrade", "Connection", "Last-Event-ID", "Sec-Fetch-Site", "Cookie"),
    *("Sec-Fetch-Mode", "Sec-Fetch-Dest", "X-Forwarded-Host", "If-None-Match", "Host", "X\x00", ""),
]
VALUES = [
    *("", "0", "-1", "1", "9" * 40, "none", "same-origin", "cross-site", "navigate", "document"),
    *("http://127.0.0.1:{port}", "http://evil.test", "null", "chunked", "gzip", "websocket"),
    *(
        "bytes=0-",
        "bytes=9-1",
        "keep-alive, Upgrade",
        "100-continue",
        "é\xff",
        "a\x00b",
        "x" * 9_000,
    ),
]
BODIES = [b"", b"", b"a=1", b"0\r\n\r\n", b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n"]


def sane_or_not(rng: random.Random, right: dict[str, str]) -> bytes:
    """Make a request of parts, most of which a browser would never send."""
    care = rng.choice([0.5, 0.8, 1.0])  # with it a part is right, so that some requests get through

    def one_of(parts: list[str], num_right: int) -> str:
        text = rng.choice(parts[:num_right] if rng.random() < care else parts)
        for name, value in right.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    version = one_of(["HTTP/1.1", "HTTP/1.0", "HTTP/9.9", ""], 1)
    line = f"{one_of(METHODS, 2)} {one_of(PATHS, 2)}{one_of(QUERIES, 1)} {version}"
    head = [line, f"Host: {one_of(HOSTS, 2)}"]
    head += [
        f"{rng.choice(NAMES)}: {one_of(VALUES, len(VALUES))}"
        for _ in range(rng.choice([0, 1, 1, 2, 9]))
    ]
    made = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + rng.choice(BODIES)
    return spoiled(rng, made) if rng.random() > max(care, 0.8) else made


def spoiled(rng: random.Random, request: bytes) -> bytes:
    """Put other bytes in place of a piece, or send chance alone."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(1, 200)) + b"\r\n\r\n"
    start = rng.randrange(len(request))
    end = start + rng.randrange(12)
    return request[:start] + rng.randbytes(rng.randrange(12)) + request[end:]


def answer_to(port: int, request: bytes) -> bytes:
    """Send a request and its end; read the answer, but not all of a stream that does not end."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as caller:
        try:
            caller.sendall(request)
            caller.shutdown(socket.SHUT_WR)
            while len(answer) < ENOUGH and b"text/event-stream" not in answer:
                piece = caller.recv(1 << 16)
                if not piece:
                    break
                answer += piece
        except ConnectionError:  # it need not hear all of what it refuses
            pass
    return answer


@pytest.fixture
def reader(open_page: Open, finished: Path) -> Reader:
    return open_page(finished)


@pytest.mark.parametrize(
    ("seed", "num_requests"), [(0, 1_000), pytest.param(1, 9_000, marks=pytest.mark.slow)]
)
def test_no_request_is_a_fault_writes_or_reveals(
    seed: int, num_requests: int, reader: Reader, finished: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(seed)
    token = reader.query.removeprefix("token=")
    right = {"token": reader.query, "port": str(reader.port)}
    before = snapshot(finished)
    seen: dict[int, int] = {}
    for _ in range(num_requests):
        request = sane_or_not(rng, right)
        answer = answer_to(reader.port, request)
        # One connection may carry several requests, and so several answers.
        for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE):
            seen[int(status)] = seen.get(int(status), 0) + 1
            assert 200 <= int(status) < 500 or status == b"100", request
        for secret in (str(finished.parent), token, "Traceback", "root:x:"):
            assert secret.encode() not in answer, request
        assert b"access-control" not in answer.lower(), request
    # The requests reach every kind of answer that there is.
    assert {200, 400, 403, 404, 405} <= seen.keys()
    assert snapshot(finished) == before
    assert reader.get().status == 200
    assert capfd.readouterr() == ("", "")  # no fault was told on the terminal either
