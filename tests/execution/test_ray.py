"""What only a cluster can do or suffer; what all executors have in common is in the contract."""

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from fake_work import fake_run, fake_task, order_act, raises

import fathom
from fathom.code_digest import digest_code
from fathom.errors import FathomError
from fathom.execution.base import (
    CohortBusy,
    CohortDone,
    CohortFailed,
    CohortStarted,
    Emit,
    EpochDone,
    Event,
    Notice,
    Task,
)
from fathom.execution.training import Order
from fathom.execution.worker import Orders, Trainer, fingerprint
from fathom.registry import Choice
from fathom.spec.grid import Run
from fathom.store.results import StudyFolder

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray>=2.50'")
from ray.cluster_utils import Cluster  # noqa: E402

from fathom.execution import ray as many  # noqa: E402
from fathom.execution.ray import RayExecutor, joined, num_slots, require_room  # noqa: E402

# Two clusters at once on a small machine disturb each other.
pytestmark = pytest.mark.xdist_group("ray")

MakeRun = Callable[..., Run]
COMMAND = [sys.executable, "-c", "from fathom.cli import main; main()", "run", "study.yaml"]
STUDY = """\
data: {name: digits, limit: 256}
activation: [relu, tanh, gelu]
model: {depth: [1, 2], width: 16}
train: {epochs: 30, lr: 0.1, optimizer: {name: sgd, momentum: 0.9}}
record: {probe_size: 64}
"""
TITLE = b"ray::_carry_out"  # of a worker that is at work
NODE = {"object_store_memory": 100_000_000, "include_dashboard": False}


@pytest.fixture(scope="class")
def one_node() -> Iterator[None]:
    with joined(None, 1):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return new_folder(tmp_path / "made")


def new_folder(path: Path) -> StudyFolder:
    return StudyFolder.open(
        path, study_yaml="name: made\n", study_digest="0" * 16, fingerprint=fingerprint()
    )


