"""The live page in a real, headless Chromium: it follows a study, the reader keeps his place."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fathom.live import server as server_module
from fathom.live.sight import Sight, look
from live.conftest import Open
from live.folders import STUDY, commit_next, wait_until, young

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    "--host-resolver-rules=MAP evil.test 127.0.0.1",
)
COMMAND = [sys.executable, "-c", "from fathom.cli import main; main()"]
# Counts what a careless second building would double.
CONTENT = """() => [document.body.innerText, document.querySelectorAll("body *").length,
    document.querySelectorAll("#table tbody tr").length,
    document.querySelectorAll("#filters .chip").length,
    document.querySelectorAll(".chart").length]"""


@dataclass
class Visit:
    """An open page and everything suspicious that happened on it."""

    page: Any
    problems: list[str] = field(default_factory=list)
    own: str = ""

    def open(self, port: int, query: str) -> None:
        self.own = f"http://127.0.0.1:{port}/"
        self.page.goto(f"{self.own}?{query}")

    def ready(self) -> None:
        self.page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)

    def shows(self, text: str, selector: str = "#live") -> None:
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)",
            arg=[selector, text],
            timeout=60_000,
        )

    def run_ids(self) -> list[str]:
        rows = "rows => rows.map(row => row.dataset.run)"
        return list(self.page.eval_on_selector_all("#table tbody tr:not([hidden])", rows))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    seen = Visit(page)

    def is_own(url: str) -> bool:
        return url.startswith(("data:", "blob:", "about:", seen.own or "?"))

    page.on(
        "console",
        lambda m: seen.problems.append(m.text) if m.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on("dialog", lambda dialog: (seen.problems.append("dialog"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: None if is_own(request.url) else seen.problems.append(request.url),
    )
    yield seen
    page.close()


def test_runs_appear_while_a_study_is_trained(
    visit: Visit, open_page: Open, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text(STUDY.replace("epochs: 2", "epochs: 300"))
    folder = tmp_path / "results" / "growing"
    log = folder / "training.log"
    reader = open_page(folder)
    visit.open(reader.port, reader.query)
    visit.shows("no results yet")
    command = ("run", "s.yaml", "--workers", "1", "--no-report", "--quiet")
    runner = subprocess.Popen([*COMMAND, *command], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: log.exists() and log.read_text().count(" starts\n") == 2)
        runner.send_signal(signal.SIGSTOP)  # while it trains the second cohort
        visit.ready()
        visit.shows("2 of 4 runs have a result. In training: 2 runs in 1 cohort, begun at")
        first = visit.run_ids()
        assert len(first) == 2
        visit.page.evaluate("window.same = true")
        visit.page.click(f'tr[data-run="{first[1]}"] td:nth-child(2)')
        runner.send_signal(signal.SIGCONT)
        visit.shows("4 of 4 runs have a result.")
        visit.shows("4 runs", "#count")
        assert runner.wait(60) == 0
    finally:
        runner.kill()
        runner.wait()
    visit.ready()
    assert visit.page.evaluate("window.same"), "the page was loaded anew"
    assert set(first) < set(visit.run_ids())
    assert len(visit.run_ids()) == 4
    chosen = visit.page.eval_on_selector_all(
        'tr[aria-selected="true"]', "rows => rows.map(row => row.dataset.run)"
    )
    assert chosen == [first[1]]
    assert visit.page.inner_text("#details-title") == "Selected run"
    assert visit.page.locator("#panels .chart").count() >= 5
    assert visit.problems == []


def test_the_reader_keeps_everything(
    visit: Visit, open_page: Open, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    young(finished, folder, 1)
    reader = open_page(folder)
    visit.open(reader.port, reader.query)
    visit.ready()
    page = visit.page
    page.click("#table tbody tr:nth-child(1) td:nth-child(2)")
    page.click('th[data-key="settings.activation"] button')
    page.select_option("#figure-choice select", "training_time")
    page.click('.chip[data-value="relu"]')
    page.fill("#search", "rel")
    page.evaluate("document.querySelector('#search').setSelectionRange(1, 2)")
    page.evaluate("document.querySelector('#table').scrollLeft = 40")
    page.evaluate("scrollTo(0, document.querySelector('#figures-title').offsetTop - 100)")
    place = "document.querySelector('#figures-title').getBoundingClientRect().top"
    before = (page.evaluate(place), page.evaluate("location.hash"))
    commit_next(finished, folder)
    visit.shows("of 4 runs", "#count")
    visit.ready()
    assert page.inner_text("#count") == "2 of 4 runs"
    assert (page.evaluate(place), page.evaluate("location.hash")) == pytest.approx(before, abs=1.5)
    assert page.evaluate("document.querySelector('#table').scrollLeft") == 40
    assert page.evaluate("[document.activeElement.id, document.activeElement.selectionStart]") == [
        "search",
        1,
    ]
    assert page.input_value("#search") == "rel"
    assert page.input_value("#figure-choice select") == "training_time"
    assert page.get_attribute('.chip[data-value="relu"]', "aria-pressed") == "true"
    assert page.get_attribute('th[data-key="settings.activation"]', "aria-sort") != "none"
    assert visit.problems == []


def test_building_twice_gives_the_same_page(visit: Visit, open_page: Open, finished: Path) -> None:
    reader = open_page(finished)
    visit.open(reader.port, reader.query)
    visit.ready()
    visit.shows("4 of 4")
    visit.page.click("#table tbody tr:nth-child(2) td:nth-child(2)")
    before = visit.page.evaluate(CONTENT)
    visit.page.evaluate("window.charts = [...document.querySelectorAll('#panels .chart')]")
    for _ in range(2):
        visit.page.evaluate("document.documentElement.removeAttribute('data-ready')")
        visit.page.evaluate("dispatchEvent(new Event('newdata'))")
        visit.ready()
    assert visit.page.evaluate(CONTENT) == before
    same = "window.charts.length > 4 && window.charts.every((chart) => chart.isConnected)"
    assert visit.page.evaluate(same), "the charts of a finished run were drawn again"
    visit.page.focus("#matrix button.cell")
    visit.page.keyboard.press("ArrowRight")
    cells = "[...document.querySelectorAll('#matrix button.cell')].indexOf(document.activeElement)"
    assert visit.page.evaluate(cells) == 1, "one key, one step"
    visit.page.evaluate("location.hash = ''")
    visit.shows("No run is selected.", "#selected")
    assert visit.problems == []


def test_texts_from_a_study_never_become_markup(
    visit: Visit, open_page: Open, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "</script><img src=x onerror=window.pwned=1><script>window.pwned=1</script>"
    turns = iter(range(1, 10_000))

    def odd(folder: Path, before: Sight) -> Sight:
        seen = look(folder, before)
        name = f"{hostile}{next(turns)}"
        study = seen.elements["study"].replace('"growing"', '"\\u003cimg src=y\\u003e"')
        return replace(
            seen, title=name, notes=(hostile,), elements={**seen.elements, "study": study}
        )

    monkeypatch.setattr(server_module, "look", odd)
    reader = open_page(finished)
    visit.open(reader.port, reader.query)
    visit.ready()
    visit.shows(hostile)
    (finished / "runs.json").touch()
    visit.page.wait_for_timeout(500)
    assert hostile in visit.page.title()
    assert visit.page.inner_text("#title") == "<img src=y>"
    assert visit.page.evaluate("window.pwned") is None
    assert visit.page.locator("body img").count() == 0
    assert visit.problems == []


def test_a_name_that_leads_here_is_refused(visit: Visit, open_page: Open, finished: Path) -> None:
    reader = open_page(finished)
    answer = visit.page.goto(f"http://evil.test:{reader.port}/?{reader.query}")
    assert answer.status == 403
    assert "growing" not in answer.text()


def test_another_page_of_this_machine_can_read_nothing(
    browser: Any, open_page: Open, finished: Path, tmp_path: Path
) -> None:
    one, other = open_page(finished), open_page(tmp_path / "s")
    context = browser.new_context(bypass_csp=True)  # so that nothing else forbids it
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{other.port}/?{other.query}")
    program = """async ([address, mode]) => {
        try { return (await (await fetch(address, { mode })).text()).length; }
        catch { return "refused"; }
    }"""
    read = [
        page.evaluate(program, [f"http://127.0.0.1:{asked.port}/?{asked.query}", mode])
        for asked, mode in ((other, "cors"), (one, "cors"), (one, "no-cors"))
    ]
    context.close()
    assert read[0] > 0, "its own server answers"
    assert set(read[1:]) <= {"refused", 0}


def test_the_end_is_told(visit: Visit, finished: Path) -> None:
    service = server_module.serve(finished, poll_s=0.05)
    port, query = service.address.removeprefix("http://127.0.0.1:").split("/?")
    visit.open(int(port), query)
    visit.ready()
    visit.shows("4 of 4")
    service.close()
    visit.shows("The command has ended; this page stays as it is.")
    visit.page.click("#table tbody tr:nth-child(1) td:nth-child(2)")
    assert visit.page.inner_text("#details-title") == "Selected run"
    assert visit.problems == []
