"""One contract for every executor, one for those whose workers can die; then local processes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_work import act, fake_run, fake_task, order_act

from fathom.errors import FathomError
from fathom.execution.base import (
    MAX_DEATHS,
    CohortBusy,
    CohortDone,
    CohortFailed,
    Event,
    Executor,
    Notice,
    Task,
)
from fathom.execution.inline import InlineExecutor
from fathom.execution.processes import ProcessExecutor

MakeExecutor = Callable[[], Executor]


@pytest.fixture(scope="module")
def own_ray() -> Iterator[MakeExecutor]:
    """Start Ray once: executors use a connection that is there already."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray>=2.50'")
    from fathom.execution.ray import RayExecutor, joined

    with joined(None, 2):
        yield lambda: RayExecutor(orders=order_act)


def ray_executor(request: pytest.FixtureRequest) -> Executor:
    return request.getfixturevalue("own_ray")()  # type: ignore[no-any-return]


WITH_WORKERS = [
    pytest.param(lambda _: ProcessExecutor(2, act), id="two processes"),
    pytest.param(ray_executor, id="ray", marks=pytest.mark.xdist_group("ray")),
]
ALONE = [
    pytest.param(lambda _: InlineExecutor(act), id="inline"),
    pytest.param(lambda _: ProcessExecutor(1, act), id="one process"),
]


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Executor:
    return request.param(request)  # type: ignore[no-any-return]


def collect(executor: Executor, tasks: list[Task]) -> list[Event]:
    events: list[Event] = []
    executor.run(tasks, events.append)
    return events


def done(events: list[Event]) -> set[str]:
    return {run.name for e in events if isinstance(e, CohortDone) for run in e.outcomes}


def calls(task: Task) -> int:
    return len(list((task.folder / task.cohort_id).iterdir()))


