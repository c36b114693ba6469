"""The command line as a user meets it: exit codes, messages, files, interruption."""

import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from command import STUDY, Fathom, Outcome
from fathom.api import Results
from fathom.api.job import Job
from fathom.cli.catalogue import KINDS
from fathom.errors import StoreError

COMMAND = [sys.executable, "-c", "from fathom.cli import main; main()"]
IMAGES = """\
engine: single
data: {name: digits, limit: 100}
model: {name: {name: vit, patch: 4, width: 16, heads: 2}}
activation: [relu, tanh]
train: {epochs: 2, lr: 0.1}
record: {probe_size: 16, scores: true}
"""
OWN = """\
import torch

def good(h):
    print("good was called")
    return torch.tanh(h)

def bad(h):
    if h.numel() > 1000:  # not while it is tried out
        raise ValueError("out of spoons")
    return h * 2
"""


def outside(*args: str, **settings: Any) -> Outcome:
    """Run a command as a process of its own."""
    done = subprocess.run(
        [*COMMAND, *args], capture_output=True, text=True, timeout=200, check=False, **settings
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def snapshot(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class TestRun:
    def test_a_study_is_trained_and_reported(self, fathom: Fathom, here: Path) -> None:
        outcome = fathom("run", "s.yaml", "--workers", "1")
        assert outcome.code == 0
        assert "s: 2 runs: 2 completed" in outcome.out
        page = here / "results" / "s" / "report.html"
        assert outcome.out.splitlines()[-1] == f"report: {page.relative_to(here)}"
        assert page.exists()
        assert outcome.err.splitlines()[-1].startswith("2/2 runs · 100%")

    def test_the_same_command_again_computes_nothing(self, fathom: Fathom, here: Path) -> None:
        fathom("run", "s.yaml", "--workers", "1", "--no-report")
        before = snapshot(here / "results")
        outcome = fathom("run", "s.yaml", "--workers", "1", "--no-report")
        assert (outcome.code, outcome.err) == (0, "")
        assert snapshot(here / "results") == before

    def test_several_studies_run_one_after_another(self, fathom: Fathom, here: Path) -> None:
        (here / "t.yaml").write_text(STUDY.replace("depth: 1", "depth: 2"))
        outcome = fathom("run", "s.yaml", "t.yaml", "--json", "--no-report", "--workers", "1")
        assert [s["study"] for s in json.loads(outcome.out)["studies"]] == ["s", "t"]

    def test_a_mistake_in_the_second_study_stops_the_first(
        self, fathom: Fathom, here: Path
    ) -> None:
        (here / "t.yaml").write_text("data: digits\nactivation: rellu\n")
        outcome = fathom("run", "s.yaml", "t.yaml")
        assert outcome.code == 2
        assert "Did you mean 'relu'?" in outcome.err
        assert not (here / "results").exists()

    @pytest.mark.parametrize(
        ("other", "change", "told"),
        [
            ("t.yaml", ("name: digits,", "name: arrays, path: gone.npz,"), "gone.npz"),
            ("t.yaml", ("name: digits,", "name: arrays, path: bad.npz,"), "bad.npz"),
            ("t.yaml", ("{probe", "{weights: none, probe"), "record.weights"),
            ("t.yaml", ("model:", "seeds: 60000\nmodel:"), "--yes-run 120000"),
            ("deeper/s.yaml", ("", ""), "s.yaml and deeper/s.yaml: the results of both would go"),
        ],
    )
    def test_nothing_is_trained_before_all_studies_are_good(
        self, fathom: Fathom, here: Path, other: str, change: tuple[str, str], told: str
    ) -> None:
        """Mistakes that no file shows alone: of its data, its size, and its results folder."""
        (here / "bad.npz").write_text("no arrays")
        (here / "deeper").mkdir()
        if told == "record.weights":  # the folder holds another study of this name
            (here / "t.yaml").write_text(STUDY)
            fathom("run", "t.yaml", "--no-report", "--workers", "1")
        (here / other).write_text(STUDY.replace(*change))
        outcome = fathom("run", "s.yaml", other, "--workers", "1")
        assert outcome.code == 2
        assert told in outcome.err
        assert not (here / "results" / "s" / "training.log").exists()

    def test_what_was_finished_is_told_when_a_later_study_fails(
        self, fathom: Fathom, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (here / "t.yaml").write_text(STUDY)
        train = Job.train

        def fail_second(job: Job, progress: bool) -> Results:
            if job.study.name == "t":
                raise StoreError("no space left")
            return train(job, progress)

        monkeypatch.setattr(Job, "train", fail_second)
        outcome = fathom("run", "s.yaml", "t.yaml", "--json", "--no-report", "--workers", "1")
        assert (outcome.code, outcome.err) == (2, "no space left\n")
        assert [s["study"] for s in json.loads(outcome.out)["studies"]] == ["s"]

    def test_settings_from_the_command_line(self, fathom: Fathom) -> None:
        sets = ["--set", "train.lr=[1e-2,1e-1]", "--set", "activation=relu"]
        outcome = fathom("run", "s.yaml", *sets, "--json", "--no-report", "--workers", "1")
        assert json.loads(outcome.out)["runs"] == 2

    def test_a_smoke_run_is_small_and_apart(self, fathom: Fathom, here: Path) -> None:
        outcome = fathom("run", "s.yaml", "--smoke", "--no-report", "--workers", "1", "--quiet")
        assert (outcome.code, outcome.err) == (0, "")
        assert [path.name for path in (here / "results").iterdir()] == ["s-smoke"]

    def test_workers_give_the_same_bits(self, fathom: Fathom) -> None:
        digests = set()
        for workers in ("1", "2"):
            args = ("--out", workers, "--workers", workers, "--json", "--no-report")
            outcome = fathom("run", "s.yaml", "--set", "seeds=2", *args)
            digests.add(json.loads(outcome.out)["digest"])
        assert len(digests) == 1

    def test_the_summary_is_one_json_object_whatever_functions_print(
        self, fathom: Fathom, here: Path
    ) -> None:
        (here / "chatty_activations.py").write_text(OWN)
        own = ["--set", "activation=[relu, 'chatty_activations:good']"]
        args = ["--allow", "chatty_activations", "--json", "--no-report", "--workers", "1"]
        outcome = fathom("run", "s.yaml", *own, *args)
        summary = json.loads(outcome.out)
        assert summary["outcomes"] == {"completed": 2}
        assert summary["folder"] == "results/s"
        assert "good was called" in outcome.err

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_an_own_initializer(self, fathom: Fathom, here: Path, workers: str) -> None:
        (here / "own_inits.py").write_text("def ones(tensor, generator):\n    tensor.fill_(1)\n")
        own = ["--set", "init=[he_normal, 'own_inits:ones']", "--allow", "own_inits"]
        args = ["--json", "--no-report", "--workers", workers, "--set", "model.width=[4, 8]"]
        outcome = fathom("run", "s.yaml", *own, *args)
        assert (outcome.code, json.loads(outcome.out)["outcomes"]) == (0, {"completed": 8})

    def test_a_run_that_cannot_be_computed_is_status_1(self, fathom: Fathom, here: Path) -> None:
        (here / "bad_activations.py").write_text(OWN)
        own = ["--set", "activation=[relu, 'bad_activations:bad']", "--allow", "bad_activations"]
        outcome = fathom("run", "s.yaml", *own, "--json", "--no-report", "--workers", "1")
        summary = json.loads(outcome.out)
        assert (outcome.code, summary["runs"]) == (1, 1)
        assert summary["missing"][0].startswith("bad_activations_bad")
        assert "out of spoons" in outcome.err, "quiet about progress, not about trouble"
        outcome = fathom("run", "s.yaml", *own, "--no-report", "--workers", "1")
        assert "raised ValueError: out of spoons" in outcome.err
        assert "why there is no result: results/s/training.log" in outcome.out
        assert "Traceback" not in outcome.err
        assert "Traceback" in (here / "results" / "s" / "training.log").read_text()


class TestMistakes:
    @pytest.mark.parametrize(
        ("args", "told"),
        [
            (["rnu", "s.yaml"], "Did you mean 'run'?"),
            (["run", "s.yaml", "--worker", "2"], "--workers"),
            (["run"], "Missing argument"),
            (["run", "mist.yaml"], "mist.yaml: 1 problem\n  no such file"),
            (["run", "digitz"], "Did you mean 'digits'?"),
            (["run", "s.yaml", "--set", "train.lr=fast"], "train.lr"),
            (["run", "s.yaml", "--set", "train.lrr=1"], "Did you mean"),
            (["run", "s.yaml", "--data-dir", "nowhere"], "nowhere: no such folder"),
            (["run", "s.yaml", "--workers", "0"], "workers: got 0; must be an integer >= 1"),
            (["run", "s.yaml", "--workers", "two"], "--workers"),
            (["run", "s.yaml", "--executor", "cloud"], "'cloud'"),
            (["run", "s.yaml", "--checkpoint-every", "-1"], "--checkpoint-every"),
            (["run", "s.yaml", "--set", "seeds=60000"], "--yes-run 120000"),
            (["plan", "s.yaml", "--set", "data=arrays"], "data.path"),
            (["list", "activation"], "Did you mean 'activations'?"),
            (["report", "nowhere"], "nowhere"),
            (["export", "cvs", "results"], "Did you mean 'csv'?"),
            (["export", "csv", "nowhere"], "nowhere"),
            (["verify", "."], "is not a results folder"),
        ],
    )
    def test_one_message_and_nothing_changed(
        self, fathom: Fathom, here: Path, args: list[str], told: str
    ) -> None:
        before = snapshot(here)
        outcome = fathom(*args)
        assert outcome.code == 2
        assert told in outcome.err
        assert outcome.out == ""
        assert "Traceback" not in outcome.err
        assert snapshot(here) == before

    def test_another_studys_folder_is_refused_and_unchanged(
        self, fathom: Fathom, here: Path
    ) -> None:
        fathom("run", "s.yaml", "--no-report", "--workers", "1")
        before = snapshot(here / "results")
        outcome = fathom("run", "s.yaml", "--set", "train.lr=0.5", "--workers", "1")
        assert outcome.code == 2
        assert "train.lr: 0.1 -> 0.5" in outcome.err
        assert snapshot(here / "results") == before

    def test_results_that_are_no_folder(self, fathom: Fathom, here: Path) -> None:
        (here / "results").write_text("mine")
        outcome = fathom("run", "s.yaml", "--workers", "1")
        assert outcome.code == 2
        assert "results" in outcome.err


class TestLooking:
    def test_a_plan_costs_nothing(self, fathom: Fathom, here: Path) -> None:
        before = snapshot(here)
        plan = json.loads(fathom("plan", "s.yaml", "--json", "--workers", "1").out)
        assert (plan["num_runs"], plan["num_cohorts"], plan["workers"]) == (2, 1, 1)
        assert len(plan["cohorts"][0]["runs"]) == 2
        table = fathom("plan", "s.yaml", "--workers", "1").out
        assert "digits, hidden layers 1 x 8" in table
        assert "s: 2 runs, 1 cohort, 1 worker" in table
        assert snapshot(here) == before

    def test_a_plan_and_a_run_of_an_image_network(self, fathom: Fathom, here: Path) -> None:
        """Counted, warned of once, without a prediction, and its metrics told at the end."""
        (here / "images.yaml").write_text(IMAGES)
        table = fathom("plan", "images.yaml", "--workers", "1").out
        assert "digits, vit(heads=2, patch=4, width=16)" in table
        assert table.count("warning: vit: each head has width / heads = 8 numbers") == 1
        assert "2 of 2 runs: no prediction: theory covers multilayer perceptrons only" in table
        plan = json.loads(fathom("plan", "images.yaml", "--workers", "1", "--json").out)
        (warning,) = plan["warnings"]
        # Patches, class token and positions; a block of norms, attention and hidden layer; the end.
        block = 4 * 16 + (16 + 1) * 48 + (16 + 1) * 16 + (16 + 1) * 64 + (64 + 1) * 16
        parameters = (16 + 1) * 16 + 16 + 5 * 16 + block + 2 * 16 + (16 + 1) * 10
        assert {cohort["parameters"] for cohort in plan["cohorts"]} == {parameters}
        outcome = fathom("run", "images.yaml", "--workers", "1", "--no-report")
        assert outcome.err.count(f"warning: {warning}") == 1
        assert "Each run's best network on the test part" in outcome.out
        results = Results.open(here / "results" / "images")
        metrics, runs = results.metrics, results.runs
        assert metrics["accuracy"].to_list() == pytest.approx(
            runs["best_epoch_test_accuracy"].to_list()
        )
        for f1 in metrics["f1_macro"]:
            assert f"{f1:.4f}" in outcome.out
        assert set(results.verdicts["verdict_predicted"]) == {"no prediction"}
        assert "no prediction" not in set(results.verdicts["verdict_end"])
        fathom("export", "csv", "results/images")
        lines = (here / "results" / "images" / "csv" / "class_metrics.csv").read_text().splitlines()
        assert len(lines) == 1 + 2 * 10

    def test_the_best_epochs_test_metrics_are_printed(self, fathom: Fathom, here: Path) -> None:
        """At a rate of 5 the last epoch is not the best."""
        settings = ("--set", "train={epochs: 5, lr: 5}", "--workers", "1", "--no-report")
        told = fathom("run", "s.yaml", *settings).out
        runs = Results.open(here / "results" / "s").runs
        assert (runs["best_epoch"] < runs["epochs_run"]).any()
        assert "best epoch: test accuracy, loss" in told
        for row in runs.filter(pl.col("best_epoch") > 0).iter_rows(named=True):
            accuracy, loss = row["best_epoch_test_accuracy"], row["best_epoch_test_loss"]
            assert f"{row['best_epoch']}: {accuracy:.4f}, {loss:.4f}" in told

    @pytest.mark.parametrize(
        ("free", "told"),
        [
            (100.0, "a worker needs [\\d,]+ MiB and 100 are free; a smaller train.batch_size"),
            (600.0, "600 MiB are free; so fewer than 2 workers will run"),
            (1e6, None),
            (None, None),
        ],
    )
    def test_a_plan_says_what_will_not_fit(
        self,
        fathom: Fathom,
        monkeypatch: pytest.MonkeyPatch,
        free: float | None,
        told: str | None,
    ) -> None:
        monkeypatch.setattr("fathom.execution.session.free_memory_mb", lambda: free)
        outcome = fathom("plan", "s.yaml", "--workers", "2", "--set", "seeds=2")
        assert outcome.code == 0
        if told is None:
            assert "are free" not in outcome.out
        else:
            assert re.search(told, outcome.out)

    def test_a_plan_tells_how_far_losses_step(self, fathom: Fathom) -> None:
        """For ten classes a hinge's gradient is sqrt(90) long."""
        plain = fathom("plan", "s.yaml", "--no-predict").out
        assert "dE/dlogits" not in plain
        sweep = ("plan", "s.yaml", "--no-predict", "--set", "loss=[hinge,cross_entropy]")
        told = fathom(*sweep).out
        line = "  hinge: 9.487 (10 classes), steps 10 times those of cross entropy at one rate\n"
        assert line in told
        assert "First steps differ in length between losses" in told
        hinge, entropy = json.loads(fathom(*sweep, "--json").out)["losses"]
        assert hinge["scale"] == pytest.approx(90**0.5)
        assert entropy["ratio"] == 1

    def test_losses_are_listed_with_their_scale(self, fathom: Fathom) -> None:
        rows = {
            row["name"]: row for row in json.loads(fathom("list", "losses", "--json").out)["losses"]
        }
        assert rows["hinge"]["gradient_scale"] == pytest.approx(90**0.5)
        assert rows["mse_softmax"]["times_cross_entropy"] == pytest.approx(0.1)
        told = fathom("list", "losses").out
        assert "times_cross_entropy" in told
        assert "10 classes" in told
        assert "gradient_scale" not in fathom("list", "activations").out

    def test_what_is_shown_is_a_study(self, fathom: Fathom, here: Path) -> None:
        shown = fathom("show", "s.yaml", "--set", "train.lr=0.3").out
        (here / "again.yaml").write_text(shown)
        assert fathom("show", "again.yaml").out == shown
        assert "lr: 0.3" in shown

    @pytest.mark.parametrize("kind", KINDS)
    def test_lists(self, fathom: Fathom, kind: str) -> None:
        rows = json.loads(fathom("list", kind, "--json").out)[kind]
        assert all(row["name"] and row["text"] for row in rows)
        table = fathom("list", kind).out
        assert all(row["name"] in table for row in rows)

    def test_the_schema_is_json(self, fathom: Fathom) -> None:
        schema = json.loads(fathom("schema").out)
        assert {"data", "activation", "train"} <= schema["properties"].keys()


class TestResults:
    @pytest.fixture
    def done(self, fathom: Fathom, here: Path) -> Path:
        fathom("run", "s.yaml", "--no-report", "--workers", "1")
        return here / "results" / "s"

    def test_report(self, fathom: Fathom, done: Path) -> None:
        assert fathom("report", str(done), "--format", "svg").out.strip() == f"{done}/report.html"
        assert {path.suffix for path in (done / "figures").iterdir()} == {".svg"}
        outcome = fathom("report", str(done), "--format", "bmp")
        assert outcome.code == 2
        assert "bmp" in outcome.err

    @pytest.mark.parametrize("verb", [("report", "--format", "png"), ("export", "csv")])
    def test_a_place_that_cannot_be_written(
        self, fathom: Fathom, here: Path, done: Path, verb: tuple[str, ...]
    ) -> None:
        (here / "file").touch()
        outcome = fathom(*verb, str(done), "--to", "file/inside")
        assert (outcome.code, outcome.out) == (2, "")
        assert re.search("file/inside.*: cannot be written: Not a directory", outcome.err)

    def test_export(self, fathom: Fathom, done: Path) -> None:
        assert fathom("export", "csv", str(done)).out.strip() == f"{done}/csv"
        tables = sorted((done / "csv" / "logs").glob("*/metrics.csv"))
        assert len(tables) == 2
        header, *rows = tables[0].read_text().splitlines()
        assert {"epoch", "train_loss", "act_mean_1", "grad_norm_2"} <= {*header.split(",")}
        assert len(rows) == 3

    def test_verify(self, fathom: Fathom, done: Path) -> None:
        good = fathom("verify", str(done), "--json")
        assert (good.code, json.loads(good.out)["damages"]) == (0, [])
        (table,) = done.glob("cohorts/*/epochs.parquet")
        table.write_bytes(table.read_bytes()[:-1])
        outcome = fathom("verify", str(done))
        assert outcome.code == 1
        assert "epochs.parquet" in outcome.out
        shown = fathom("export", "csv", str(done), "--to", "tables")
        assert re.search(r"left out: .*epochs\.parquet.*\n2 runs have no result", shown.err)
        again = fathom("run", "s.yaml", "--no-report", "--workers", "1", "--json")
        assert json.loads(again.out)["digest"] == json.loads(good.out)["digest"]


class TestManners:
    def test_names_that_a_terminal_cannot_write(self, here: Path) -> None:
        (here / "s.yaml").write_text(f"name: größe\n{STUDY}")
        environment = os.environ | {"PYTHONIOENCODING": "ascii"}
        for command in ("show", "plan"):
            outcome = outside(command, "s.yaml", cwd=here, env=environment)
            assert (outcome.code, outcome.err) == (0, "")
            assert r"gr\xf6\xdfe" in outcome.out

    @pytest.mark.parametrize("args", [["--help"], ["run", "--help"]])
    def test_help_loads_nothing_heavy(self, args: list[str]) -> None:
        code = (
            f"import sys; sys.argv[1:] = {args}\n"
            "from fathom.cli import main\n"
            "try: main()\n"
            "except SystemExit: print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "Usage: fathom" in done.stdout
        loaded = {*done.stdout.splitlines()[-1].split()}
        assert loaded & {"torch", "polars", "numpy", "matplotlib", "plotly", "sklearn"} == set()

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        script = f"{sys.executable} -c 'from fathom.cli import main; main()' list activations"
        done = subprocess.run(
            ["bash", "-c", f"{script} | head -1"], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("name")
        assert done.stderr == ""

    @pytest.mark.parametrize("wish", [{"NO_COLOR": "1"}, {}])
    def test_colours_are_as_wished(self, here: Path, wish: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        process = subprocess.Popen(
            [*COMMAND, "run", "s.yaml", "--no-report", "--workers", "1"],
            stdout=theirs,
            stderr=theirs,
            env=environment | {"TERM": "xterm-256color"} | wish,
        )
        os.close(theirs)
        text = b""
        try:
            while piece := os.read(ours, 4096):
                text += piece
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(ours)
        assert process.wait() == 0
        assert b"2/2 runs" in text
        coloured = re.search(rb"\x1b\[[0-9;]*3[0-8]", text) is not None
        assert coloured is not bool(wish)


LONG = ("run", "s.yaml", "--set", "train.epochs=60", "--set", "seeds=2", "--no-report")
SAVING = (*LONG, "--json", "--checkpoint-every", "0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the long study, trained without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "s.yaml").write_text(STUDY)
    return str(json.loads(outside(*SAVING, cwd=folder).out)["digest"])


@pytest.mark.slow
class TestInterruption:
    @pytest.mark.parametrize(
        ("number", "times", "code", "workers"),
        [
            (signal.SIGINT, 1, 130, "1"),
            (signal.SIGINT, 1, 130, "2"),
            (signal.SIGINT, 2, 130, "2"),
            (signal.SIGTERM, 1, 143, "2"),
        ],
    )
    def test_stopped_and_continued_gives_the_same_bits(
        self, here: Path, whole: str, number: int, times: int, code: int, workers: str
    ) -> None:
        command = (*SAVING, "--workers", workers)
        began = time.monotonic()
        process = subprocess.Popen(
            [*COMMAND, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        wait_until(lambda: any((here / "results").rglob("state*")))
        asked = time.monotonic()
        for _ in range(times):
            os.killpg(process.pid, number)
        out, err = process.communicate(timeout=100)
        # The promise is 5 s. A machine may be slow; then so was the way to the first saved state.
        assert time.monotonic() - asked < asked - began
        assert (process.returncode, out) == (code, "")
        assert err.strip().splitlines() == [
            "Stopped. Nothing that was saved is lost: run the same command to go on."
        ]
        went_on = outside(*command, cwd=here)
        assert went_on.code == 0
        assert "goes on after epoch" in (here / "results" / "s" / "training.log").read_text()
        assert json.loads(went_on.out)["digest"] == whole

    def test_continued_with_more_workers_it_goes_on_all_the_same(
        self, here: Path, whole: str
    ) -> None:
        process = subprocess.Popen([*COMMAND, *SAVING, "--workers", "1"], stdout=subprocess.PIPE)
        wait_until(lambda: any((here / "results").rglob("state*")))
        process.kill()
        process.communicate(timeout=100)
        went_on = outside(*SAVING, "--workers", "2", cwd=here)
        assert json.loads(went_on.out)["digest"] == whole
        assert "goes on after epoch" in (here / "results" / "s" / "training.log").read_text()
        assert not any((here / "results").rglob("state*"))

    def test_two_commands_at_once_share_the_work(self, here: Path, whole: str) -> None:
        both = [
            subprocess.Popen(
                [*COMMAND, *SAVING, "--workers", workers], stdout=subprocess.PIPE, text=True
            )
            for workers in ("2", "1")
        ]
        summaries = [json.loads(process.communicate(timeout=200)[0]) for process in both]
        assert [summary["digest"] for summary in summaries] == [whole, whole]
        log = (here / "results" / "s" / "training.log").read_text()
        assert log.count(" starts\n") == log.count(" saved\n"), "each cohort once"
        assert len(re.findall("run .* completed", log)) == 4, "each run once"


def wait_until(condition: Callable[[], bool], limit_s: float = 100) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
