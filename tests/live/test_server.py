"""The server over real sockets: what it answers, to whom, and what it says of itself."""

import asyncio
import json
import re
import shutil
import socket
import time
from pathlib import Path

import pytest

from fathom.errors import FathomError
from fathom.live.guard import HEADERS
from fathom.live.server import Feed, serve
from fathom.live.sight import Sight
from live.conftest import Open
from live.folders import Reader, commit_next, next_event, next_of, young


def test_the_page_of_a_finished_study(open_page: Open, finished: Path) -> None:
    answer = open_page(finished).get()
    text = answer.read().decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>growing – Fathom</title>" in text
    for name, value in HEADERS.items():
        if name != "content-security-policy":
            assert answer.headers.get_all(name) == [value]
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    (policy,) = answer.headers.get_all("content-security-policy", [])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"('sha256-[\w+/=]{44}' ?){3}", rules["script-src"])
    (written,) = re.findall(r'content="(default-src [^"]+)"', text)
    assert policy == f"{written}; frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("GET", "/", {}, 403),
        ("GET", "/?token=wrong", {}, 403),
        ("GET", "/events", {}, 403),
        ("GET", "/nothing", {}, 403),
        ("GET", "/nothing?{token}", {}, 404),
        ("GET", "/events/?{token}", {}, 404),
        ("GET", "/manifest?{token}", {}, 404),
        ("GET", "/../manifest?{token}", {}, 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd?{token}", {}, 404),
        ("GET", "//evil.test/?{token}", {}, 404),
        ("GET", "/?{token}", {"Host": "evil.test"}, 403),
        ("GET", "/?{token}", {"Origin": "http://evil.test"}, 403),
        ("GET", "/?{token}", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("POST", "/?{token}", {}, 405),
        ("HEAD", "/", {}, 403),
        ("HEAD", "/nothing?{token}", {}, 404),
        ("OPTIONS", "/?{token}", {"Origin": "http://127.0.0.1:{port}"}, 405),
        ("DELETE", "/events?{token}", {}, 405),
    ],
)
def test_what_is_refused(
    open_page: Open,
    tmp_path: Path,
    method: str,
    target: str,
    headers: dict[str, str],
    status: int,
) -> None:
    reader = open_page(tmp_path / "s")
    headers = {name: text.replace("{port}", str(reader.port)) for name, text in headers.items()}
    answer = reader.ask(method, target.replace("{token}", reader.query), **headers)
    text = answer.read().decode()
    assert answer.status == status
    assert set(HEADERS) <= {name.lower() for name in answer.headers}
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert "Traceback" not in text
    assert reader.query.removeprefix("token=") not in text
    assert (answer.headers["allow"] == "GET, HEAD") is (status == 405)


@pytest.mark.parametrize("path", ["/", "/events"])
def test_head_is_answered_like_get_without_a_body(
    open_page: Open, finished: Path, path: str
) -> None:
    reader = open_page(finished)
    answer = reader.ask("HEAD", f"{path}?{reader.query}")
    assert answer.status == 200
    assert answer.read() == b""
    told = {name.lower(): text for name, text in answer.headers.items()}
    reader.close()
    wanted = {name.lower(): text for name, text in reader.get(path).headers.items()}
    reader.close()
    of_the_body = {"date", "content-length", "transfer-encoding"}
    assert {**told, **wanted}.keys() - told.keys() <= of_the_body
    assert all(told[name] == wanted[name] for name in wanted.keys() - of_the_body)


