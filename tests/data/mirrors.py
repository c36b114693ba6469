"""A mirror on the loopback interface that behaves as badly as its address says."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


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
