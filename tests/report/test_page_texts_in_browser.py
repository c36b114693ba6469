"""In a real browser: no text in the page becomes more than text."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from page_visit import IN_BROWSER, Visit, render

from fathom.figures.frames import Frames
from fathom.report import page as page_module
from made_frames import study

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = IN_BROWSER

PAYLOADS = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "<!--<script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg/onload=window.pwned=1>",
    "\"><img src='//evil.test/x'>",
    "' onmouseover='window.pwned=1",
    "<a href='javascript:window.pwned=1'>x</a>",
    "{{program}}{{study}}",
    "<style>*{display:none}</style>",
    "<b>bold</b><br><sup>1</sup>&lt;img&gt;",
    "\u2028\u2029\\u003cimg src=x onerror=window.pwned=1\\u003e",
)


def hostile_study() -> tuple[Frames, dict[str, Any]]:
    """Put a payload into every text that a study can hold."""
    few = PAYLOADS[:4]
    frames = study(activations=PAYLOADS, inits=few, depths=(2,), epochs=1)
    count = frames.runs.height
    texts = [PAYLOADS[index % len(PAYLOADS)] for index in range(count)]
    runs = frames.runs.with_columns(
        name=pl.Series([f"{text} {index}" for index, text in enumerate(texts)]),
        reason=pl.Series(texts),
        outcome=pl.Series([[*PAYLOADS, "diverged"][index % 13] for index in range(count)]),
    ).with_columns(pl.col("seed").cast(pl.String).alias(PAYLOADS[3]))
    around = {
        "title": " ".join(PAYLOADS),
        "study_yaml": "\n".join(PAYLOADS),
        "facts": {payload: payload for payload in PAYLOADS},
        "files": {"loss_curves": list(PAYLOADS)},
        "left_out": {payload: payload for payload in PAYLOADS},
    }
    frames = replace(frames, runs=runs, settings=(*frames.settings, PAYLOADS[3]))
    return replace(
        frames,
        predictions=frames.predictions.filter(pl.col("run_id") != runs["run_id"][0]),
        obstacles=dict.fromkeys(runs["run_id"], " ".join(PAYLOADS)),
    ), around


def intrusions(visit: Visit, path: Path) -> list[str]:
    """Open a page, use it, and name every sign that a text became more than text."""
    visit.page.goto(f"file://{path}")
    visit.page.wait_for_timeout(300)
    for action in ("#table tbody tr td:nth-child(2)", "#table tbody tr:nth-child(3) input"):
        if visit.page.locator(action).count():
            visit.page.locator(action).first.dispatch_event("click")
    try:
        visit.page.wait_for_selector("html[data-ready]", state="attached", timeout=4_000)
        visit.settle()
    except sync_api.TimeoutError:
        visit.problems.append("the page never became ready")
    found = list(visit.problems)
    if visit.page.evaluate("window.pwned !== undefined"):
        found.append("a script ran")
    strange = visit.page.eval_on_selector_all(
        "body img, body style, body iframe, body b, body a[href^='javascript:'], #facts script",
        "all => all.map(element => element.outerHTML.slice(0, 80))",
    )
    return found + [f"element: {text}" for text in strange]


def test_texts_from_a_study_never_become_markup(visit: Visit, tmp_path: Path) -> None:
    frames, around = hostile_study()
    path = tmp_path / "report.html"
    path.write_text(render(frames, **around), encoding="utf-8")
    assert intrusions(visit, path) == []
    assert visit.page.inner_text("#title").split() == " ".join(PAYLOADS).split()
    assert PAYLOADS[0] in visit.page.inner_text("#table")
    assert PAYLOADS[2] in visit.page.inner_text("#selected")
    legend = visit.page.locator("#figure .legendtext").all_text_contents()
    assert "<b>bold</b><br><sup>1</sup>&lt;img&gt;" in legend
    assert PAYLOADS[0] in visit.page.inner_text("#forecast")
    visit.open(path, "#figure=prediction_scatter")
    program = "chart => chart.data.flatMap(({text}) => text ?? [])"
    labels = visit.page.eval_on_selector("#figure .chart", program)
    assert len(labels) > 0
    assert not any(set(label) & set("<>") for label in labels)


TEMPLATES = ("%{y}", "%{x}", "%{text}")  # what plotly would put a number in place of
HOVERED = """async (names) => {
  const told = {};
  for (const chart of document.querySelectorAll(".chart")) {
    for (const [curve, trace] of (chart._fullData ?? []).entries()) {
      const key = [trace.mode ?? trace.type, trace.name];
      if (!names.includes(trace.name) || told[key]) continue;
      const where = trace.type === "heatmap" ? {xval: trace.x[0], yval: trace.y[0]}
        : [{curveNumber: curve, pointNumber: 0}];
      Plotly.Fx.hover(chart, where, [trace.xaxis + trace.yaxis]);
      await new Promise((done) => setTimeout(done, 150));  // plotly shows twenty a second at most
      const shown = [...chart.querySelectorAll(".hovertext")].map((found) => found.textContent);
      told[key] = [...key, shown.join(" ")];
    }
  }
  return Object.values(told);
}"""


def test_names_are_no_templates(visit: Visit, tmp_path: Path) -> None:
    """Under the pointer a name is told as it is written: of lines, points and heat-maps."""
    frames = study(activations=TEMPLATES, inits=("he",), depths=(2,), epochs=3, odd=False)
    path = tmp_path / "report.html"
    path.write_text(render(frames), encoding="utf-8")
    told: dict[str, set[str]] = {}
    for figure in ("loss_curves", "prediction_scatter"):
        visit.open(path, f"#figure={figure}&runs={','.join(frames.runs['run_id'])}")
        visit.settle()
        for kind, name, shown in visit.page.evaluate(HOVERED, TEMPLATES):
            assert name in shown, (figure, kind)
            told.setdefault(kind, set()).add(name)
    assert told.keys() >= {"lines", "markers", "heatmap"}
    assert all(names == {*TEMPLATES} for names in told.values())
    assert visit.problems == []


MARKS = ("\u202e", "\u2066", "\u200f", "\u200b")


def test_direction_marks_and_dollars_are_seen_and_turn_nothing(
    visit: Visit, tmp_path: Path
) -> None:
    """A name that would be read backwards, or as a formula, is written out."""
    names = [f"a{mark}gnp.exe" for mark in MARKS] + ["$x^2$", "a_{b}$", "\\frac12"]
    frames = study(activations=names, inits=("he",), depths=(2,), epochs=1, odd=False)
    path = tmp_path / "report.html"
    path.write_text(render(frames, title="t\u202etxt.x"), encoding="utf-8")
    visit.open(path, f"#runs={','.join(frames.runs['run_id'][:6])}")
    visit.settle()
    text = visit.page.inner_text("body")
    drawn = " ".join(visit.page.locator("svg text").all_text_contents())
    assert not any(mark in text + drawn for mark in MARKS)
    for told in ("a⟨U+202E⟩gnp.exe", "a⟨U+200B⟩gnp.exe", "$x^2$", "a_{b}$"):
        assert told in text
        assert told in drawn
    assert visit.page.inner_text("#title") == "t⟨U+202E⟩txt.x"
    visit.page.click(
        ".chip >> nth=0"
    )  # what is shown differs from the value, what is meant does not
    assert visit.page.locator("#table tbody tr").count() == 1
    assert visit.page.locator(".MathJax, mjx-container").count() == 0
    assert visit.problems == []


def test_the_same_check_notices_unescaped_json(visit: Visit, tmp_path: Path) -> None:
    frames, around = hostile_study()
    text = render(frames, **around).replace("\\u003c", "<").replace("\\u003e", ">")
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    assert intrusions(visit, path) != []


def test_the_same_check_notices_markup_made_by_the_program(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = page_module._asset

    def careless(name: str) -> str:
        text = original(name)
        if name == "dom.js":
            assert "made.append(...children);" in text
            careless_line = (
                "for (const c of children) c.nodeType ? made.append(c) : made.innerHTML += c;"
            )
            text = text.replace("made.append(...children);", careless_line)
        return text

    monkeypatch.setattr(page_module, "_asset", careless)
    frames, around = hostile_study()
    path = tmp_path / "report.html"
    path.write_text(render(frames, **around), encoding="utf-8")
    assert any("element: <img" in text for text in intrusions(visit, path))
