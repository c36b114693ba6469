"""In a real browser: finding runs, by filters, words, order, keyboard and address."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from page_visit import IN_BROWSER, Visit, render, run_id

from fathom.figures.frames import Frames
from fathom.figures.verdict_table import verdict_table
from made_frames import study

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = IN_BROWSER

MOST_NODES = 16_000  # of 2,016 runs; all rows at once would be 60,000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Frames, Path]:
    frames = study(depths=(1, 2, 3), seeds=range(21), epochs=1, odd=False)
    path = tmp_path_factory.mktemp("large") / "report.html"
    path.write_text(render(frames), encoding="utf-8")
    return frames, path


def selected(visit: Visit) -> list[str]:
    return list(
        visit.page.eval_on_selector_all(
            "tr[aria-selected=true]", "rows => rows.map(row => row.dataset.run)"
        )
    )


def test_the_table_begins_with_what_matters_most(visit: Visit, report: Path) -> None:
    visit.page.set_viewport_size({"width": 1440, "height": 1000})
    visit.open(report)
    seen = visit.page.evaluate("""() => {
        const edge = document.getElementById("table").getBoundingClientRect().right;
        return [...document.querySelectorAll("#table th[data-key]")]
            .filter(head => head.getBoundingClientRect().right <= edge)
            .map(head => head.dataset.key);
    }""")
    wanted = {"verdict_end", "span_start", "span_end", "test_accuracy", "elapsed_s"}
    assert wanted <= set(seen)
    assert visit.problems == []


def test_back_and_forward_walk_through_what_was_chosen(
    visit: Visit, frames: Frames, report: Path
) -> None:
    visit.open(report)
    first, second = frames.runs["run_id"][:2]
    visit.page.click(f"tr[data-run='{first}'] td:nth-child(2)")
    visit.page.click(f"tr[data-run='{second}'] input")
    visit.page.click(".chip[data-value=relu]")
    visit.page.locator("#search").press_sequentially("he_normal")
    assert visit.page.inner_text("#count") == "6 of 192 runs"
    visit.page.locator("#search").press_sequentially(" nonsense")
    told = visit.page.inner_text("#count")
    assert told == "0 of 192 runs: take a filter back, or a word of the search"
    visit.page.locator("#search").fill("he_normal")
    visit.page.go_back()  # a word is one step, not nine
    assert visit.page.inner_text("#count") == "48 of 192 runs"
    assert visit.page.input_value("#search") == ""
    visit.page.go_back()
    assert visit.page.inner_text("#count") == "192 runs"
    assert visit.page.inner_text("#chosen") == "2 selected"
    visit.page.go_back()
    assert selected(visit) == [first]
    visit.page.go_back()
    assert selected(visit) == []
    for _ in range(4):
        visit.page.go_forward()
    assert visit.page.inner_text("#count") == "6 of 192 runs"
    visit.page.reload()
    visit.page.wait_for_selector("html[data-ready]", state="attached")
    assert visit.page.inner_text("#count") == "6 of 192 runs"
    assert selected(visit) == [first, second]
    assert visit.problems == []


def test_filters_by_verdict_and_by_a_range_of_depths(
    visit: Visit, frames: Frames, report: Path
) -> None:
    visit.open(report)
    judged = verdict_table(frames)
    visit.page.click(".chip[data-filter=verdict][data-value=vanishing]")
    assert visit.visible_runs() == judged.filter(verdict_end="vanishing")["run_id"].to_list() != []
    visit.page.click("#reset")
    visit.page.click(".chip[data-filter=depth][data-value='10']")
    visit.page.click(".chip[data-filter=depth][data-value='40']", modifiers=["Shift"])
    wanted = frames.runs.filter(pl.col("depth").is_between(10, 40))
    assert visit.visible_runs() == wanted["run_id"].to_list()
    pressed = visit.page.eval_on_selector_all(
        ".chip[aria-pressed=true]", "chips => chips.map(chip => chip.dataset.value)"
    )
    assert pressed == ["10", "20", "30", "40"]
    assert visit.problems == []


def test_a_seventh_run_is_passed_over_and_said(visit: Visit, frames: Frames, report: Path) -> None:
    visit.open(report)
    ids = frames.runs["run_id"].to_list()
    for chosen in ids[:7]:
        visit.page.click(f"tr[data-run='{chosen}'] input")
    assert selected(visit) == ids[:6]
    assert not visit.page.is_checked(f"tr[data-run='{ids[6]}'] input")
    for told, text in (("#count", "192 runs"), ("#chosen", "6 selected, which is the most")):
        assert visit.page.get_attribute(told, "role") == "status"
        assert visit.page.inner_text(told) == text
    assert visit.problems == []


def test_the_skip_link_and_the_way_to_the_details_keep_the_choice(
    visit: Visit, frames: Frames, report: Path
) -> None:
    chosen = frames.runs["run_id"][3]
    visit.open(report, f"#runs={chosen}&only.activation=relu")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "table-title"
    assert (selected(visit), len(visit.visible_runs())) == ([chosen], 48)
    visit.page.focus("#to-details")
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "details-title"
    assert visit.problems == []


def test_every_control_is_reached_with_the_tab_key(
    visit: Visit, report: Path, frames: Frames
) -> None:
    visit.open(report, f"#runs={frames.runs['run_id'][0]}")
    reached = set()
    for _ in range(100):
        visit.page.keyboard.press("Tab")
        name = """() => {
            const found = document.activeElement;
            const style = getComputedStyle(found);
            const seen = style.outlineStyle !== "none" && style.outlineWidth !== "0px";
            const name = found.matches(".cell") ? "cell" : found.id;
            return [name || found.dataset.value || found.parentElement.dataset.key
                || found.dataset.run || found.className || found.localName, seen];
        }"""
        found, has_outline = visit.page.evaluate(name)
        assert has_outline or found == "body", found
        reached.add(found)
    assert {"skip", "search", "relu", "he_normal", "50", "cell", "verdict_end"} <= reached
    assert {"test_accuracy", frames.runs["run_id"][0], "to-details", "clear"} <= reached
    assert visit.problems == []


def test_thousands_of_runs_are_listed_as_far_as_they_are_seen(
    visit: Visit, large: tuple[Frames, Path]
) -> None:
    frames, path = large
    visit.open(path)
    ids = frames.runs["run_id"].to_list()
    assert visit.page.inner_text("#summary").startswith("2016 runs")
    assert visit.visible_runs() == ids[:200]
    assert visit.page.get_attribute("#table table", "aria-rowcount") == "2017"
    count = "document.getElementsByTagName('*').length"
    assert visit.page.evaluate(count) < MOST_NODES
    visit.page.click("th[data-key=test_accuracy] button")
    visit.page.click(".chip[data-value=gelu]")
    assert visit.page.inner_text("#count") == "504 of 2016 runs"
    visit.page.click("#reset")
    visit.settle()
    assert visit.page.evaluate(count) < MOST_NODES
    assert visit.problems == []


def test_the_end_of_a_long_table_can_be_reached(visit: Visit, large: tuple[Frames, Path]) -> None:
    """By scrolling, by the button, by the End key, and on paper."""
    frames, path = large
    ids = frames.runs["run_id"].to_list()
    visit.open(path)
    visit.page.evaluate("document.getElementById('table').scrollTop = 1e6")
    visit.page.wait_for_selector("#table tbody tr:nth-child(400)", state="attached")
    visit.page.click("#more")
    assert visit.visible_runs() == ids[:600]
    visit.page.focus("#table tbody tr")
    visit.page.keyboard.press("End")
    visit.page.wait_for_selector("#table tbody tr:nth-child(800)", state="attached")
    assert visit.page.evaluate("document.activeElement.dataset.run") == ids[599]
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visit.visible_runs() == ids
    assert not visit.page.is_visible("#more")
    assert visit.problems == []


NAMES = ("lenet(classic=true)", "vgg11_with_batch_norm", "resnet18(width=16, stem=cifar)")


def images() -> Frames:
    """Runs of networks that have layers, but no depth among their settings."""
    made = study(activations=("relu", "tanh"), inits=("a", "b"), depths=(5, 8, 11), epochs=1)
    name = pl.col("depth").replace_strict(dict(zip((5, 8, 11), NAMES, strict=True)))
    runs = made.runs.with_columns(model=name, depth=pl.lit(0))
    settings = ("activation", "init", "model")
    return replace(made, runs=runs, settings=settings, predictions=made.predictions.clear())


def test_networks_without_a_depth_have_layers(visit: Visit, tmp_path: Path) -> None:
    frames, path = images(), tmp_path / "report.html"
    path.write_text(render(frames), encoding="utf-8")
    visit.open(path, f"#runs={frames.runs['run_id'][1]}")
    facts = visit.page.inner_text("#selected").split("\n")
    assert "depth" not in facts
    assert facts[facts.index("layers") + 1] == "9"
    keys = visit.page.eval_on_selector_all("th[data-key]", "all => all.map(h => h.dataset.key)")
    assert "num_layers" in keys
    assert "depth" not in visit.page.inner_text("#facts")
    assert visit.problems == []


def test_long_names_over_the_overview_do_not_lie_over_each_other(
    visit: Visit, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(images()), encoding="utf-8")
    visit.open(path, "#cells=model")
    boxes = visit.page.eval_on_selector_all(
        "#matrix thead bdi",
        "all => all.map(e => e.getBoundingClientRect()).map(b => [b.left, b.right, b.height])",
    )
    assert len(boxes) == 2 * len(NAMES)
    assert all(end <= start for (_, end, _), (start, _, _) in pairwise(boxes))
    assert all(height > right - left for left, right, height in boxes)
    assert visit.problems == []


@pytest.mark.parametrize("width", [400, 1440])
def test_nothing_sticks_out_of_the_page(
    visit: Visit, report: Path, frames: Frames, width: int
) -> None:
    pair = [run_id(frames, activation=a, init="orthogonal", depth=20) for a in ("relu", "tanh")]
    visit.page.set_viewport_size({"width": width, "height": 900})
    for chosen in (pair, pair[:1]):
        visit.open(report, f"#runs={','.join(chosen)}")
        visit.settle()
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert visit.problems == []
