"""The benchmark's arithmetic, its processes and what its rivals learn; never a time."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from benchmarks import chart, check, peak, samples, step
from benchmarks.measure import Series, begin, crew, measure
from benchmarks.options import parse
from benchmarks.results import Peak, Results, Row, best, load, save, summarise, summarise_peaks
from benchmarks.results import warnings as doubts
from benchmarks.rivals import RIVALS
from benchmarks.rivals.autograd import AutogradLoop
from benchmarks.rivals.base import Rival, Training
from benchmarks.rivals.networks import sequential
from benchmarks.rivals.vmap import Vmap
from benchmarks.setting import (
    ACTIVATIONS,
    BATCH_SIZE,
    MIXED,
    NUM_CLASSES,
    NUM_FEATURES,
    Samples,
    Setting,
    batches,
    initial_weights,
)
from benchmarks.worker import Timing, Worker, use_only
from torch.utils.flop_counter import FlopCounterMode

from fathom.errors import FathomError

RELU = Setting(5, "relu")


@dataclass(frozen=True, slots=True)
class Fake(Rival):
    """A rival whose behaviour inside its process is chosen by `deed`."""

    family: ClassVar = "fake"

    deed: str = "count"
    threads: int = 1

    @property
    def variant(self) -> str:
        return self.deed

    def prepare(self, setting: Setting, samples: Samples) -> Training:
        taken: list[int] = []

        def train(steps: int) -> None:
            if self.deed == "die":
                os._exit(7)
            if self.deed == "fail":
                raise ValueError("a planted fault")
            taken.append(steps)

        def losses() -> list[float]:
            if self.deed == "environment":
                return [len(os.sched_getaffinity(0)), float(os.environ["OMP_NUM_THREADS"])]
            return [float(sum(taken)), float(len(samples.labels))]

        return Training(train=train, losses=losses, networks=3, multiple_of=2)


class FakeWorker:
    """Stands for a process; a step takes 10 ms by its own clock."""

    def __init__(self, multiple_of: int = 1, log: list[Any] | None = None) -> None:
        self.multiple_of, self.log = multiple_of, [] if log is None else log

    def prepare(self, rival: Rival, setting: Setting) -> tuple[int, int]:
        return 4, self.multiple_of

    def time(self, rival: Rival, setting: Setting, steps: int) -> Timing:
        self.log.append((rival, setting, steps))
        return Timing(0.01 * steps, 0.01 * steps)

    def losses(self, rival: Rival, setting: Setting) -> list[float]:
        return [1.0]

    def clear(self) -> None:
        self.log.append("clear")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few batches of random samples where workers find them."""
    place = tmp_path_factory.mktemp("samples")
    draws = np.random.default_rng(1)  # no unit of relu lies so near 0 that rounding decides
    images = draws.integers(0, 256, (5 * BATCH_SIZE, NUM_FEATURES), dtype=np.uint8)
    samples.save(Samples(images, draws.integers(0, NUM_CLASSES, len(images))), place)
    return place


def core() -> list[int]:
    return [max(os.sched_getaffinity(0))]


def row(**values: Any) -> Row:
    known: dict[str, Any] = {
        "rival": "autograd",
        "variant": "threads=1",
        "depth": 5,
        "activation": "relu",
        "networks": 1,
        "threads": 1,
        "steps": 1,
        "wall_s": [1.0],
        "cpu_s": [1.0],
        "epoch_s": 1.0,
        "core_s": 1.0,
        "gflops": 1.0,
        "share_of_large": 0.5,
        "share_of_step": 0.5,
        "losses": [1.0],
    }
    return Row(**{**known, **values})


def results(rows: Sequence[Row]) -> Results:
    machine = {"processor": "p", "cores": 2, "cores_used": [1], "torch": "2", "jax": None}
    peaks = [Peak(depth=5, product="large", gflops=2.0, repeats_gflops=[1.0, 2.0, 3.0])]
    return Results(
        machine={**machine, "date": "2026-01-01"},
        samples="random",
        peaks=peaks,
        rows=list(rows),
        skipped=["a line"],
    )


# What is trained -------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_operations_are_those_that_torch_counts(depth: int) -> None:
    setting = Setting(depth, "tanh")
    network = sequential(initial_weights(setting, "tanh", 0), "tanh")
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(BATCH_SIZE, NUM_FEATURES)).sum().backward()
    assert setting.step_flops == counter.get_total_flops()


