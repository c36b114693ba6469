"""The page in a real, headless Chromium: it works, and no text in it becomes more than text."""

import json
import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fathom.figures.frames import Frames, final_metrics
from fathom.figures.metric_tables import class_table, metric_table
from fathom.figures.predicted_panels import BAND_NAME
from fathom.figures.training_summary import training_summary
from fathom.figures.verdict_table import forecast, verdict_table
from fathom.losses import LossStep
from fathom.report import page as page_module
from fathom.report.page import render_page
from made_frames import small, study

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
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


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Make 192 runs, of which three have no test accuracy."""
    made = study(epochs=12)
    unknown = pl.col("run_id").is_in(made.runs["run_id"][70:73].implode())
    accuracy = pl.when(unknown).then(float("nan")).otherwise(pl.col("test_accuracy"))
    return replace(made, epochs=made.epochs.with_columns(test_accuracy=accuracy))


@pytest.fixture(scope="module")
def report(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(frames, title="deep-mlp", facts={"finished": "today"}), encoding="utf-8")
    return path


def run_id(frames: Frames, **settings: Any) -> str:
    return str(frames.runs.filter(**settings)["run_id"][0])


def traces(visit: Visit, selector: str) -> list[dict[str, Any]]:
    """Return what plotly drew in one chart."""
    program = """chart => JSON.stringify(
        chart.data.map(({type, name, x, y, z}) => ({type, name, x, y, z})))"""
    return list(json.loads(visit.page.eval_on_selector(selector, program)))


def test_the_page_opens_and_shows_every_run(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    assert visit.page.title() == "deep-mlp – Fathom"
    assert visit.page.inner_text("#title") == "deep-mlp"
    assert visit.page.inner_text("#summary").startswith("192 runs: ")
    assert visit.visible_runs() == frames.runs["run_id"].to_list()
    assert visit.page.locator("#matrix button.cell").count() == 192
    assert visit.page.locator("#figure .main-svg").count() > 0
    assert visit.problems == []


def test_losses_and_their_steps_are_a_table(
    visit: Visit, frames: Frames, report: Path, tmp_path: Path
) -> None:
    visit.open(report)
    assert not visit.page.locator("#losses").is_visible()
    steps = [LossStep(f"{name}<b>", 10, 2.0, 2.0, "sgd", 0.25) for name in ("one", "two")]
    (tmp_path / "r.html").write_text(render(frames, loss_steps=steps), encoding="utf-8")
    visit.open(tmp_path / "r.html")
    heads = visit.page.locator("#losses th").all_inner_texts()
    assert heads == ["loss", "scale", "times cross entropy", "rate", "rate x scale"]
    cells = visit.page.locator("#losses tbody tr").first.locator("td").all_inner_texts()
    assert cells == ["one<b>", "2", "2", "0.25", "0.5"]
    assert visit.problems == []


def test_the_table_has_final_and_mean_and_convergence(visit: Visit, report: Path) -> None:
    visit.open(report)
    keys = visit.page.eval_on_selector_all(
        "#table th[data-key]", "all => all.map(h => h.dataset.key)"
    )
    for part in ("train", "test"):
        for metric in ("loss", "accuracy"):
            assert {f"{part}_{metric}", f"mean_{part}_{metric}"} <= set(keys)
    assert {"converged_epoch", "elapsed_s"} <= set(keys)
    assert visit.problems == []


def test_classes_and_the_best_epoch_are_told(visit: Visit, tmp_path: Path) -> None:
    """The first run's best epoch is 1 of 4; its class table and its matrix are those of scores."""
    made = small()
    made = replace(made, runs=made.runs.with_columns(best_epoch=1))
    (tmp_path / "page.html").write_text(render(made), encoding="utf-8")
    first = made.runs["run_id"][0]
    visit.open(tmp_path / "page.html", f"#runs={first}")
    best = dict(training_summary(made).select("run_id", "best_epoch_test_accuracy").iter_rows())
    keys = visit.page.eval_on_selector_all(
        "#table th[data-key]", "all => all.map(h => h.dataset.key)"
    )
    row = visit.page.eval_on_selector_all(
        f"#table tr[data-run='{first}'] td", "all => all.map(cell => cell.textContent)"
    )
    told = dict(zip(keys, row[1:], strict=True))  # the first cell has the tick box
    assert told["best_epoch"] == "1"
    assert told["best_epoch_test_accuracy"] == f"{100 * best[first]:.2f} %"
    metrics = metric_table(made.runs, made.scores).row(0, named=True)
    assert told["scored_f1_macro"] == f"{100 * metrics['f1_macro']:.2f} %"
    classes = class_table(made.runs, made.scores).filter(run_id=first)
    cells = visit.page.eval_on_selector_all(
        "#panels table.classes tbody tr",
        "all => all.map(r => [...r.cells].map(c => c.textContent))",
    )
    assert [row[0] for row in cells] == classes["class_name"].to_list()
    assert [row[-1] for row in cells] == [str(support) for support in classes["support"]]
    charts = visit.page.eval_on_selector_all(
        "#panels .chart", "all => all.map(c => [c.ariaLabel, c.layout.yaxis.range])"
    )
    assert dict(charts)["Confusion matrix of the test part"] == [3.5, -0.5]
    assert "Precision and recall of each class" in dict(charts)
    assert visit.problems == []


