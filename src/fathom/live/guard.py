"""Who may see the page: whoever has the address with the token, through a browser of this machine.

Every request is refused unless all of this holds: it names this server as its host, so that no
name that an attacker lets point here will do; it reads; it does not come from another site's page;
it carries the token. No answer lets another site's page read it.
"""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NAMES: Final = ("127.0.0.1", "localhost")
METHODS: Final = ("GET", "HEAD")
HTTP_PORT: Final = 80

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: HTTPStatus
    reason: str


def refusal(scope: Scope, *, port: int, token: str) -> Refusal | None:
    """Judge a request.

    Args:
        scope: The request, as ASGI describes it.
        port: The server's. Browsers do not name port 80, which is that of every bare host.
        token: What the address must carry.

    Returns:
        Why it is refused; None if it may be answered.
    """
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    hosts = {f"{name}:{port}" for name in NAMES} | {*(NAMES if port == HTTP_PORT else ())}
    if len(found.get("host", [])) != 1 or found["host"][0].lower() not in hosts:
        return Refusal(HTTPStatus.FORBIDDEN, "this is another host's name")
    if scope["method"] not in METHODS:
        return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this page can only be read")
    if not {*found.get("origin", [])} <= {f"http://{host}" for host in hosts}:
        return Refusal(HTTPStatus.FORBIDDEN, "this comes from another site")
    if _is_foreign(found):
        return Refusal(HTTPStatus.FORBIDDEN, "this comes from another site")
    if not _has_token(scope["query_string"], token):
        return Refusal(HTTPStatus.FORBIDDEN, "open the whole address that fathom printed")
    return None


def _is_foreign(headers: dict[str, list[str]]) -> bool:
    """Tell whether another site's page asks; to follow a link in a page is no such question."""
    sites = {*headers.get("sec-fetch-site", [])}
    opened = headers.get("sec-fetch-mode") == ["navigate"]
    opened &= headers.get("sec-fetch-dest") == ["document"]
    return not sites <= {"none", "same-origin"} and not opened


def _has_token(query: bytes, token: str) -> bool:
    try:
        given = parse_qs(query.decode("ascii"), max_num_fields=8).get("token", [])
    except ValueError:
        return False
    return len(given) == 1 and secrets.compare_digest(given[0].encode(), token.encode())


def guarded(app: App, *, port: int, token: str) -> App:
    """Let only permitted requests through, and put the headers on every answer.

    Args:
        app: What answers them.
        port: The server's.
        token: What the address must carry.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                more = [(name.encode(), text.encode()) for name, text in HEADERS.items()]
                more = [(name, text) for name, text in more if name not in given]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        assert scope["type"] == "http", "neither web sockets nor lifespan are switched on"
        refused = refusal(scope, port=port, token=token)
        if refused is None:
            await app(scope, receive, send_with_headers)
        else:
            await _refuse(refused, send_with_headers)

    return answer


async def _refuse(refused: Refusal, send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if refused.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append((b"allow", ", ".join(METHODS).encode()))
    text = f"{refused.status.phrase}: {refused.reason}\n"
    await send({"type": "http.response.start", "status": refused.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
