"""In a real browser: single runs beside their prediction, and two runs beside each other."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from page_visit import IN_BROWSER, Visit, render, run_id, traces

from fathom.figures.frames import Frames
from fathom.figures.layer_maps import layer_matrix, layers_of
from made_frames import study

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = IN_BROWSER

RELATIVE = '#panels .chart[aria-label="Gradient over the last hidden layer\'s"]'


def matrix(frames: Frames, run: str, quantity: str) -> Any:
    return layer_matrix(layers_of(frames, run), quantity)[2]


def compare(visit: Visit, path: Path, *runs: str) -> list[str]:
    """Open the page with the runs selected, and return what is said of where they part."""
    visit.open(path, f"#runs={','.join(runs)}")
    visit.settle()
    return list(visit.page.locator("#partings li").all_inner_texts())


def parted(ratio: Any, side: int) -> Any:
    """Layers beyond a factor of 2: surely (side 1), or perhaps; each number is kept to 2.3 %."""
    return np.flatnonzero(ratio > np.log(2) + side * 2 * 0.024) + 1


def told_of(sentence: str, way: str) -> tuple[int, int]:
    """Read the layer where two runs part, and in how many layers they do."""
    found = re.search(rf"part at layer (\d+), counted {way}; .* in (\d+) of \d+ layers", sentence)
    assert found, sentence
    return int(found[1]), int(found[2])


def test_a_heat_map_has_its_prediction_beside_it(
    visit: Visit, frames: Frames, report: Path
) -> None:
    chosen = run_id(frames, activation="tanh", init="orthogonal", depth=20)
    compare(visit, report, chosen)
    measured, predicted = traces(visit, RELATIVE)
    grads = np.log10(matrix(frames, chosen, "grad_pre_rms")[:20])
    np.testing.assert_allclose(measured["z"], grads - grads[19], atol=0.021)
    assert measured["y"] == predicted["y"] == list(range(1, 21))
    told = frames.predictions.filter(run_id=chosen).sort("layer")["gradient_log10"]
    assert [row[0] for row in predicted["z"]] == pytest.approx(told.to_list(), abs=0.01)
    left, right = predicted["x"]
    assert left < right < measured["x"][0]
    assert "theory" in visit.page.locator(f"{RELATIVE} .annotation-text").all_text_contents()
    assert visit.problems == []


def test_a_run_without_a_prediction_has_no_strip(
    visit: Visit, frames: Frames, report: Path
) -> None:
    compare(visit, report, next(iter(frames.obstacles)))
    assert len(traces(visit, RELATIVE)) == 1


def test_what_differs_is_said_first(visit: Visit, frames: Frames, report: Path) -> None:
    first, second = (
        run_id(frames, activation=a, init="he_normal", depth=30) for a in ("relu", "tanh")
    )
    other = run_id(frames, activation="tanh", init="orthogonal", depth=30)
    compare(visit, report, first, second)
    assert visit.page.inner_text("#differences") == "They differ in activation (relu – tanh) alone."
    order = visit.page.evaluate("""() => {
        const top = (id) => document.getElementById(id).getBoundingClientRect().top;
        return ["differences", "partings", "selected", "panels"].map(top);
    }""")
    assert order == sorted(order)
    compare(visit, report, first, other)
    told = visit.page.inner_text("#differences")
    assert told == "They differ in activation (relu – tanh), init (he_normal – orthogonal)."
    compare(visit, report, first, second, other)  # each value once
    assert visit.page.inner_text("#differences") == told
    visit.page.click("#clear")
    assert visit.page.inner_text("#differences") == ""
    assert not visit.page.locator("#partings li").count()
    assert visit.problems == []


def test_layers_where_two_runs_part(visit: Visit, frames: Frames, report: Path) -> None:
    """The sentences are those of a slow count on the numbers that were recorded."""
    pair = [run_id(frames, activation=a, init="he_normal", depth=40) for a in ("relu", "sigmoid")]
    sentences = compare(visit, report, *pair)
    for sentence, place in ((sentences[0], 0), (sentences[2], -1)):
        a, b = (matrix(frames, run, "grad_norm")[:, place] for run in pair)
        ratio = np.abs(np.log(a / b))
        least, most = parted(ratio, 1), parted(ratio, -1)
        layer, count = told_of(sentence, "back from the last")
        assert least.max() <= layer <= most.max()
        assert len(least) <= count <= len(most)
        assert f"most at layer {np.argmax(ratio) + 1}, where the first run's is larger" in sentence
    a, b = (matrix(frames, run, "act_std")[:-1, 0] for run in pair)
    ratio = np.abs(np.log(a / b))
    layer, count = told_of(sentences[1], "from the first")
    assert parted(ratio, -1).min() <= layer <= parted(ratio, 1).min()
    assert len(parted(ratio, 1)) <= count <= len(parted(ratio, -1))
    (difference,) = traces(visit, "#panels .chart[aria-label='Where the gradients part']")
    a, b = (matrix(frames, run, "grad_norm") for run in pair)
    shown = np.clip(np.log10(a / b), -6, 6)  # where the colours end
    np.testing.assert_allclose(difference["z"], shown, atol=0.021)
    assert visit.problems == []


def test_twins_part_nowhere_and_a_zero_beside_a_number_does(visit: Visit, tmp_path: Path) -> None:
    """Two seeds with the same layers; then the second one's first layer gets no gradient at all."""
    made = study(
        activations=("relu",), inits=("he",), depths=(4,), seeds=(0, 1), epochs=2, odd=False
    )
    first, second = made.runs["run_id"]
    layers = made.layers.filter(run_id=first)
    twin = layers.with_columns(run_id=pl.lit(second))
    for number, layer in enumerate((0, 1)):  # no layer is the 0th
        grads = pl.when(pl.col("layer") == layer).then(0.0).otherwise(pl.col("grad_norm"))
        changed = twin.with_columns(grad_norm=grads)
        path = tmp_path / f"{number}.html"
        path.write_text(render(replace(made, layers=pl.concat([layers, changed]))))
        sentences = compare(visit, path, first, second)
        assert visit.page.inner_text("#differences") == "They differ in seed (0 – 1) alone."
        assert all("within a factor of 2 in every layer" in told for told in sentences[1::2])
        if layer:
            zero = "they part at layer 1, counted back from the last"
            assert all(zero in told and "the other has 0" in told for told in sentences[::2])
        else:
            assert all("within a factor of 2 in every layer" in told for told in sentences)
    assert visit.problems == []


