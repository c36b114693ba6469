"""The page in a real, headless Chromium: what it shows, and that it works."""

import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from page_visit import IN_BROWSER, Visit, render, run_id, traces

from fathom.figures.frames import Frames, final_metrics
from fathom.figures.metric_tables import class_table, metric_table
from fathom.figures.predicted_panels import BAND_NAME
from fathom.figures.training_summary import training_summary
from fathom.figures.verdict_table import forecast, verdict_table
from fathom.losses import LossStep
from fathom.report import page as page_module
from made_frames import small, study

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = IN_BROWSER


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
    assert charts.count() == 7
    recorded = frames.epochs.filter(run_id=chosen).sort("epoch")
    train_loss = traces(visit, "#panels .chart >> nth=0")[0]
    assert train_loss["x"] == recorded["epoch"].to_list()
    assert train_loss["y"] == pytest.approx(recorded["train_loss"].to_list(), rel=3e-3)
    (heat_map,) = traces(visit, "#panels .chart[aria-label='Gradient norm']")
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
        told = visit.page.locator(cell).all_inner_texts()
        assert row[f"verdict_{moment}"] in {text.split(" ", 1)[-1] for text in told}
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
    maps = traces(visit, "#panels .chart[aria-label='Gradient norm']")
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
    assert visit.page.inner_text("#count").startswith("0 of 192 runs: take a filter back")
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
    assert visit.visible_runs() == ids[:200]
    of_layers = shape == "one epoch"  # a map of one hidden layer would tell nothing
    assert visit.page.locator("#panels .chart").count() == 8 + of_layers  # two are of classes
    assert visit.page.get_attribute("#notice", "hidden") is not None
    assert visit.problems == []


def test_without_decompression_the_table_still_works(visit: Visit, report: Path) -> None:
    visit.page.add_init_script("delete globalThis.DecompressionStream")
    visit.open(report)
    assert "need a newer browser" in visit.page.inner_text("#notice")
    assert len(visit.visible_runs()) == 192


def test_the_programs_are_valid_javascript(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    path = tmp_path / "program.js"
    path.write_text(page_module._program(), encoding="utf-8")
    subprocess.run([node, "--check", str(path)], check=True, capture_output=True)
