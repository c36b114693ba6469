"""The page as text: what it holds, how large it is, and that texts stay texts."""

import base64
import gzip
import hashlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from fathom.errors import StoreError
from fathom.figures.frames import Frames, gradient_spans
from fathom.figures.training_summary import CONVERGED_NOTE
from fathom.figures.verdict_table import forecast, verdict_table
from fathom.losses import LossStep, compare_steps
from fathom.report.page import fill, render_page, write_report
from fathom.report.payload import MAX_LAYERS, compress, layer_overlays, to_script
from fathom.report.run_table import plain_number
from made_frames import study


def render(frames: Frames, **options: Any) -> str:
    given = {"title": "t", "study_yaml": "", "facts": {}, "files": {}, "left_out": {}}
    return render_page(frames, **(given | options))


def embedded(page: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="[^"]+" id="{name}">(.*?)</script>', page, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def frames() -> Frames:
    return study(activations=("relu", "tanh"), inits=("he", "xavier"), depths=(2, 4), epochs=3)


@pytest.fixture(scope="module")
def page(frames: Frames) -> str:
    return render(frames, facts={"finished": "today"}, left_out={"x": "because"})


def test_the_table_holds_every_run(frames: Frames, page: str) -> None:
    table = json.loads(embedded(page, "study"))
    runs = table["runs"]
    assert runs["run_id"] == frames.runs["run_id"].to_list()
    assert runs["settings.depth"] == [str(depth) for depth in frames.runs["depth"]]
    last = frames.epochs.filter(run_id=runs["run_id"][2]).sort("epoch")["test_accuracy"][-1]
    assert runs["test_accuracy"][2] == pytest.approx(last, rel=1e-5)
    spans = gradient_spans(frames)["span_start"].to_list()
    assert runs["span_start"] == [
        pytest.approx(s, rel=1e-5) if math.isfinite(s) else "-inf" for s in spans
    ]
    assert table["facts"] == [["finished", "today"]]
    reasons = dict(table["left_out"])
    assert reasons["x"] == "because"
    assert "needs a numeric parameter" in reasons["factor_comparison"]


def test_the_table_tells_means_and_convergence(frames: Frames, page: str) -> None:
    table = json.loads(embedded(page, "study"))
    epochs = frames.epochs.filter(run_id=table["runs"]["run_id"][2]).filter(pl.col("epoch") > 0)
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert table["runs"][f"mean_{name}"][2] == pytest.approx(epochs[name].mean(), rel=1e-5)
    assert set(table["runs"]["converged_epoch"]) == {None}  # three epochs are too few
    assert table["converged_note"] == CONVERGED_NOTE


def test_losses_are_told_only_where_they_are_compared(frames: Frames, page: str) -> None:
    assert json.loads(embedded(page, "study"))["losses"]["rows"] == []
    steps = [
        LossStep("hinge", 10, 90**0.5, 10.0, "sgd", 0.1),
        LossStep("mse", 10, 1.0, 1.054, "adam", 0.1),
    ]
    told = json.loads(embedded(render(frames, loss_steps=steps), "study"))["losses"]
    assert told["sentence"] == compare_steps(steps) != ""
    assert told["rows"][0]["first_step"] == pytest.approx(0.1 * 90**0.5, rel=1e-5)
    assert told["rows"][1]["first_step"] is None
    one = json.loads(embedded(render(frames, loss_steps=steps[:1]), "study"))["losses"]
    assert one == {"rows": [], "sentence": "", "note": ""}


def test_the_figures_that_compare_all_runs_are_embedded(page: str) -> None:
    charts = json.loads(gzip.decompress(base64.b64decode(embedded(page, "charts"))))
    names = [figure["name"] for figure in charts]
    assert names[0] == "accuracy_by_depth"
    assert len(names) == 7
    assert not any("heatmap" in name for name in names)
    assert charts[0]["chart"]["panels"][0]["y"]["label"] == "final accuracy [share]"


def test_verdicts_and_forecast_are_embedded(frames: Frames, page: str) -> None:
    judged = verdict_table(frames)
    table = json.loads(embedded(page, "study"))
    for name in ("verdict_predicted", "verdict_start", "verdict_end", "leaves_band_layer"):
        assert table["runs"][name] == judged[name].to_list()
    assert table["forecast"]["sentence"] == forecast(frames, judged).sentence != ""
    found = json.loads(gzip.decompress(base64.b64decode(embedded(page, "predictions"))))
    assert found["sentences"]["end"] == judged["sentence_end"].to_list()
    assert set(found["overlays"]) == set(frames.runs["run_id"])