@pytest.mark.parametrize("executor", ALONE + WITH_WORKERS, indirect=True)
class TestContract:
    def test_no_task_is_no_work(self, executor: Executor) -> None:
        assert collect(executor, []) == []

    def test_every_task_is_carried_out_once(self, executor: Executor, tmp_path: Path) -> None:
        tasks = [fake_task(tmp_path, fake_run(n)) for n in range(6)]
        events = collect(executor, tasks)
        assert done(events) == {f"good {n}" for n in range(6)}
        assert [calls(task) for task in tasks] == [1] * 6

    def test_a_failed_task_leaves_the_others(self, executor: Executor, tmp_path: Path) -> None:
        tasks = [fake_task(tmp_path, fake_run(n, "broken" if n == 1 else "good")) for n in range(4)]
        events = collect(executor, tasks)
        failed = [e.names for e in events if isinstance(e, CohortFailed)]
        assert failed == [("broken 1",)]
        assert done(events) == {"good 0", "good 2", "good 3"}

    def test_a_busy_task_is_tried_again_and_told_once(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        tasks = [fake_task(tmp_path, fake_run(0, "busy_once")), fake_task(tmp_path, fake_run(1))]
        events = collect(executor, tasks)
        assert done(events) == {"busy_once 0", "good 1"}
        assert calls(tasks[0]) == 2
        assert sum(isinstance(e, CohortBusy) for e in events) == 1

    def test_a_hopeless_state_of_affairs_stops_everything(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        with pytest.raises(FathomError, match="the disk is full") as caught:
            collect(executor, [fake_task(tmp_path, fake_run(0, "full_disk"))])
        assert str(caught.value) == "the disk is full", "a traceback is not for users"

    def test_an_executor_can_be_used_again(self, executor: Executor, tmp_path: Path) -> None:
        for number in range(2):
            events = collect(executor, [fake_task(tmp_path, fake_run(number))])
            assert done(events) == {f"good {number}"}


@pytest.mark.parametrize("executor", WITH_WORKERS, indirect=True)
class TestWorkersThatDie:
    def test_a_killed_worker_is_replaced(self, executor: Executor, tmp_path: Path) -> None:
        tasks = [fake_task(tmp_path, fake_run(0, "deadly_once"))]
        tasks += [fake_task(tmp_path, fake_run(n)) for n in range(1, 4)]
        events = collect(executor, tasks)
        assert done(events) == {"deadly_once 0", "good 1", "good 2", "good 3"}
        assert [e.message for e in events if isinstance(e, Notice)] == [
            "a worker died while it trained deadly_once 0; starting it again"
        ]

    @pytest.mark.slow  # nine workers come and go
    def test_a_cohort_that_kills_is_halved_until_the_bad_run_is_alone(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        runs = [fake_run(n, "deadly" if n == 2 else "good") for n in range(4)]
        events = collect(executor, [fake_task(tmp_path, *runs)])
        assert done(events) == {"good 0", "good 1", "good 3"}
        (failure,) = (e for e in events if isinstance(e, CohortFailed))
        assert failure.run_ids == (runs[2].id,)
        assert failure.message.startswith(f"{MAX_DEATHS} workers died")
        assert calls(fake_task(tmp_path, runs[2])) == MAX_DEATHS


class TestProcesses:
    def test_nothing_is_left_running_when_the_parent_is_interrupted(self, tmp_path: Path) -> None:
        executor = ProcessExecutor(2, act)
        tasks = [fake_task(tmp_path, fake_run(0, "endless")), fake_task(tmp_path, fake_run(1))]

        def stop(event: Event) -> None:
            raise KeyboardInterrupt

        before, started = set(children()), time.monotonic()  # Ray's, where it was started
        with pytest.raises(KeyboardInterrupt):
            executor.run(tasks, stop)
        assert time.monotonic() - started < 300, "the endless task was waited for"
        assert set(children()) - before == set()

    def test_what_a_users_function_prints_stays_out_of_our_output(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        collect(ProcessExecutor(1, act), [fake_task(tmp_path, fake_run(0, "noisy"))])
        printed = capfd.readouterr()
        assert (printed.out, printed.err) == ("", "a user's function prints\n")

    def test_a_script_without_a_main_guard_may_start_workers(self, tmp_path: Path) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            f"""import sys
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
from fake_work import act, fake_run, fake_task
from fathom.execution.processes import ProcessExecutor
folder = Path({str(tmp_path)!r})
ProcessExecutor(2, act).run([fake_task(folder, fake_run(n)) for n in range(2)], lambda e: print(1))
"""
        )
        result = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
        )
        assert (result.stdout, result.stderr) == ("1\n1\n", "")

    def test_workers_die_with_their_parent(self, tmp_path: Path) -> None:
        code = f"""import sys
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
from fake_work import act, fake_run, fake_task
from fathom.execution.processes import ProcessExecutor
folder = Path({str(tmp_path)!r})
ProcessExecutor(1, act).run([fake_task(folder, fake_run(0, "endless"))], print)
"""
        parent = subprocess.Popen([sys.executable, "-c", code])
        mark = tmp_path / fake_task(tmp_path, fake_run(0, "endless")).cohort_id / "0"
        wait_until(mark.exists)
        workers = children(parent.pid)
        assert len(workers) == 1
        parent.kill()
        parent.wait()
        wait_until(lambda: not any(alive(pid) for pid in workers))


def test_the_socket_alone_ends_a_worker_where_the_kernel_does_not() -> None:
    code = """import sys, time
sys.platform = "elsewhere"
from fathom.execution.child import _die_with_parent
_die_with_parent(int(sys.argv[1]))
time.sleep(600)
"""
    ours, theirs = socket.socketpair()
    with theirs:
        worker = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    time.sleep(0.5)
    assert worker.poll() is None
    ours.close()
    assert worker.wait(timeout=60) == 1


def wait_until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def children(pid: int | None = None) -> list[int]:
    parent = os.getpid() if pid is None else pid
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # gone in the meantime
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
