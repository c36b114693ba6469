"""What Python users hold: own functions and arrays, results as tables, networks that come back."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import fathom
from fathom import api
from fathom.api.description import describe_runs
from fathom.api.loss_steps import recorded_steps
from fathom.data.inputs import InputStatistics, input_statistics
from fathom.data.splits import prepare
from fathom.errors import FathomError
from fathom.prediction import predict_model
from fathom.store import manifest
from fathom.store.results import StudyFolder

SMALL: dict[str, Any] = {
    "data": {"name": "digits", "limit": 128},
    "activation": ["relu", "tanh"],
    "model": {"depth": [1, 2], "width": 8},
    "train": {"epochs": 2, "lr": 0.1},
    "record": {"probe_size": 32},
}
QUIET: dict[str, Any] = {"workers": 1, "progress": False}
INPUTS = ["num_features", "num_classes", "num_probes", "input_mean_square", "input_cosine"]


def wave(h: torch.Tensor) -> torch.Tensor:
    return torch.sin(h) + h


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> fathom.Results:
    study = fathom.Study(name="small", seeds=2, **SMALL)
    return study.run(tmp_path_factory.mktemp("api"), **QUIET)


class TestStudy:
    def test_a_plan_names_every_run_once(self) -> None:
        study = fathom.Study(**SMALL)
        plan = study.plan(workers=1)
        planned = sorted(run.id for cohort in plan.cohorts for run in cohort.runs)
        assert planned == sorted(run.id for run in study.runs())
        assert plan.num_runs == study.num_runs == 4
        assert str(plan).startswith("4 runs, 2 cohorts, 1 worker: about ")

    def test_files_and_keywords_mean_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "study.yaml").write_text(json.dumps(SMALL))
        loaded = fathom.Study.load(tmp_path / "study.yaml", set={"train.lr": [0.1, 0.2]})
        written = fathom.Study(**SMALL | {"train": {"epochs": 2, "lr": [0.1, 0.2]}})
        assert [run.id for run in loaded.runs()] == [run.id for run in written.runs()]

    def test_a_studys_mistakes_are_told_together(self) -> None:
        with pytest.raises(FathomError, match=r"(?s)2 problems.*rellu.*batch_size"):
            fathom.Study(data="digits", activation="rellu", train={"batch_size": 0})

    @pytest.mark.parametrize("workers", [0, -1])
    def test_workers_are_counted_from_one(self, workers: int) -> None:
        with pytest.raises(FathomError, match=f"workers: got {workers}; must be an integer >= 1"):
            fathom.Study(**SMALL).plan(workers=workers)

    def test_own_functions_join_the_grid(self, tmp_path: Path) -> None:
        clip = fathom.custom(lambda h: h.clamp(-1, 1), name="clip_for_test", kinks=(-1, 1))
        study = fathom.Study(**SMALL | {"activation": ["relu", wave, clip]})
        done = study.run(tmp_path, **QUIET)
        assert set(done.runs["activation"]) == {"relu", "wave", "clip_for_test"}
        layers = {"activation": {"per_layer": [wave, "relu"]}, "model": {"depth": 2, "width": 8}}
        (run,) = fathom.Study(**SMALL | layers).runs()
        assert [choice.name for choice in run.model.activation] == ["wave", "relu"]

    def test_a_changed_function_is_another_run(self) -> None:
        def make(factor: float) -> fathom.Study:
            own = fathom.custom(lambda h: h * factor, name="scaled_for_test")
            return fathom.Study(**SMALL | {"activation": own})

        ids = [{run.id for run in make(factor).runs()} for factor in (1.0, 1.0, 2.0)]
        assert ids[0] == ids[1]
        assert ids[0].isdisjoint(ids[2])

    def test_own_arrays_are_kept_with_the_results(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(200, 6))
        y = (x.sum(1) > 0).astype(np.int64)
        study = fathom.Study(**SMALL | {"data": (x, torch.from_numpy(y))}, name="own")
        assert study.plan(workers=1).num_runs == 4
        done = study.run(tmp_path, **QUIET)
        assert done.missing == ()
        (kept,) = (tmp_path / "own").glob("arrays-*.npz")
        assert np.array_equal(np.load(kept)["x"], x)
        again = fathom.Study.load(tmp_path / "own" / "study.yaml")
        rerun = again.run(tmp_path / "again", data_dir=tmp_path / "own", **QUIET)
        assert rerun.digest == done.digest

    def test_arrays_may_have_settings(self) -> None:
        x, y = np.eye(8).repeat(4, 0), np.arange(8).repeat(4)
        data = {"arrays": (x, y), "scaling": ["standard", "none"]}
        study = fathom.Study(**SMALL | {"data": data})
        assert {run.data.scaling for run in study.runs()} == {"standard", "none"}

    def test_bad_arrays_are_told(self) -> None:
        with pytest.raises(FathomError, match="must be as many"):
            fathom.Study(**SMALL | {"data": (np.ones((3, 2)), np.array([0, 1]))})
        with pytest.raises(FathomError, match=r"got a int; must be \(x, y\)"):
            fathom.Study(**SMALL | {"data": {"arrays": 3}})


class TestResults:
    def test_runs_have_a_column_for_each_setting(self, results: fathom.Results) -> None:
        runs = results.runs
        assert runs.height == 8
        assert set(runs["depth"]) == {1, 2}
        assert set(runs["seed"]) == {0, 1}
        assert results.frames.settings == ("activation", "depth", "seed")
        assert runs["test_accuracy"].is_not_null().all()

    def test_swept_numbers_stay_numbers(self) -> None:
        study = fathom.Study(
            **SMALL
            | {
                "train": {"lr": [0.1, 0.2], "clip_norm": [None, 1.0]},
                "data": {"name": "digits", "seed": [1, 2]},
            }
        )
        rows = json.loads(describe_runs("s", study.runs()))
        columns = rows["runs"][0]["columns"]
        assert rows["settings"] == ["activation", "depth", "data.seed", "lr", "clip_norm"]
        assert (columns["lr"], columns["clip_norm"], columns["data.seed"]) == (0.1, "none", 1)

    def test_epochs_and_layers_are_complete(self, results: fathom.Results) -> None:
        assert results.epochs.height == 8 * 3
        assert results.layers.height == 4 * 3 * 2 + 4 * 3 * 3

    def test_a_network_comes_back(self, results: fathom.Results) -> None:
        """The rebuilt network scores on the test part what was recorded."""
        runs = {run.name: run for run in fathom.Study(name="small", seeds=2, **SMALL).runs()}
        for row in results.runs.iter_rows(named=True):
            data = prepare(runs[row["name"]].data)
            network = results.network(row["name"], "last")
            logits = network(data.scale(data.test.inputs, torch.float32))
            hits = (logits.argmax(1) == data.test.targets).double().mean()
            assert float(hits) == pytest.approx(row["test_accuracy"], abs=0)

    def test_a_network_with_remedies_comes_back(self, tmp_path: Path) -> None:
        """In evaluation mode, with its running statistics; theory is silent about it."""
        study = fathom.Study(
            data={"name": "digits", "limit": 128},
            activation="tanh",
            model={
                "depth": 2,
                "width": 16,
                "norm": ["none", "layer_norm", "batch_norm"],
                "skip": ["none", "residual"],
            },
            train={"epochs": 2},
        )
        results = study.run(tmp_path, **QUIET)
        assert results.runs["norm"].unique().sort().to_list() == [
            "batch_norm", "layer_norm", "none",
        ]  # fmt: skip
        data = prepare(study.runs()[0].data)
        for row in results.runs.iter_rows(named=True):
            logits = results.network(row["name"], "last")(
                data.scale(data.test.inputs, torch.float32)
            )
            hits = (logits.argmax(1) == data.test.targets).double().mean()
            assert float(hits) == pytest.approx(row["test_accuracy"], abs=0)
            tensors = results.weights(row["name"], "last")
            trained = [name for name in tensors if "running" not in name]
            assert sum(tensors[name].numel() for name in trained) == row["num_parameters"]
        assert len(results.predicted.obstacles) == 5

    def test_best_weights_are_those_of_the_best_epoch(self, results: fathom.Results) -> None:
        row = results.runs.row(0, named=True)
        last = results.weights(row["run_id"], "last")
        best = results.weights(row["run_id"])
        same = all(torch.equal(best[name], last[name]) for name in last)
        assert same is (row["best_epoch"] == row["epochs_run"])

    def test_an_unknown_run_is_told(self, results: fathom.Results) -> None:
        name = results.runs["name"][0]
        with pytest.raises(FathomError, match=f"Did you mean '{name}'"):
            results.weights(name[:-1])

    def test_a_figure(self, results: fathom.Results) -> None:
        from matplotlib.figure import Figure

        assert isinstance(results.figure("loss_curves", activation="relu"), Figure)
        with pytest.raises(FathomError, match="Did you mean 'loss_curves'"):
            results.figure("loss_curve")

    def test_results_open_again(self, results: fathom.Results) -> None:
        again = fathom.Results.open(results.folder)
        assert again.digest == results.digest
        assert again.runs.equals(results.runs)
        assert again.verify() == []

    def test_results_of_an_earlier_version_open(
        self, results: fathom.Results, tmp_path: Path
    ) -> None:
        """The folder as a version without the runs' input columns would have written it."""
        shutil.copytree(results.folder, tmp_path / "old")
        for cohort_id, record in StudyFolder.read_only(tmp_path / "old").committed().items():
            path = tmp_path / "old" / "cohorts" / cohort_id / "runs.parquet"
            pl.read_parquet(path).drop(INPUTS).write_parquet(path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            files = record["files"] | {"runs.parquet": {"sha256": sha256, "size": 0}}
            manifest.append(tmp_path / "old" / "manifest", record | {"files": files})
        old = fathom.Results.open(tmp_path / "old")
        assert old.frames.runs.select(INPUTS).null_count().row(0) == (8,) * len(INPUTS)
        assert old.runs.drop(INPUTS).equals(results.runs.drop(INPUTS))
        assert old.export_csv(tmp_path / "csv").is_dir()
        assert old.report(formats=(), to=tmp_path).is_file()

    def test_runs_tell_what_they_were_fed(self, results: fathom.Results) -> None:
        runs = fathom.Study(name="small", seeds=2, **SMALL).runs()
        expected = input_statistics(prepare(runs[0].data), SMALL["record"]["probe_size"])
        assert set(results.runs.select(INPUTS).iter_rows()) == {(64, 10, 32, *expected)}

    def test_prediction_stands_beside_measurement(self, results: fathom.Results) -> None:
        table = results.verdicts
        assert table["run_id"].to_list() == results.runs["run_id"].to_list()
        predicted = fathom.Study(name="small", seeds=2, **SMALL).predict()
        expected = predicted.select("run_id", "gradient_span", "verdict").sort("run_id")
        found = table.select("run_id", "span_predicted", "verdict_predicted").sort("run_id")
        assert found.rows() == expected.rows()
        # Width 8 is far from infinite: the measured span lies within a few standard deviations.
        deep = table.filter(pl.col("span_predicted_sd") > 0)
        distance = (deep["span_measured"] - deep["span_predicted"]) / deep["span_predicted_sd"]
        assert deep.height > 0
        assert distance.abs().max() < 4  # type: ignore[operator]
        assert "Theory expected " in results.forecast

    def test_with_fewer_samples_than_probes_all_say_how_many(self, tmp_path: Path) -> None:
        few = SMALL | {"data": {"name": "digits", "limit": 5}, "activation": "relu"}
        study = fathom.Study(name="few", **few)
        done = study.run(tmp_path, **QUIET)
        assert done.runs["num_probes"].to_list() == [5, 5]
        row = done.runs.row(0, named=True)
        inputs = InputStatistics(row["input_mean_square"], row["input_cosine"])
        first = predict_model(study.runs()[0].model, 64, inputs, 5).dead_share[0]
        assert done.predicted.predictions["dead_share"][0] == pytest.approx(first, rel=1e-12)
        planned = study.predict().sort("run_id")["sentence"].to_list()
        assert done.verdicts.sort("run_id")["sentence_predicted"].to_list() == planned

    def test_missing_runs_are_named(self, results: fathom.Results, tmp_path: Path) -> None:
        def quits(h: torch.Tensor) -> torch.Tensor:
            if h.numel() > 1_000:
                raise ValueError("no")
            return h

        study = fathom.Study(**SMALL | {"activation": ["relu", quits]}, name="half")
        done = study.run(tmp_path, **QUIET)
        assert len(done.missing) == 2
        assert all(name.startswith("quits") for name in done.missing)
        assert set(done.runs["activation"]) == {"relu"}

    def test_nothing_to_report_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        study = fathom.Study(**SMALL, name="stopped")
        monkeypatch.setattr("fathom.execution.training.train_cohort", stop)
        with pytest.raises(KeyboardInterrupt):
            study.run(tmp_path, **QUIET)
        opened = fathom.Results.open(tmp_path / "stopped")
        assert len(opened.missing) == 4
        with pytest.raises(FathomError, match="no run is finished yet"):
            opened.report()

    def test_export(self, results: fathom.Results, tmp_path: Path) -> None:
        assert results.export_csv(tmp_path) == tmp_path
        columns = [*results.runs.columns, *results.verdicts.drop("run_id").columns]
        assert pl.read_csv(tmp_path / "runs.csv").columns == columns
        folders = {path.name for path in (tmp_path / "logs").iterdir()}
        assert folders == set(results.runs["name"])


class TestPackage:
    def test_everything_that_is_promised_is_there(self) -> None:
        assert all(hasattr(fathom, name) for name in fathom.__all__)
        assert set(fathom.__all__) <= set(dir(fathom))
        modules = {name for name, found in vars(api).items() if isinstance(found, ModuleType)}
        public = {name for name in vars(api) if not name.startswith("_")} - modules
        assert public == set(fathom.__all__)

    def test_the_engines_agree_from_python_too(self) -> None:
        found = fathom.agree(1)
        assert found.agree
        assert found.num_steps == 1
        with pytest.raises(FathomError, match="steps: got 0"):
            fathom.agree(0)


class TestLossSteps:
    def test_of_a_study_and_of_its_results(self, tmp_path: Path) -> None:
        """For K classes a hinge's gradient is K times as long as that of cross entropy."""
        study = fathom.Study(
            name="losses",
            **SMALL
            | {
                "activation": "relu",
                "loss": ["hinge", "cross_entropy"],
                "model": {"depth": 1, "width": 8},
                "train": {"epochs": 1, "lr": [0.1, 0.01]},
            },
        )
        planned = study.loss_steps()
        assert [(step.loss, step.lr) for step in planned] == [
            ("hinge", 0.01),
            ("hinge", 0.1),
            ("cross_entropy", 0.01),
            ("cross_entropy", 0.1),
        ]
        assert planned[0].ratio == pytest.approx(10)
        results = study.run(tmp_path, **QUIET)
        assert results.loss_steps == planned
        page = results.report(formats=()).read_text()
        assert "First steps differ in length between losses" in page

    def test_runs_of_an_earlier_version_have_none(self, results: fathom.Results) -> None:
        configs = {run_id: {"loss": "hinge", "train": {}} for run_id in results.runs["run_id"]}
        old = results.frames.runs.with_columns(num_classes=pl.lit(None, pl.Int64))
        assert recorded_steps(old, configs) == ()

    def test_a_loss_that_is_not_installed_is_left_out(self, results: fathom.Results) -> None:
        train = {"optimizer": "sgd", "lr": 0.1}
        configs = {run_id: {"loss": "rare", "train": train} for run_id in results.runs["run_id"]}
        assert recorded_steps(results.frames.runs, configs) == ()

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="'Studi'"):
            fathom.Studi  # noqa: B018

    def test_importing_loads_nothing(self) -> None:
        code = "import sys, fathom; print('torch' in sys.modules, 'numpy' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["False", "False"]


def test_a_plan_refuses_a_precision_that_is_not_there() -> None:
    study = fathom.Study(data="digits", activation="relu", precision="tf32")
    with pytest.raises(fathom.FathomError, match="precision 'tf32': torch offers no such products"):
        study.plan()