def of(kind: type, events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def carry_out(folder: StudyFolder, *runs: Run, then: Emit = lambda _: None) -> list[Event]:
    """Train one cohort on Ray; `then` sees each event."""
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        then(event)

    RayExecutor().run([Task(runs=runs, folder=folder.path, checkpoint_every_s=0.1)], emit)
    return events


def digest_here(path: Path, *runs: Run) -> str:
    folder = new_folder(path)
    Trainer()(Task(runs=runs, folder=folder.path), lambda _: None)
    return folder.canonical_digest()


def workers_at_work(raylet: int | None = None) -> list[int]:
    """Return the processes that carry out an order, of one of this process's nodes or of all."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # gone in the meantime
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(TITLE):
                parent = parent_of(int(entry.name))
                if parent == raylet or (raylet is None and parent_of(parent) == os.getpid()):
                    found.append(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.usefixtures("one_node")
class TestTraining:
    def test_results_are_those_of_this_machine(
        self, folder: StudyFolder, tmp_path: Path, make_run: MakeRun
    ) -> None:
        runs = make_run(), make_run(activation="tanh")
        events = carry_out(folder, *runs)
        assert [type(event) for event in events] == [
            CohortStarted,
            EpochDone,
            EpochDone,
            CohortDone,
        ]
        assert folder.canonical_digest() == digest_here(tmp_path / "here", *runs)

    def test_a_killed_worker_goes_on_where_its_cohort_was_saved(
        self, folder: StudyFolder, tmp_path: Path, make_run: MakeRun
    ) -> None:
        run = make_run(epochs=400)
        killed: list[int] = []

        def kill_once(event: Event) -> None:
            if not killed and list(folder.path.glob("cohorts/*/state")):
                killed.extend(workers_at_work())
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)

        events = carry_out(folder, run, then=kill_once)
        first, second = (event.epoch for event in of(CohortStarted, events))
        assert (first, len(killed)) == (0, 1)
        assert second > 0, "the state that was saved on the command's machine was not found"
        trained = [event.epoch for event in of(EpochDone, events)]
        assert trained.count(1) == 1, "it started anew"
        assert trained.count(second + 1) >= 1
        assert folder.canonical_digest() == digest_here(tmp_path / "here", run)

    def test_a_cohort_held_by_a_local_runner_is_busy(
        self, folder: StudyFolder, make_run: MakeRun
    ) -> None:
        run = make_run()
        task = Task(runs=(run,), folder=folder.path)
        claim = folder.claim(task.cohort_id)
        claim.__enter__()

        def release(event: Event) -> None:
            if isinstance(event, CohortBusy):
                claim.__exit__(None, None, None)

        events = carry_out(folder, run, then=release)
        assert [type(event) for event in events[:2]] == [CohortBusy, CohortStarted]
        assert of(CohortDone, events)

    def test_a_local_runner_finds_cohorts_of_the_cluster_busy(
        self, folder: StudyFolder, make_run: MakeRun
    ) -> None:
        run = make_run()
        seen: list[Event] = []

        def try_too(event: Event) -> None:
            if isinstance(event, EpochDone):
                Trainer()(Task(runs=(run,), folder=folder.path), seen.append)

        carry_out(folder, run, then=try_too)
        assert {type(event) for event in seen} == {CohortBusy}

    def test_an_interruption_frees_node_and_claim(
        self, folder: StudyFolder, make_run: MakeRun
    ) -> None:
        def stop(event: Event) -> None:
            if isinstance(event, EpochDone):
                raise KeyboardInterrupt

        run = make_run(epochs=100_000)
        with pytest.raises(KeyboardInterrupt):
            carry_out(folder, run, then=stop)
        with folder.claim(Task(runs=(run,), folder=folder.path).cohort_id) as free:
            assert free
        end_s = time.monotonic() + 60
        while workers_at_work():
            assert time.monotonic() < end_s, "the worker goes on"
            time.sleep(0.05)

    def test_a_run_that_raises_is_named_and_its_sibling_unharmed(
        self, folder: StudyFolder, tmp_path: Path, make_run: MakeRun
    ) -> None:
        good = make_run()
        bad = make_run(activation=Choice("fake_work:raises", code=digest_code(raises)))
        task = Task(runs=(good, bad), folder=folder.path, allowed_modules=("fake_work",))
        events: list[Event] = []
        RayExecutor().run([task], events.append)
        (failure,) = of(CohortFailed, events)
        assert failure.run_ids == (bad.id,)
        assert "out of spoons" in failure.message
        assert "fake_work.py" in failure.detail
        assert folder.canonical_digest() == digest_here(tmp_path / "here", good)

    def test_other_code_of_a_function_on_a_node_is_refused(
        self, folder: StudyFolder, make_run: MakeRun
    ) -> None:
        run = make_run(activation=Choice("fake_work:raises", code="0" * 16))
        task = Task(runs=(run,), folder=folder.path, allowed_modules=("fake_work",))
        with pytest.raises(FathomError, match=r"'fake_work:raises': its code on .* is not what it"):
            RayExecutor().run([task], lambda _: None)

    def test_a_node_unlike_this_machine_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = many.identity() | {"torch": "2.0", "fathom_code": "older"}
        monkeypatch.setattr(many, "identity", lambda _: other)
        with pytest.raises(FathomError, match=r"fathom_code: there '\w+', here 'older'; torch: th"):
            RayExecutor(orders=order_act).run([fake_task(tmp_path, fake_run(0))], lambda _: None)

    @pytest.mark.parametrize("itself", [False, True])
    def test_what_a_node_cannot_import_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, itself: bool
    ) -> None:
        lost = ModuleType("lost_module")
        exec("def work(data, report): ...\ndef carry_out(*_): yield []", lost.__dict__)
        monkeypatch.setitem(sys.modules, "lost_module", lost)
        if itself:  # a node without Fathom
            monkeypatch.setattr(many, "_carry_out", lost.carry_out)

        def order_lost(task: Task, emit: Emit) -> Orders:
            (order,) = order_act(task, emit)
            yield Order(work=lost.work, data=order.data, receive=emit)

        with pytest.raises(FathomError, match=r"cannot import .*: .*No module named 'lost_module'"):
            RayExecutor(orders=order_lost).run([fake_task(tmp_path, fake_run(0))], lambda _: None)

    def test_a_fault_of_ours_is_a_traceback(self, tmp_path: Path) -> None:
        def order_nonsense(task: Task, emit: Emit) -> Orders:
            (order,) = order_act(task, emit)
            yield Order(work=partial(divmod, 1), data=order.data, receive=emit)

        with pytest.raises(TypeError, match="divmod"):
            RayExecutor(orders=order_nonsense).run(
                [fake_task(tmp_path, fake_run(0))], lambda _: None
            )

    def test_a_task_that_no_node_has_room_for_is_told_at_once(self, tmp_path: Path) -> None:
        assert (num_slots(), num_slots(gpus=0.5)) == (1, 0)
        require_room()
        executor = RayExecutor(orders=order_act, gpus=0.5)
        with pytest.raises(
            FathomError, match=r"a CPU and 0\.5 GPU on one node; together .* 1 CPUs and 0"
        ):
            executor.run([fake_task(tmp_path, fake_run(0))], lambda _: None)

    def test_a_connection_that_was_there_before_stays(self) -> None:
        with joined("nowhere:1", 1):
            pass
        assert ray.is_initialized()


@pytest.mark.parametrize(
    ("resources", "gpus", "room"),
    [
        ({"CPU": 4.0}, 0, 4),
        ({"CPU": 4.0, "GPU": 2.0}, 1, 2),
        ({"CPU": 4.0, "GPU": 2.0}, 0.25, 4),
        ({"CPU": 4.0, "GPU": 1.0}, 2, 0),
        ({}, 0, 0),
    ],
)
def test_a_node_has_room_for(resources: dict[str, float], gpus: float, room: int) -> None:
    assert many._room(resources, gpus) == room


@pytest.mark.parametrize(("num_workers", "limits"), [(None, [2, 1, 1, 3]), (2, [2, 1, 1, 2])])
def test_a_cluster_that_lost_all_room_is_waited_for_and_told_once(
    monkeypatch: pytest.MonkeyPatch, num_workers: int | None, limits: list[int]
) -> None:
    counts = iter([2, 0, 0, 3])
    monkeypatch.setattr(many, "num_slots", lambda gpus: next(counts))
    monkeypatch.setattr(many, "COUNT_EVERY_S", 0.0)
    events: list[Event] = []
    executor = RayExecutor(orders=order_act, num_workers=num_workers)
    campaign = many._Campaign(executor, [], events.append)
    assert [campaign._limit() for _ in range(4)] == limits
    (notice,) = events
    assert isinstance(notice, Notice)
    assert "waiting for a node" in notice.message


def test_tensors_travel_whole_and_alone() -> None:
    large = torch.arange(1_000_000, dtype=torch.float64).reshape(1000, 1000)
    sent = {"column": large[:, 3], "row": large[5], "scalar": torch.tensor(7), "none": large[:0]}
    packed = many.pack(sent)
    assert len(packed) < 2 * 8 * 2000
    received = pickle.loads(packed)
    assert received.keys() == sent.keys()
    for name, tensor in sent.items():
        assert torch.equal(received[name], tensor)
        assert received[name].dtype == tensor.dtype
    received["row"] += 1  # it can be written to


class TestMistakes:
    def test_a_ray_that_does_not_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ValueError("/dev/shm is full")

        monkeypatch.setattr(ray, "init", fail)
        with pytest.raises(FathomError, match="cannot be started or joined: /dev/shm is full"):
            joined(None, 1).__enter__()

    @pytest.mark.parametrize("address", ["", "here", "ray://head:10001", "head:99999", "local"])
    def test_an_address_of_another_form(self, address: str) -> None:
        with (
            pytest.raises(FathomError, match=f"got '{address}'; must be host:port"),
            joined(address, 1),
        ):
            pass

    def test_an_address_where_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with (
            pytest.raises(FathomError, match=r"cannot join .* Connection refused"),
            joined(f"127.0.0.1:{port}", 1),
        ):
            pass

    def test_an_address_where_something_else_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(many, "CONNECT_LIMIT_S", 4.0)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with (
                pytest.raises(FathomError, match="no Ray cluster answered within 4 s"),
                joined(f"127.0.0.1:{port}", 1),
            ):
                pass

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (
                "Traceback:\\nConnectionError: no raylet here",
                "cluster: ConnectionError: no raylet h",
            ),
            ("RPC error: InvalidAuthToken: x\\nConnectionError: y", "set RAY_AUTH_MODE=token"),
            ("", "Ray ended with 1"),
        ],
    )
    def test_what_ray_says_is_told_in_one_line(
        self, monkeypatch: pytest.MonkeyPatch, said: str, told: str
    ) -> None:
        monkeypatch.setattr(many, "_PROBE", f"import sys; sys.exit('{said}' or 1)")
        with pytest.raises(FathomError, match=told) as caught, joined("auto", 1):
            pass
        assert "\n" not in str(caught.value)

    def test_an_address_without_the_executor(self, tmp_path: Path) -> None:
        study = fathom.Study(data="digits", activation="relu", model={"depth": 1})
        with pytest.raises(FathomError, match="add --executor ray"):
            study.run(tmp_path, address="auto")
        assert list(tmp_path.iterdir()) == []

    def test_ray_that_is_not_installed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        monkeypatch.delitem(sys.modules, "fathom.execution.ray")
        monkeypatch.delattr("fathom.execution.ray")
        study = fathom.Study(data="digits", activation="relu", model={"depth": 1})
        with pytest.raises(FathomError, match=r"pip install 'ray>=2.50'"):
            study.run(tmp_path, executor="ray")
        assert list(tmp_path.iterdir()) == []

    def test_only_where_it_is_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "study.yaml").write_text(STUDY)
        code = "import sys; from fathom import Study; Study.load('study.yaml', smoke=True)"
        code += ".run(executor='inline', progress=False); sys.exit('ray' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=100)


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(STUDY)
    return subprocess.Popen(
        [*COMMAND, "--no-report", "--json", "--checkpoint-every", "0", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, *options: str) -> dict[str, Any]:
    process = start(folder, *options)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    summary: dict[str, Any] = json.loads(out)
    assert (summary["runs"], summary["missing"]) == (6, [])
    return summary


@pytest.mark.slow
def test_the_command_may_be_killed_and_given_again(tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole", "--executor", "inline")["digest"]
    log = tmp_path / "killed/results/study/training.log"
    killed = start(tmp_path / "killed", "--executor", "ray", "--workers", "1")
    end_s = time.monotonic() + 100
    while not list(log.parent.glob("cohorts/*/state")):
        assert time.monotonic() < end_s
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert finish(tmp_path / "killed", "--executor", "ray", "--workers", "1")["digest"] == whole
    assert "goes on after epoch" in log.read_text()


class Saboteur:
    """Watches a study, kills a worker after 20 cohorts, and takes a node away after 60.

    A worker is stopped for a while before that happens to it, and is then surely at a task. There
    must be work left for the others meanwhile.
    """

    def __init__(self, cluster: Any, node: Any) -> None:
        self._cluster, self._node = cluster, node
        self._num_done = 0
        self._open: dict[str, float] = {}  # when cohorts that are not done were begun
        self._steps = self._sabotage()
        self.notices: list[str] = []

    def __enter__(self) -> "Saboteur":
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def show(self, tally: Any, event: Event) -> None:
        self._num_done += isinstance(event, CohortDone)
        if isinstance(event, CohortStarted):
            self._open[event.cohort_id] = time.monotonic()
        elif isinstance(event, CohortDone):
            self._open.pop(event.cohort_id, None)
        if isinstance(event, Notice):
            self.notices.append(event.message)
        next(self._steps, None)

    def _sabotage(self) -> Iterator[None]:
        yield from self._until(lambda: self._num_done >= 20)
        pid = yield from self._stop_one(None)
        os.kill(pid, signal.SIGKILL)
        yield from self._until(lambda: self._num_done >= 60)
        raylet = self._node.all_processes["raylet"][0].process.pid
        pid = yield from self._stop_one(raylet)
        self._cluster.remove_node(self._node, allow_graceful=False)
        os.kill(pid, signal.SIGKILL)  # stopped, it cannot see that its node is gone

    def _stop_one(self, raylet: int | None) -> Generator[None, None, int]:
        yield from self._until(lambda: bool(workers_at_work(raylet)))
        pid = workers_at_work(raylet)[0]
        os.kill(pid, signal.SIGSTOP)
        end_s = time.monotonic() + 1.0
        yield from self._until(lambda: time.monotonic() > end_s)
        if any(end_s - begun_s > 0.8 for begun_s in self._open.values()):
            return pid  # healthy workers are done with a cohort long before
        os.kill(pid, signal.SIGCONT)  # it had reported all it had to: nothing would be lost
        return (yield from self._stop_one(raylet))

    def _until(self, condition: Callable[[], bool]) -> Iterator[None]:
        while not condition():
            yield


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_tasks_survive_the_loss_of_a_worker_and_of_a_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = fathom.Study(
        data={"name": "digits", "limit": 128},
        activation=["relu", "tanh"],
        model={"depth": 1, "width": 8},
        train={"batch_size": list(range(8, 48)), "epochs": [4, 6, 8, 10, 12], "lr": 0.1},
        record={"probe_size": 32},
    )
    assert len(study.plan(workers=2).cohorts) == 200
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 1})
    try:
        saboteur = Saboteur(cluster, cluster.add_node(num_cpus=1, **NODE))
        results = study.run(
            tmp_path / "ray",
            executor="ray",
            address=cluster.address,
            checkpoint_every_s=0,
            progress=saboteur,
        )
    finally:
        cluster.shutdown()
    here = study.run(tmp_path / "here", executor="inline", progress=False)
    with capsys.disabled():
        print(f"\n200 cohorts, {results.runs.height} of {study.num_runs} runs; {saboteur.notices}")
    died, lost = saboteur.notices
    assert died.startswith("a worker died while it trained 2 runs")
    assert lost.startswith("a node was lost while it trained 2 runs")
    assert (results.missing, results.runs.height) == ((), 400)
    assert results.digest == here.digest


def test_a_signal_means_what_it_meant_before() -> None:
    """Ray would answer SIGTERM with pages about its threads; the command has a sentence for it."""
    before = signal.getsignal(signal.SIGTERM)
    with many.joined(None, 1):
        assert signal.getsignal(signal.SIGTERM) is before
