"""An open page in a headless Chromium, for tests."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fathom.figures.frames import Frames
from fathom.report.page import render_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")


def render(frames: Frames, **options: Any) -> str:
    given = {"title": "t", "study_yaml": "", "facts": {}, "files": {}, "left_out": {}}
    return render_page(frames, **(given | options))


@dataclass
class Visit:
    """An open page and everything suspicious that happened on it."""

    page: Any
    problems: list[str] = field(default_factory=list)

    def open(self, path: Path, address: str = "") -> None:
        self.page.goto(f"file://{path}{address}")
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def visible_runs(self) -> list[str]:
        return list(
            self.page.eval_on_selector_all(
                "#table tbody tr:not([hidden])", "rows => rows.map(row => row.dataset.run)"
            )
        )

    def settle(self) -> None:
        """Let the page draw."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))"
        )


def run_id(frames: Frames, **settings: Any) -> str:
    return str(frames.runs.filter(**settings)["run_id"][0])


def traces(visit: Visit, selector: str) -> list[dict[str, Any]]:
    """Return what plotly drew in one chart."""
    program = """chart => JSON.stringify(
        chart.data.map(({type, name, x, y, z}) => ({type, name, x, y, z})))"""
    return list(json.loads(visit.page.eval_on_selector(selector, program)))
