"""The built-in study `half-moon`: the twelve published verdicts, from a real run of the study."""

from pathlib import Path

import polars as pl
import pytest

import fathom

# To fit: this validation accuracy in nine of ten replicates.
ENOUGH, MOST = 0.97, 9
FITS = {"abs", "exp", "exp+cos", "sin", "square", "relu", "sigmoid", "sort", "identity+permute"}
WHY_NOT = {
    "reciprocal": "no mean-field limit: reciprocal has poles",
    "tan": "no mean-field limit: tan has poles",
    "sgn": "no gradient: the slope of sgn is 0 almost everywhere",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> fathom.Results:
    out: Path = tmp_path_factory.mktemp("half-moon")
    return fathom.Study.load("half-moon").run(out, workers=1, progress=False)


def reached(results: fathom.Results) -> pl.DataFrame:
    """Count each case's replicates that have the accuracy at the end, and at any epoch.

    An epoch whose loss is not finite has none.
    """
    enough = pl.col("validation_accuracy").fill_null(0).fill_nan(0) >= ENOUGH
    per_run = results.epochs.sort("epoch").group_by("run_id")
    found = per_run.agg(at_end=enough.last(), ever=enough.any())
    cases = results.runs.select("run_id", "activation").join(found, on="run_id")
    return cases.group_by("activation").agg(pl.col("at_end").sum(), pl.col("ever").sum())


@pytest.mark.slow
def test_the_twelve_verdicts(results: fathom.Results) -> None:
    """What fits does so at the end; what does not, did not at any epoch."""
    assert results.runs.height == 120
    cases = reached(results)
    assert {*cases["activation"]} == FITS | {*WHY_NOT}
    for verdict in ("at_end", "ever"):
        fits = cases.filter(pl.col(verdict) >= MOST)["activation"]
        assert {*fits} == FITS, cases


@pytest.mark.slow
def test_theory_has_a_word_for_each_that_fails(results: fathom.Results) -> None:
    """And none of these words for any that fits."""
    told = results.runs.join(results.verdicts, on="run_id")
    for case, sentence in told.select("activation", "sentence_predicted").iter_rows():
        if case in WHY_NOT:
            assert WHY_NOT[case] in sentence
        else:
            assert not any(word in sentence for word in ("poles", "the slope of"))


def test_the_study_has_twelve_cases_and_ten_replicates() -> None:
    study = fathom.Study.load("half-moon")
    assert study.num_runs == 12 * 10
    assert {run.model.hidden for run in study.runs()} == {(10, 10)}
    assert {run.train.optimizer.name for run in study.runs()} == {"adamw"}