def test_runs_of_different_depth_are_compared_from_the_output_back(
    visit: Visit, frames: Frames, report: Path
) -> None:
    pair = [run_id(frames, activation="relu", init="he_normal", depth=depth) for depth in (10, 50)]
    told = compare(visit, report, *pair)[0]
    a, b = (matrix(frames, run, "grad_norm")[::-1, 0][:11] for run in pair)
    parted = np.flatnonzero(np.abs(np.log(a / b)) > np.log(2))
    if parted.size:
        place = f"layer {11 - parted[0]} of the first and {51 - parted[0]} of the second"
        assert f"they part at {place}, counted back" in told
    else:
        assert "within a factor of 2 in every layer" in told
    assert not visit.page.locator("[aria-label='Where the gradients part']").count()
    assert visit.problems == []


def test_the_units_of_a_run_are_told_layer_by_layer(visit: Visit, tmp_path: Path) -> None:
    """Three units in two layers: one is born dead and revives, one dies, one stays alive."""
    made = study(activations=("relu",), inits=("he",), depths=(2, 3), epochs=4, odd=False)
    first = made.runs["run_id"][0]
    states = {0: ["dead", "alive", "alive"], 2: ["alive", "alive", "asleep"], 4: ["alive", "dead"]}
    rows = [
        {"run_id": first, "epoch": epoch, "layer": layer, "place": f"<b>{layer}", "unit": unit}
        | {"state": [*found, "asleep"][unit] if layer == 1 else "alive"}
        for epoch, found in states.items()
        for layer in (1, 2)
        for unit in range(3)
    ]
    units = pl.DataFrame(rows).with_columns(
        **dict.fromkeys(
            ("active_share", "low_share", "high_share", "act_min", "act_max"), pl.lit(0.5)
        ),
        samples=pl.lit(10),
    )
    path = tmp_path / "report.html"
    path.write_text(render(replace(made, units=units.lazy())))
    compare(visit, path, first)
    table = visit.page.eval_on_selector_all(
        "#panels details.units tr", "all => all.map(row => [...row.cells].map(c => c.textContent))"
    )
    head, *body = table
    assert head == [
        "layer",
        "place",
        "units",
        "alive",
        "asleep",
        "dead",
        "born dead",
        "died",
        "revived",
    ]
    assert sorted(body[0][3:6]) == sorted(["2 → 1", "0 → 1", "1 → 1"])
    assert dict(zip(head, body[0], strict=True)) == {
        "layer": "1",
        "place": "<b>1",
        "units": "3",
        "alive": "2 → 1",
        "asleep": "0 → 1",
        "dead": "1 → 1",
        "born dead": "1",
        "died": "1",
        "revived": "1",
    }
    assert dict(zip(head, body[1], strict=True))["alive"] == "3 → 3"
    compare(visit, path, made.runs["run_id"][1])
    assert not visit.page.locator("#panels details.units").count()
    assert visit.problems == []
