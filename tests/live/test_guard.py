"""Who is let in: every combination of what a request can say, and nothing else than the rule."""

from itertools import product

import pytest

from fathom.live.guard import refusal

PORT, TOKEN = 4321, "right-token"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"]
OWN_HOSTS = ["127.0.0.1:4321", "localhost:4321", "LOCALHOST:4321"]
HOSTS: list[str | None] = [
    *OWN_HOSTS,
    *(None, "", "127.0.0.1", "localhost", "127.0.0.1:80", "evil.test:4321", "evil.test"),
    *("127.0.0.1:4321.evil.test", "localhost:4321@evil.test", "[::1]:4321", "0.0.0.0:4321"),
]
# What a browser says of where a request comes from, and whether that is no other site's doing.
ORIGINS: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"sec-fetch-site": "none"}, True),
    ({"sec-fetch-site": "same-origin"}, True),
    ({"origin": "http://127.0.0.1:4321"}, True),
    ({"origin": "http://127.0.0.1:8888"}, False),
    ({"origin": "http://evil.test"}, False),
    ({"origin": "null"}, False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),
    ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, False),
    (
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },
        True,
    ),
    (
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        False,
    ),
]
QUERIES = [
    (b"token=right-token", True),
    (b"a=1&token=right-token", True),
    (b"", False),
    (b"token=", False),
    (b"token=right-toke", False),
    (b"token=Right-token", False),
    (b"token=right-token&token=wrong", False),
    (b"token=%ff", False),
    (b"\xfftoken=right-token", False),
    (b"&".join([b"a=1"] * 50) + b"&token=right-token", False),
]


def judge(method: str, host: str | None, origin: dict[str, str], query: bytes) -> int:
    headers = [] if host is None else [(b"host", host.encode())]
    headers += [(name.encode(), text.encode()) for name, text in origin.items()]
    scope = {"type": "http", "method": method, "headers": headers, "query_string": query}
    refused = refusal(scope, port=PORT, token=TOKEN)
    return 200 if refused is None else refused.status.value


def test_exactly_the_allowed_requests_pass() -> None:
    for method, host, (origin, own), (query, right) in product(METHODS, HOSTS, ORIGINS, QUERIES):
        allowed = method in ("GET", "HEAD") and host in OWN_HOSTS and own and right
        answer = judge(method, host, origin, query)
        assert (answer == 200) is allowed, (method, host, origin, query)
        if host in OWN_HOSTS and method not in ("GET", "HEAD"):
            assert answer == 405
        elif not allowed:
            assert answer == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost", "127.0.0.1:80"])
def test_on_port_80_a_host_without_port_is_ours(host: str) -> None:
    """A browser leaves out the port that the scheme has by itself."""
    for port, allowed in ((80, True), (4321, False), (8080, False)):
        headers = [(b"host", host.encode()), (b"origin", f"http://{host.lower()}".encode())]
        scope = {"method": "GET", "headers": headers, "query_string": b"token=right-token"}
        assert (refusal(scope, port=port, token=TOKEN) is None) is allowed


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "127.0.0.1:8080", "[::1]"])
def test_on_port_80_other_hosts_are_not(host: str) -> None:
    headers = [(b"host", host.encode())]
    scope = {"method": "GET", "headers": headers, "query_string": b"token=right-token"}
    assert refusal(scope, port=80, token=TOKEN) is not None


def test_two_hosts_are_one_too_many() -> None:
    headers = [(b"host", b"127.0.0.1:4321"), (b"host", b"evil.test")]
    scope = {"method": "GET", "headers": headers, "query_string": b"token=right-token"}
    refused = refusal(scope, port=PORT, token=TOKEN)
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize("token", ["", "é", "x" * 10_000])
def test_other_tokens(token: str) -> None:
    assert judge("GET", OWN_HOSTS[0], {}, f"token={token}".encode()) == 403