def test_no_button_sends_anything_anywhere(visit: Visit, report: Path) -> None:
    visit.open(report)
    titles = visit.page.eval_on_selector_all(
        ".modebar-btn", "all => all.map(button => button.dataset.title)"
    )
    known = ["Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]
    assert titles == known
    assert visit.page.locator("a[href^='http']").count() == 0


def test_a_click_on_a_row_shows_the_run(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    chosen = run_id(frames, activation="tanh", init="orthogonal", depth=20)
    visit.page.click(f'tr[data-run="{chosen}"] td:nth-child(2)')
    visit.settle()
    charts = visit.page.locator("#panels .chart")
    assert charts.count() == 6
    recorded = frames.epochs.filter(run_id=chosen).sort("epoch")
    train_loss = traces(visit, "#panels .chart >> nth=0")[0]
    assert train_loss["x"] == recorded["epoch"].to_list()
    assert train_loss["y"] == pytest.approx(recorded["train_loss"].to_list(), rel=3e-3)
    (heat_map,) = traces(visit, "#panels .chart >> nth=2")
    first = frames.layers.filter(run_id=chosen, layer=1).sort("epoch")["grad_norm"].log10()
    assert heat_map["type"] == "heatmap"
    assert heat_map["y"] == list(range(1, 22))
    assert heat_map["z"][0] == pytest.approx(first.to_list(), abs=0.011)
    assert "orthogonal" in visit.page.inner_text("#selected")
    assert visit.problems == []


def test_a_run_is_laid_over_its_prediction(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    chosen = run_id(frames, activation="tanh", init="orthogonal", depth=20)
    visit.page.click(f'tr[data-run="{chosen}"] td:nth-child(2)')
    visit.settle()
    drawn = traces(visit, "#panels .chart >> nth=1")
    lines = [trace for trace in drawn if trace.get("name") == BAND_NAME]
    told = frames.predictions.filter(run_id=chosen).sort("layer")
    assert len(lines) == 3
    assert lines[0]["x"] == told["layer"].to_list()
    assert lines[0]["y"] == pytest.approx(told["gradient_log10"].to_list(), abs=0.01)
    dots = [trace for trace in drawn if trace.get("name") == "measured before training"]
    layers = frames.layers.filter(run_id=chosen, epoch=0).sort("layer")
    grads = layers["grad_pre_rms"][:20]
    assert dots[0]["y"] == pytest.approx((grads / grads[19]).log10().to_list(), abs=0.02)
    assert dots[2]["y"] == pytest.approx(layers["pre_cosine"][:20].to_list(), abs=0.003)
    other = run_id(frames, activation="relu")
    visit.page.click(f'tr[data-run="{other}"] input')
    visit.settle()
    both = [t for t in traces(visit, "#panels .chart >> nth=1") if t.get("name") == BAND_NAME]
    told = frames.predictions.filter(run_id=other).sort("layer")
    assert len(both) == 6
    assert both[3]["y"] == pytest.approx(told["gradient_log10"].to_list(), abs=0.01)
    assert visit.problems == []


def test_verdicts_are_told_with_their_reasons(visit: Visit, frames: Frames, report: Path) -> None:
    judged = verdict_table(frames)
    visit.open(report)
    assert visit.page.inner_text("#forecast") == forecast(frames, judged).sentence
    row = judged.filter(pl.col("leaves_band_layer").is_not_null()).row(0, named=True)
    visit.page.click(f'tr[data-run="{row["run_id"]}"] td:nth-child(2)')
    visit.settle()
    facts = visit.page.inner_text("#selected")
    for moment in ("predicted", "start", "end"):
        assert row[f"sentence_{moment}"] in facts
        cell = f'tr[data-run="{row["run_id"]}"] td.verdict[title="{row[f"sentence_{moment}"]}"]'
        assert row[f"verdict_{moment}"] in visit.page.locator(cell).all_inner_texts()
    assert f"at layer {row['leaves_band_layer']}, back from the last" in facts
    inside = judged.filter(
        (pl.col("verdict_predicted") != "no prediction") & pl.col("leaves_band_layer").is_null()
    )
    visit.page.click(f'tr[data-run="{inside["run_id"][0]}"] td:nth-child(2)')
    visit.settle()
    assert "gradient leaves the predicted band\nnowhere" in visit.page.inner_text("#selected")
    visit.page.fill("#search", "no prediction")
    without = judged.filter(verdict_predicted="no prediction")["run_id"].to_list()
    assert visit.visible_runs() == without
    assert len(without) == len(frames.obstacles) > 0
    visit.page.click(f'tr[data-run="{without[0]}"] td:nth-child(2)')
    visit.settle()
    assert "a pole at 0" in visit.page.inner_text("#selected")
    assert visit.problems == []


def test_the_cloud_of_predictions_tells_runs_apart(visit: Visit, report: Path) -> None:
    visit.open(report, "#figure=prediction_scatter")
    program = "chart => chart.data.flatMap(({text}) => text ?? [])"
    labels = visit.page.eval_on_selector("#figure .chart", program)
    assert "tanh, orthogonal, depth 20" in labels
    assert visit.problems == []


def test_filters_hide_runs_and_dim_the_overview(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    visit.page.click('.chip[data-value="relu"]')
    visit.page.click('.chip[data-value="tanh"]')
    visit.page.click('.chip[data-filter="depth"][data-value="50"]')
    wanted = frames.runs.filter(pl.col("activation").is_in(["relu", "tanh"]), depth=50)
    assert visit.visible_runs() == wanted["run_id"].to_list()
    assert visit.page.inner_text("#count") == "16 of 192 runs"
    assert visit.page.locator("#matrix button.cell:not(.dimmed)").count() == 16
    visit.page.fill("#search", "XAVIER tanh")
    assert len(visit.visible_runs()) == 2
    visit.page.click("#reset")
    assert len(visit.visible_runs()) == 192
    assert visit.problems == []


def test_sorting_puts_what_is_not_a_number_last(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    final = dict(final_metrics(frames).select("run_id", "test_accuracy").iter_rows())
    unknown = [i for i in frames.runs["run_id"] if math.isnan(final[i])]
    assert len(unknown) == 3
    for direction, sign in (("descending", -1), ("ascending", 1)):
        visit.page.click('th[data-key="test_accuracy"] button')
        assert visit.page.get_attribute('th[data-key="test_accuracy"]', "aria-sort") == direction
        shown = visit.visible_runs()
        accuracies = [sign * final[i] for i in shown[:-3]]
        assert accuracies == sorted(accuracies)
        assert sorted(shown[-3:]) == sorted(unknown)


def test_two_runs_are_compared_and_the_address_keeps_everything(
    visit: Visit, frames: Frames, report: Path
) -> None:
    visit.open(report)
    pair = [run_id(frames, activation=a, init="he_normal", depth=30) for a in ("relu", "gelu")]
    for chosen in pair:
        visit.page.click(f'tr[data-run="{chosen}"] input')
    visit.page.click('.chip[data-value="he_normal"]')
    visit.page.click('th[data-key="settings.depth"] button')
    visit.page.select_option("#matrix-choice select >> nth=0", "span_end")
    visit.page.select_option("#figure-choice select", "training_time")
    visit.settle()
    assert visit.page.inner_text("#details-title") == "Compared: 2 runs"
    maps = traces(visit, "#panels .chart >> nth=2")
    assert [trace["type"] for trace in maps] == ["heatmap", "heatmap"]
    names = {trace["name"] for trace in traces(visit, "#panels .chart >> nth=0")}
    assert names == {"relu, he_normal, depth 30", "gelu, he_normal, depth 30"}

    before = (
        visit.visible_runs(),
        visit.page.inner_text("#selected"),
        visit.page.inner_text("#matrix"),
    )
    address = visit.page.url
    visit.open(report, "#")
    assert visit.page.inner_text("#details-title") == "Selected run"
    visit.page.goto("about:blank")
    visit.page.goto(address)
    visit.page.wait_for_selector("html[data-ready]", state="attached")
    after = (
        visit.visible_runs(),
        visit.page.inner_text("#selected"),
        visit.page.inner_text("#matrix"),
    )
    assert after == before
    assert visit.page.input_value("#figure-choice select") == "training_time"
    assert visit.problems == []


def test_the_keyboard_alone_is_enough(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    ids = frames.runs["run_id"].to_list()
    visit.page.focus(f'tr[data-run="{ids[0]}"]')
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.dataset.run") == ids[1]
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press(" ")
    selected = visit.page.eval_on_selector_all(
        'tr[aria-selected="true"]', "rows => rows.map(row => row.dataset.run)"
    )
    assert selected == ids[1:3]
    assert visit.page.locator('#table tbody tr[tabindex="0"]').count() == 1
    visit.page.focus("#matrix button.cell")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    below = run_id(frames, activation="tanh", init="he_normal", depth=10)
    assert visit.page.get_attribute(f'tr[data-run="{below}"]', "aria-selected") == "true"
    assert visit.problems == []


def test_an_address_with_nonsense_is_passed_over(visit: Visit, report: Path) -> None:
    visit.open(
        report, "#runs=nobody,%00&only.activation=nothing&only.x=y&sort=x&rows=z&measure=q&figure=f"
    )
    assert visit.visible_runs() == []
    assert visit.page.inner_text("#count") == "0 of 192 runs"
    assert visit.problems == []


@pytest.mark.parametrize("shape", ["one run", "one epoch", "nothing measured", "many runs"])
def test_odd_studies(visit: Visit, shape: str, tmp_path: Path) -> None:
    frames = study(activations=("relu", "tanh"), inits=("he",), depths=(1, 2), epochs=1)
    if shape == "one run":
        frames = study(activations=("relu",), inits=("he",), depths=(1,), epochs=3)
    elif shape == "nothing measured":
        frames = replace(frames, epochs=frames.epochs.clear(), layers=frames.layers.clear())
    elif shape == "many runs":
        frames = study(depths=(1, 2, 3), seeds=range(21), epochs=1)
    path = tmp_path / "report.html"
    path.write_text(render(frames), encoding="utf-8")
    ids = frames.runs["run_id"].to_list()
    visit.open(path, f"#runs={','.join(ids[:3])}")
    visit.settle()
    assert visit.visible_runs() == ids
    assert visit.page.locator("#panels .chart").count() == 8  # two of them are of classes
    assert visit.page.get_attribute("#notice", "hidden") is not None
    assert visit.problems == []


def test_without_decompression_the_table_still_works(visit: Visit, report: Path) -> None:
    visit.page.add_init_script("delete globalThis.DecompressionStream")
    visit.open(report)
    assert "need a newer browser" in visit.page.inner_text("#notice")
    assert len(visit.visible_runs()) == 192


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


def test_the_programs_are_valid_javascript(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    path = tmp_path / "program.js"
    path.write_text(page_module._program(), encoding="utf-8")
    subprocess.run([node, "--check", str(path)], check=True, capture_output=True)
