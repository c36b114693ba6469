"""Classes on the page: what it holds of them, and that it is what the tables say."""

import base64
import gzip
import json
from dataclasses import replace

import pytest

from fathom.figures.frames import Frames
from fathom.figures.metric_tables import SHOWN_METRICS, class_table, metric_table
from fathom.figures.training_summary import training_summary
from fathom.report import scored
from fathom.report.page import data_elements
from made_frames import small


@pytest.fixture(scope="module")
def frames() -> Frames:
    made = small()
    return replace(made, runs=made.runs.with_columns(best_epoch=1))


@pytest.fixture(scope="module")
def elements(frames: Frames) -> dict[str, str]:
    return data_elements(frames, title="t", study_yaml="", facts={}, files={}, left_out={})


def test_the_table_of_runs_has_metrics_and_the_best_epoch(
    frames: Frames, elements: dict[str, str]
) -> None:
    runs = json.loads(elements["study"])["runs"]
    metrics = metric_table(frames.runs, frames.scores)
    for name in SHOWN_METRICS:
        assert runs[f"scored_{name}"] == pytest.approx(metrics[name].to_list(), rel=1e-5)
    at_best = training_summary(frames)["best_epoch_test_accuracy"].to_list()
    assert runs["best_epoch_test_accuracy"] == pytest.approx(at_best, rel=1e-5)
    first = frames.epochs.filter(run_id=frames.runs["run_id"][0], epoch=1)["test_accuracy"]
    assert at_best[0] == first[0]


def test_each_run_has_its_classes_and_charts(frames: Frames, elements: dict[str, str]) -> None:
    found = json.loads(gzip.decompress(base64.b64decode(elements["scored"])))["runs"]
    assert list(found) == frames.runs["run_id"].to_list()
    run_id = frames.runs["run_id"][3]
    told = found[run_id]
    table = class_table(frames.runs, frames.scores).filter(run_id=run_id).drop("run_id", "name")
    assert [row[0] for row in told["classes"]] == ["coat", "shirt", "boot", "bag"]
    for row, expected in zip(told["classes"], table.rows(), strict=True):
        assert row[1:] == pytest.approx(expected[1:], rel=1e-3)
    curves, matrix = told["charts"]
    assert curves["title"] == "Precision and recall of each class"
    assert matrix["panels"][0]["y"]["categories"] == ["coat", "shirt", "boot", "bag"]


def test_runs_without_scores_have_nothing(frames: Frames) -> None:
    bare = replace(frames, scores=frames.scores.clear())
    assert scored.scored_table(bare)["runs"] == {}
    text = data_elements(bare, title="t", study_yaml="", facts={}, files={}, left_out={})
    assert set(json.loads(text["study"])["runs"]["scored_accuracy"]) == {None}


def test_a_page_holds_the_first_runs_only(frames: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored, "MAX_SCORED", 2)
    assert list(scored.scored_table(frames)["runs"]) == frames.runs["run_id"].to_list()[:2]