@pytest.mark.parametrize("kind", list(peak.FLOPS))
def test_operations_of_products_are_those_that_torch_counts(kind: str) -> None:
    training = peak.Product(kind).prepare(RELU, None)  # type: ignore[arg-type]
    with FlopCounterMode(display=False) as counter:
        training.train(2)
    assert 2 * peak.FLOPS[kind] == counter.get_total_flops()


def test_a_pass_takes_each_sample_once_and_passes_differ() -> None:
    order = batches(3 * BATCH_SIZE + 5)
    passes = [np.concatenate([next(order) for _ in range(3)]) for _ in range(2)]
    for indices in passes:
        assert len(np.unique(indices)) == 3 * BATCH_SIZE
        assert set(indices) <= set(range(3 * BATCH_SIZE + 5))
    assert (passes[0] != passes[1]).any()
    again = batches(3 * BATCH_SIZE + 5)
    assert (np.concatenate([next(again) for _ in range(3)]) == passes[0]).all()


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("sigmoid", 1.0)])
def test_initial_weights_have_their_variance(activation: str, gain: float) -> None:
    # 100,352 draws: the estimate's standard error is sqrt(2 / n) = 0.45 % of the variance.
    weight = initial_weights(RELU, activation, 0)[0].weight
    assert weight.var() * NUM_FEATURES == pytest.approx(gain, rel=0.02)


def test_networks_start_from_different_weights() -> None:
    starts = [initial_weights(RELU, a, n)[1].weight[0, 0] for a in ACTIVATIONS for n in range(2)]
    assert len(set(starts)) == 8


@pytest.mark.slow
def test_rivals_learn_the_same(folder: Path) -> None:
    rivals = [r for make in RIVALS.values() for r in make(1) if r.missing() is None]
    with crew(rivals, core(), folder) as workers:
        found = check.last_losses(workers, rivals, [*ACTIVATIONS, MIXED])
    assert len(found) == 5
    for setting, by_rival in found.items():
        assert {"autograd threads=1", "vmap R=4", "vmap R=8"} <= {*by_rival}
        assert all(len(losses) == len(setting.kinds) for losses in by_rival.values())
        assert check.compare({setting: by_rival})[1], by_rival


@pytest.mark.parametrize(
    ("relu", "gelu", "agree"),
    [
        (1 + 5e-5, 1 + 5e-7, True),
        (1 + 5e-4, 1.0, False),
        (1.0, 1 + 4e-6, False),
        (1.0, float("nan"), False),
    ],
)
def test_a_difference_is_noticed(relu: float, gelu: float, agree: bool) -> None:
    by_rival = {"one": [1.0, 1.0, 1.0, 1.0], "two": [relu, 1.0, gelu, 1.0]}
    assert check.compare({Setting(5, MIXED): by_rival})[1] is agree


def test_a_check_needs_two_kinds_of_rivals() -> None:
    with pytest.raises(FathomError, match="at least two rivals"):
        check.last_losses({}, [AutogradLoop(1), RIVALS["dataloader"](1)[0]], ["relu"])


# How it is measured ----------------------------------------------------------------------------


@pytest.mark.parametrize(("multiple_of", "steps"), [(1, 50), (20, 60), (200, 200)])
def test_a_measurement_takes_about_half_a_second(multiple_of: int, steps: int) -> None:
    worker: Any = FakeWorker(multiple_of)
    series = begin(worker, Fake(), RELU)
    assert (series.steps, series.networks) == (steps, 4)
    assert len(worker.log) >= 2, "the first call warms up"


def test_a_round_measures_everything_before_the_next() -> None:
    log: list[Any] = []
    contests: list[tuple[Rival, Setting]] = [(Fake("a"), RELU), (Fake("b"), RELU)]
    workers: Any = {("fake", 1): FakeWorker(log=log)}
    series = measure(workers, contests, 3, lambda _: None)
    assert [entry[0].deed for entry in log[-7:-1]] == ["a", "b"] * 3
    assert log[-1] == "clear"
    assert [len(one.timings) for one in series] == [3, 3]


def test_a_worker_trains_and_is_told_how_often(folder: Path) -> None:
    rival = Fake()
    with Worker("fake", core(), folder) as worker:
        assert worker.prepare(rival, RELU) == (3, 2)
        timing = worker.time(rival, RELU, 4)
        worker.time(rival, RELU, 6)
        assert timing.wall_s > 0
        assert worker.losses(rival, RELU) == [10.0, 5.0 * BATCH_SIZE]
        with pytest.raises(RuntimeError, match="the rest of the steps"):
            worker.time(rival, RELU, 3)