def test_a_fault_of_ours_is_told_and_not_repeated_at_once(
    open_page: Open, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the page's numbers are made by may fail; the reader's stream goes on."""
    made = 0

    def fail(*args: object, **options: object) -> dict[str, str]:
        nonlocal made
        made += 1
        raise ZeroDivisionError("of <theory>\n" + 300 * "x")

    monkeypatch.setattr("fathom.live.sight.data_elements", fail)
    reader = open_page(finished)
    events = reader.get("/events")
    told = next_event(events)
    assert told.name == "status"
    assert "the page could not be made anew (ZeroDivisionError: of <theory> xxx" in told.data
    assert len(told.data) < 300
    for _ in range(3):
        reader.close()
        assert next_event(reader.get("/events")) == told
    assert made == 1  # nothing has changed in the folder


def test_after_a_look_that_fails_there_is_a_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no one foresaw ends a reader's stream; readers that come back do not look at once."""
    looks = 0

    def fail(folder: Path, before: Sight) -> Sight:
        nonlocal looks
        looks += 1
        end_s = time.process_time() + 0.05
        while time.process_time() < end_s:
            pass
        raise SystemError("not foreseen")

    monkeypatch.setattr("fathom.live.server.look", fail)
    monkeypatch.setattr("fathom.live.server.REST", 10_000)

    async def come_back() -> None:
        feed = Feed(tmp_path)
        with pytest.raises(SystemError, match="not foreseen"):
            await feed.latest()
        for _ in range(5):
            assert await feed.latest() == (0, Sight())
        assert looks == 1
        feed.closing.set()  # the last data are looked for in any case
        with pytest.raises(SystemError, match="not foreseen"):
            await feed.latest()

    asyncio.run(come_back())


def test_a_committed_cohort_is_told(open_page: Open, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    young(finished, folder, 1)
    reader = open_page(folder)
    events = reader.get("/events", Accept="text/event-stream")
    assert events.headers["content-type"].startswith("text/event-stream")
    first = next_event(events)
    assert (first.name, first.data["title"]) == ("data", "growing")
    told = json.loads(first.data["elements"]["study"])
    assert len(told["runs"]["run_id"]) == 2
    assert next_event(events).data.startswith("2 of 4 runs have a result.")
    commit_next(finished, folder)
    second = next_event(events)
    assert second.name == "data"
    assert int(second.id) > int(first.id)
    assert len(json.loads(second.data["elements"]["study"])["runs"]["run_id"]) == 4
    assert next_event(events)[:2] == ("status", "4 of 4 runs have a result.")


def test_a_reader_that_comes_back_is_not_told_again(open_page: Open, finished: Path) -> None:
    reader = open_page(finished)
    known = next_event(reader.get("/events")).id
    reader.close()
    for value, expected in ((known, "status"), ("-1", "data"), ("1" * 5000, "data")):
        assert next_event(reader.get("/events", Last_Event_ID=value)).name == expected
        reader.close()


def test_before_the_first_result_there_is_a_page_that_waits(
    open_page: Open, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "<b>s"
    reader = open_page(folder)
    answer = reader.get()
    text = answer.read().decode()
    assert answer.status == 200
    assert "<h1>&lt;b&gt;s</h1>" in text
    assert "<b>" not in text
    events = reader.get("/events")
    assert "no results yet" in next_event(events).data
    young(finished, folder, 0)
    assert next_event(events).data.startswith("0 of 4 runs")
    commit_next(finished, folder)
    assert next_of(events, "data").data["title"] == "growing"
    assert next_of(events, "status").data.startswith("2 of 4 runs")
    shutil.rmtree(folder)
    assert "no results yet" in next_of(events, "status").data


def test_the_last_data_are_sent_when_it_closes(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    young(finished, folder, 1)
    service = serve(folder, poll_s=0.5)
    reader = Reader(service.address)
    events = reader.get("/events")
    assert next_of(events, "status").data.startswith("2 of 4")
    commit_next(finished, folder)
    service.close()
    assert next_event(events).name == "data"
    assert next_event(events).data == "4 of 4 runs have a result."
    assert next_event(events).name == "end"
    reader.close()
    with pytest.raises(ConnectionRefusedError):
        Reader(service.address).get()


def test_only_this_machine_is_listened_to(open_page: Open, tmp_path: Path) -> None:
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("the system does not list its sockets")
    port = open_page(tmp_path / "s").port
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


def test_two_servers_have_two_tokens(open_page: Open, tmp_path: Path) -> None:
    one, other = open_page(tmp_path / "a"), open_page(tmp_path / "a")
    assert one.query != other.query
    assert len(one.query) >= len("token=") + 32
    assert one.ask("GET", f"/?{other.query}").status == 403


def test_a_port_in_use_is_named(open_page: Open, tmp_path: Path) -> None:
    port = open_page(tmp_path / "s").port
    with pytest.raises(FathomError, match=f"--port {port}: cannot be used: Address already in use"):
        serve(tmp_path / "s", port)


def test_callers_that_never_finish_a_sentence_keep_nobody_out(
    open_page: Open, tmp_path: Path
) -> None:
    reader = open_page(tmp_path / "s")
    slow = [socket.create_connection(("127.0.0.1", reader.port)) for _ in range(200)]
    try:
        for caller in slow:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert reader.get().status == 200
    finally:
        for caller in slow:
            caller.close()
