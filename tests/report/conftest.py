"""Fixtures of the page's tests: a browser, a study of 192 runs, its page."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from page_visit import CHROMIUM, QUIET, Visit, render

from fathom.figures.frames import Frames
from made_frames import study


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start one for each file: Playwright allows one at a time, and other tests have their own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    seen = Visit(page)
    page.on(
        "console",
        lambda m: seen.problems.append(m.text) if m.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on(
        "dialog",
        lambda dialog: (seen.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "blob:"))
            else seen.problems.append(f"request: {request.url}")
        ),
    )
    yield seen
    page.close()


@pytest.fixture(scope="session")
def frames() -> Frames:
    """Make 192 runs, of which three have no test accuracy."""
    made = study(epochs=12)
    unknown = pl.col("run_id").is_in(made.runs["run_id"][70:73].implode())
    accuracy = pl.when(unknown).then(float("nan")).otherwise(pl.col("test_accuracy"))
    return replace(made, epochs=made.epochs.with_columns(test_accuracy=accuracy))


@pytest.fixture(scope="session")
def report(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(frames, title="deep-mlp", facts={"finished": "today"}), encoding="utf-8")
    return path