def test_a_folder_without_predictions_still_has_a_page(frames: Frames) -> None:
    bare = replace(frames, predictions=frames.predictions.clear())
    text = render(bare)
    table = json.loads(embedded(text, "study"))
    assert set(table["runs"]["verdict_predicted"]) == {"no prediction"}
    assert table["forecast"] == {"sentence": "Runs without a prediction: 8.", "note": ""}
    assert "no run has a prediction" in dict(table["left_out"])["prediction_scatter"]
    found = json.loads(gzip.decompress(base64.b64decode(embedded(text, "predictions"))))
    assert found["overlays"] == {}


def test_overlays_on_the_page_are_thinned_and_rounded_to_what_can_be_seen() -> None:
    frames = study(activations=("tanh",), inits=("he",), depths=(60,), epochs=1, odd=False)
    (drawn,) = layer_overlays(frames).values()
    (line,) = drawn["panels"][0]["lines"]
    assert (line["x"][0], line["x"][-1], len(line["x"])) == (1, 60, MAX_LAYERS)
    told = dict(frames.predictions.select("layer", "gradient_log10").iter_rows())
    height = max(line["high"]) - min(line["low"])
    errors = [abs(y - told[int(x)]) for x, y in zip(line["x"], line["y"], strict=True)]
    assert 0 < max(errors) <= height / 200 / 2 * 1.001


def test_only_scripts_with_listed_hashes_can_run(page: str) -> None:
    (policy,) = re.findall(r'content="(default-src [^"]+)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    programs = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    library = gzip.decompress(base64.b64decode(embedded(page, "library")))
    expected = [hashlib.sha256(text).digest() for text in (programs[0].encode(), library)]
    assert len(programs) == 1
    assert rules["script-src"].split() == [
        f"'sha256-{base64.b64encode(d).decode()}'" for d in expected
    ]


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    own = page.replace(embedded(page, "library"), "")
    assert not re.search(r"""(src|href)\s*=\s*["']""", own.replace('href="#table-title"', ""))
    assert not re.search(r"https?://|@import|url\(|innerHTML|outerHTML|document\.write|eval\(", own)


@pytest.mark.parametrize("text", ["</script><b>", "<!--", "]]>", "\u2028", "&lt;", "\ud800", '"\\'])
def test_json_cannot_leave_its_element(text: str) -> None:
    written = to_script({"a": text})
    assert not set(written) & set("<>&\u2028")
    assert written.isascii()
    assert json.loads(written) == {"a": text}


def test_a_part_is_never_filled_in_again() -> None:
    assert fill("{{a}}{{b}}", a="{{b}}{{nothing}}", b="1") == "{{b}}{{nothing}}1"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, None),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1 / 3, 0.333333),
        (7, 7),
        (None, None),
    ],
)
def test_numbers_that_json_lacks(value: Any, written: Any) -> None:
    assert plain_number(value) == written


def test_compressing_twice_gives_the_same_text() -> None:
    assert compress(b"abc" * 100) == compress(b"abc" * 100)
    assert gzip.decompress(base64.b64decode(compress(b"abc"))) == b"abc"


def test_the_same_study_gives_the_same_page(frames: Frames, page: str) -> None:
    assert render(frames, facts={"finished": "today"}, left_out={"x": "because"}) == page


def test_192_deep_runs_of_50_epochs_fit_into_3_megabytes() -> None:
    frames = study(depths=(49,), seeds=range(6), epochs=50, odd=False)
    assert (frames.runs.height, frames.layers.height) == (192, 192 * 50 * 51)
    assert len(render(frames).encode()) < 3_000_000


@pytest.mark.parametrize("place", ["figures/accuracy_by_depth.png", "figures", "report.html"])
def test_a_place_that_cannot_be_written_is_named(
    frames: Frames, tmp_path: Path, place: str
) -> None:
    blocked = tmp_path / place
    blocked.parent.mkdir(exist_ok=True)
    if place == "report.html":
        blocked.mkdir()
    else:
        blocked.symlink_to("/dev/full")
    with pytest.raises(StoreError, match=f"{place}: cannot be written: (No space|File|Is a dir)"):
        write_report(frames, tmp_path, title="t", study_yaml="", facts={}, formats=["png"])


def test_write_report(tmp_path: Path) -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(4, 2), epochs=1)
    path = write_report(
        frames, tmp_path / "new", title="a <b> & c", study_yaml="x: 1", facts={}, formats=["png"]
    )
    assert path == tmp_path / "new" / "report.html"
    text = path.read_text(encoding="utf-8")
    assert "<title>a &lt;b&gt; &amp; c – Fathom</title>" in text
    table = json.loads(embedded(text, "study"))
    assert table["title"] == "a <b> & c"
    assert table["runs"]["settings.depth"] == ["2", "4"]
    for files in table["files"].values():
        assert all((path.parent / file).is_file() for file in files)
    assert {p.name for p in path.parent.iterdir()} == {"report.html", "figures"}
    assert sum(len(files) for files in table["files"].values()) == 12