def test_a_worker_keeps_to_its_core_and_threads(folder: Path) -> None:
    with Worker("fake", core(), folder) as worker:
        worker.prepare(Fake("environment"), RELU)
        assert worker.losses(Fake("environment"), RELU) == [1.0, 1.0]


def test_a_process_is_bound_to_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[tuple[int, Sequence[int]]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda *given: bound.append(given))
    monkeypatch.setattr(os, "environ", {})
    use_only([2, 3])
    assert bound == [(0, [2, 3])]
    assert os.environ["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize("module", ["benchmarks.step", "benchmarks.worker", "benchmarks.chart"])
def test_no_library_of_a_rival_is_loaded_before_its_process_needs_it(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "jax"} & {*done.stdout.split()} == set()


def test_the_death_of_a_worker_is_told_in_one_sentence(folder: Path) -> None:
    with Worker("some rival", core(), folder) as worker:
        worker.prepare(Fake("die"), RELU)
        with pytest.raises(FathomError, match="some rival: its process ended with status 7"):
            worker.time(Fake("die"), RELU, 2)


def test_a_fault_in_a_worker_comes_with_its_traceback(folder: Path) -> None:
    with Worker("fake", core(), folder) as worker:
        worker.prepare(Fake("fail"), RELU)
        with pytest.raises(RuntimeError, match=r"(?s)Traceback.*a planted fault"):
            worker.time(Fake("fail"), RELU, 2)
        assert worker.prepare(Fake(), RELU) == (3, 2), "it goes on"


# What is made of the times ---------------------------------------------------------------------


def test_times_become_seconds_per_epoch_and_network() -> None:
    rival = AutogradLoop(2)
    timings = [Timing(wall, 2 * wall) for wall in (0.5, 99.0, 0.4)]
    series = Series(rival, RELU, steps=10, networks=4, timings=timings, losses=[1.0])
    peaks = [
        Peak(depth=5, product=product, gflops=gflops, repeats_gflops=[gflops])
        for product, gflops in (("large", 100.0), ("step", 50.0))
    ]
    found = summarise(series, peaks)
    assert found.epoch_s == pytest.approx(0.5 / 10 / 4 * 468.75)
    assert found.core_s == pytest.approx(2 * found.epoch_s)
    assert found.gflops == pytest.approx(RELU.step_flops * 4 * 10 / 0.5 / 2 / 1e9)
    assert found.share_of_large == pytest.approx(found.gflops / 100)
    assert found.share_of_step == pytest.approx(found.gflops / 50)
    assert found.wall_s == [0.5, 99.0, 0.4]


def test_the_median_speed_of_a_product_counts() -> None:
    timings = [Timing(wall, wall) for wall in (1.0, 2.0, 50.0)]
    series = Series(peak.Product("forward"), RELU, steps=3, networks=1, timings=timings)
    (found,) = summarise_peaks([series])
    assert found.gflops == pytest.approx(3 * 2 * 4 * 128**3 / 2.0 / 1e9)


def test_the_variant_that_costs_the_least_core_seconds_counts() -> None:
    fast_but_wide = row(variant="threads=2", threads=2, epoch_s=0.8, core_s=1.6)
    rows = [fast_but_wide, row(), row(rival="vmap", core_s=3.0), row(depth=9, core_s=7.0)]
    chosen = best(rows)
    assert chosen[RELU]["autograd"].variant == "threads=1"
    assert chosen[RELU]["vmap"].core_s == 3.0
    assert chosen[Setting(9, "relu")]["autograd"].core_s == 7.0


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"cpu_s": [1.5]}, ["autograd, 5 layers: it used more threads than it was to"]),
        ({"cpu_s": [0.5]}, ["autograd, 5 layers: it had to share its core with others"]),
        (
            {"losses": [1.0, float("nan")]},
            ["autograd, 5 layers: some of its losses are not finite"],
        ),
        ({"cpu_s": [2.0], "threads": 2}, []),
    ],
)
def test_doubtful_measurements_are_named_once(values: dict[str, Any], told: list[str]) -> None:
    same = [row(**values), row(), row(**values, activation="tanh")]
    assert doubts(same) == told


def test_results_survive_their_file(tmp_path: Path) -> None:
    written = results([row(), row(rival="jax")])
    save(written, tmp_path / "r.json")
    assert load(tmp_path / "r.json") == written


