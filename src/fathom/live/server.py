"""The page of a running study, served to this machine alone; new results come as events.

The page is the report's, with one more program, which puts new data in place of the old. Events are
`data` (the page's data elements), `status` (a sentence) and `end`.
"""

import asyncio
import html
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from fathom.errors import FathomError
from fathom.live.guard import App, guarded
from fathom.live.sight import Mark, Sight, look, mark, status
from fathom.report.page import assemble, fill, page_policy

HOST: Final = "127.0.0.1"
POLL_S: Final = 1.0
REST: Final = 4  # times what a look cost, so that training keeps at least 4/5 of a core
ALIVE_S: Final = 15.0  # a sign now and then: a reader who is gone is noticed
CLOSING_S: Final = 10  # for the last data to be sent


@final
class Feed:
    """What all open pages are told: read once for all, and only while somebody asks.

    Args:
        folder: The results folder.
        poll_s: Time between two looks at whether something changed.

    Attributes:
        version: Grows with every change of the data.
        closing: Set when the last data are to be sent; readers are then dismissed.
    """

    def __init__(self, folder: Path, poll_s: float = POLL_S) -> None:
        self.folder = folder
        self.poll_s = poll_s
        self.version = 0
        self.closing = threading.Event()
        self._sight = Sight()
        self._mark: Mark | None = None
        self._rest_until_s = 0.0
        self._lock = asyncio.Lock()

    async def latest(self) -> tuple[int, Sight]:
        """Return the version and what there is to see, as new as reading sparingly allows."""
        async with self._lock:
            now = mark(self.folder)
            rested = time.monotonic() >= self._rest_until_s or self.closing.is_set()
            if now != self._mark and rested:
                await self._look(now)
            return self.version, self._sight

    async def _look(self, now: Mark) -> None:
        # Computing time, for training may leave us little of the clock's.
        started_s = time.process_time()
        try:
            seen = await asyncio.to_thread(look, self.folder, self._sight)
        finally:  # however it ends, or the next reader would look again at once
            self._rest_until_s = time.monotonic() + REST * (time.process_time() - started_s)
        if seen.elements != self._sight.elements:
            self.version += 1
        self._sight, self._mark = seen, now


async def messages(feed: Feed, known: int | None) -> AsyncIterator[str]:
    """Yield server-sent events until the feed closes.

    Args:
        feed: What there is to tell.
        known: Version of the data that the reader has.
    """
    told, last_s = "", time.monotonic()
    while True:
        last_round = feed.closing.is_set()
        version, sight = await feed.latest()
        if sight.elements and version != known:
            known = version
            data = {"title": sight.title, "elements": dict(sight.elements)}
            yield _event("data", data, version)
        text = await asyncio.to_thread(status, feed.folder, sight)
        if text != told:
            told = text
            yield _event("status", text)
        if last_round:
            yield _event("end", "")
            return
        if time.monotonic() - last_s >= ALIVE_S:
            last_s = time.monotonic()
            yield ": still here\n\n"
        await asyncio.sleep(feed.poll_s)


def _event(name: str, data: object, version: int | None = None) -> str:
    head = "" if version is None else f"id: {version}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n"


def make_app(feed: Feed, *, port: int, token: str) -> App:
    """Make the application: the page at `/`, its events at `/events`, nothing else.

    Args:
        feed: What there is to tell.
        port: The port that it is served at.
        token: What the address must carry.
    """
    program = _text("live.js")
    policy = page_policy([program], connects=True)

    async def page(request: Request) -> Response:
        _, sight = await feed.latest()
        if sight.elements:
            text = await asyncio.to_thread(
                assemble, sight.elements, title=sight.title, more_scripts=[program], policy=policy
            )
        else:
            title = html.escape(sight.title or feed.folder.name)
            text = fill(_text("waiting.html"), policy=policy, title=title, program=program)
        framed = f"{policy}; frame-ancestors 'none'"
        return HTMLResponse(text, headers={"content-security-policy": framed})

    async def events(request: Request) -> Response:
        if request.method == "HEAD":  # its answer has no body, and so would have no end
            return Response(media_type="text/event-stream")
        known = request.headers.get("last-event-id", "")
        version = int(known) if re.fullmatch("[0-9]{1,9}", known) else None
        return StreamingResponse(messages(feed, version), media_type="text/event-stream")

    app = Starlette(routes=[Route("/", page), Route("/events", events)])
    app.router.redirect_slashes = False
    return guarded(app, port=port, token=token)


def _text(name: str) -> str:
    return (files("fathom.live") / name).read_text(encoding="utf-8")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A page that is being served.

    Attributes:
        address: With the token.
    """

    address: str
    _feed: Feed
    _server: uvicorn.Server
    _thread: threading.Thread

    def wait(self) -> None:
        """Wait until it ends, which it does by itself only after a fault."""
        while self._thread.is_alive():
            self._thread.join(1.0)  # a signal is answered in between, whatever the platform

    def close(self) -> None:
        """Send the last data to the open pages and end."""
        self._feed.closing.set()
        self._server.should_exit = True
        self._thread.join()


def serve(folder: Path, port: int = 0, poll_s: float = POLL_S) -> Service:
    """Begin to serve a study's page on the loopback device, in a thread of its own.

    The main thread stays free for signals.

    Args:
        folder: The results folder; it need not exist yet.
        port: The port; 0 for any that is free.
        poll_s: Time between two looks at whether something changed.

    Raises:
        FathomError: If the port cannot be had.
    """
    listening = _listen(port)
    port = listening.getsockname()[1]
    token = secrets.token_urlsafe(32)
    feed = Feed(folder, poll_s)
    config = uvicorn.Config(
        make_app(feed, port=port, token=token),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSING_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    address = f"http://{HOST}:{port}/?token={token}"
    return Service(address=address, _feed=feed, _server=server, _thread=thread)


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise FathomError(
            f"--port {port}: cannot be used: {error.strerror}; choose another, or leave it out for "
            "one that is free"
        ) from error
    return listening