# The commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "--out FILE is needed"),
        ("--out no/where/r.json", "there is no folder .*no/where"),
        ("--out .", "is a folder"),
        ("--out r.json --data no/where", "there is no folder no/where"),
        ("--out r.json --activations relu,tnah", "'tnah'. Did you mean 'tanh'?"),
        ("--out r.json --rivals jaxx", "'jaxx'. Did you mean 'jax'?"),
        ("--out r.json --depths 5,0", "'0'; must be an integer from 1"),
        ("--out r.json --depths 5,,7", "''; must be an integer from 1"),
        ("--out r.json --repeats -1", "'-1'; must be an integer from 1"),
    ],
)
def test_a_wrong_command_line_is_one_message(
    arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(arguments.split())
    assert re.search(told.replace("?", r"\?"), capsys.readouterr().err)


def test_a_command_line_is_read() -> None:
    words = "--out r.json --depths 5,20,5 --activations mixed --rivals jax,vmap"
    options = parse(words.split())
    assert (options.depths, options.activations) == ((5, 20), ("mixed",))
    assert (options.rivals, options.repeats, options.check) == (("jax", "vmap"), 5, False)
    quick = parse(["--out", "r.json", "--quick"])
    assert (quick.depths, quick.activations, quick.repeats) == ((5,), ("relu",), 2)


def test_what_is_missing_is_skipped_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vmap, "missing", lambda _: "not here")
    rivals, skipped = step.present(["autograd", "vmap"], 2)
    assert rivals == [AutogradLoop(1), AutogradLoop(2)]
    assert skipped == ["vmap: skipped: not here"]
    monkeypatch.setattr("benchmarks.rivals.jax_scan.find_spec", lambda _: None)
    assert step.present(["jax"], 2) == (
        [],
        ["jax: skipped: JAX is not installed; the extra `bench` brings it"],
    )
    assert "only one core" in step.present(["autograd"], 1)[1][0]


@pytest.mark.slow
def test_a_short_benchmark_writes_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr("benchmarks.samples.random_samples", lambda: samples.load(folder))
    monkeypatch.setattr("benchmarks.step.usable_cores", core)
    monkeypatch.setattr("benchmarks.measure.TARGET_S", 0.02)
    out = tmp_path / "r.json"
    words = "--depths 1 --activations relu,mixed --rivals autograd,vmap --repeats 2"
    assert step.main([*words.split(), "--out", str(out)]) == 0
    found = load(out)
    assert [peak.product for peak in found.peaks] == [*peak.FLOPS]
    names = [("autograd", 1), ("vmap", 4), ("vmap", 8), ("autograd", 4), ("vmap", 4), ("vmap", 8)]
    assert [(one.rival, one.networks) for one in found.rows] == names
    assert all(len(one.wall_s) == 2 and np.isfinite(one.losses).all() for one in found.rows)


def test_a_chart_shows_the_best_variants(tmp_path: Path) -> None:
    rows = [row(core_s=2.0), row(rival="jax"), row(rival="jax", core_s=0.5), row(depth=9)]
    assert chart.bars(rows) == {
        5: {"relu": {"autograd": 2.0, "jax": 0.5}},
        9: {"relu": {"autograd": 1.0}},
    }
    save(results(rows), tmp_path / "r.json")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    assert [chart.main([str(tmp_path / "r.json"), str(file)]) for file in files] == [0, 0]
    assert files[0].read_bytes() == files[1].read_bytes()
    heights = [bar.get_height() for bar in chart.draw(results(rows)).axes[0].patches]  # type: ignore[attr-defined]
    assert heights == [2.0, 0.5]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "is not a result"),
        ('{"format": 1, "rows": []}', "holds no measurement"),
    ],
)
def test_a_chart_of_nothing_is_refused(
    tmp_path: Path, content: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "r.json").write_text(content)
    assert chart.main([str(tmp_path / "r.json"), str(tmp_path / "a.svg")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "a.svg").exists()


def test_every_rival_has_a_name_and_a_colour_in_the_chart() -> None:
    assert {*RIVALS} == {*chart.NAMES} == {*chart.COLOURS}


def test_variants_of_a_rival_are_told_apart() -> None:
    for name, make in RIVALS.items():
        variants = make(4)
        assert {rival.family for rival in variants} == {name}
        pairs = itertools.combinations(variants, 2)
        assert all(a.variant != b.variant for a, b in pairs)
