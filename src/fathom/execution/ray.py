"""The executor for many machines: what is to be trained goes to a Ray cluster, one task a cohort.

The results folder and the data stay on the machine of the command; nodes need neither. The command
itself claims cohorts, loads and saves their states and commits them, as for its own processes, so
that all promises about the folder hold; a node is sent data and a state, and reports back. Whatever
dies, claims die with nobody but the command.
"""

import functools
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, final

import ray
from ray import ObjectRef, ObjectRefGenerator
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from fathom.data.splits import PreparedData, prepare
from fathom.errors import FathomError
from fathom.execution.base import RETRY_BUSY_S, Backlog, CohortBusy, Emit, Event, Notice, Task
from fathom.execution.child import Aborted
from fathom.execution.node import identity, pack, reports_of, unlike
from fathom.execution.training import Order
from fathom.execution.worker import Orders, Trainer

CONNECT_LIMIT_S: Final = 30.0
COUNT_EVERY_S: Final = 5.0  # nodes come and go
LARGEST_PORT: Final = 65_535
NUM_DATA_SETS: Final = 8  # kept by the command, whose tasks come in any order

_WORKER_GONE: Final = (WorkerCrashedError, OutOfMemoryError)
_NODE_GONE: Final = (NodeDiedError, LocalRayletDiedError, ObjectLostError)
# By itself ray.init prints for two minutes and then ends the process, so another one tries first.
_PROBE: Final = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


@contextmanager
def joined(address: str | None, num_cpus: int) -> Iterator[None]:
    """Be part of a cluster within the block.

    A connection that this process has already is used as it is, and left open.

    Args:
        address: Of the cluster, as `host:port`, or `auto` for the one that this machine belongs to;
            None starts one on this machine alone, which ends with the block.
        num_cpus: Tasks at once of a cluster that is started here.

    Raises:
        FathomError: If there is no such cluster.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        where: dict[str, Any] = {
            "address": "local",
            "num_cpus": num_cpus,
            "include_dashboard": False,
        }
    else:
        _require_cluster(address)
        where = {"address": address}
    try:
        with _own_signals():
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:  # no memory, no room in /dev/shm or /tmp
        raise FathomError(f"Ray cannot be started or joined: {error}") from error
    # Ray prints pages about a dead node or worker, on standard output; we have a notice for it.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what this process does about SIGTERM; Ray would end it with pages about its threads."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals, and so Ray leaves them alone
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def num_slots(gpus: float = 0) -> int:
    """Return how many tasks have room in the cluster at once.

    Args:
        gpus: GPUs that each needs; may be a share of one.
    """
    return sum(_room(resources, gpus) for resources in _nodes())


def require_room(gpus: float = 0) -> None:
    """Check that the cluster has room for a task, which would otherwise wait for ever.

    Raises:
        FathomError: If no node has what a task needs.
    """
    if num_slots(gpus):
        return
    nodes = _nodes()
    cpus, devices = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    need = "a CPU" + (f" and {gpus:g} GPU" if gpus else "")
    raise FathomError(
        f"the Ray cluster has no room for a task, which needs {need} on one node; together its "
        f"nodes have {cpus:g} CPUs and {devices:g} GPUs. Add a node that has room "
        "(ray start --address=... --num-cpus=... --num-gpus=...)"
    )


def _nodes() -> list[dict[str, float]]:
    """Return the resources of each node that is alive."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def _room(resources: Mapping[str, float], gpus: float) -> int:
    cpus = resources.get("CPU", 0)
    return int(min(cpus, resources.get("GPU", 0) / gpus)) if gpus else int(cpus)


@dataclass(slots=True, eq=False)
class _Assignment:
    """A task that a node is at work on, with what the results folder's side does next."""

    task: Task
    orders: Orders
    order: Order
    stream: ObjectRefGenerator


@final
@dataclass(slots=True, kw_only=True)
class RayExecutor:
    """Run tasks on a Ray cluster.

    Attributes:
        address: Of the cluster, see `joined`; None starts one on this machine.
        num_workers: Tasks at once; as many as there is room for when None, which needs an address.
        gpus: GPUs that each task is given; may be a share of one.
        orders: Does a task's part at the results folder and tells what nodes are to do.
    """

    address: str | None = None
    num_workers: int | None = None
    gpus: float = 0
    orders: Callable[[Task, Emit], Orders] = field(
        default_factory=lambda: Trainer(functools.lru_cache(NUM_DATA_SETS)(prepare)).orders
    )

    def run(self, tasks: Sequence[Task], emit: Emit) -> None:
        """Carry out all tasks, see `Executor.run`."""
        if not tasks:
            return
        with joined(self.address, self.num_workers or 1):
            require_room(self.gpus)
            _Campaign(self, tasks, emit).run()


class _Campaign:
    """One call of `RayExecutor.run`: what is left to do and what is being done."""

    def __init__(self, executor: RayExecutor, tasks: Sequence[Task], emit: Emit) -> None:
        self._executor = executor
        self._backlog = Backlog(tasks)
        self._emit = emit
        self._active: list[_Assignment] = []
        self._data: dict[str, ObjectRef[bytes]] = {}
        self._identity = identity("cuda" if executor.gpus else "cpu")
        self._num_slots, self._counted_s = 0, -COUNT_EVERY_S
        self._submit = ray.remote(_carry_out).options(
            num_cpus=1,
            num_gpus=executor.gpus,
            max_retries=0,  # the backlog decides, by the rules of all executors
            num_returns="streaming",
        )

    def run(self) -> None:
        try:
            while self._backlog or self._active:
                self._hand_out()
                for assignment in self._ready():
                    self._receive(assignment)
        finally:
            for assignment in self._active:
                ray.cancel(assignment.stream, force=True)
                assignment.orders.close()

    def _hand_out(self) -> None:
        while len(self._active) < self._limit():
            task = self._backlog.take(time.monotonic())
            if task is None:
                return
            self._advance(task, self._executor.orders(task, functools.partial(self._tell, task)))

    def _limit(self) -> int:
        """Return how many tasks may be at work; on a cluster without any room, one waits for it."""
        now_s = time.monotonic()
        if now_s - self._counted_s >= COUNT_EVERY_S:
            before, self._num_slots = self._num_slots, num_slots(self._executor.gpus)
            self._counted_s = now_s
            if before > self._num_slots == 0:
                self._emit(Notice(message="the Ray cluster has no room left; waiting for a node"))
        return max(1, min(self._num_slots, self._executor.num_workers or self._num_slots))

    def _advance(self, task: Task, orders: Orders) -> None:
        """Go on with a task until something is to be done elsewhere, or nothing is left."""
        order = next(orders, None)
        if order is None:
            return
        digest = order.data.digest
        if digest not in self._data:
            self._data[digest] = ray.put(pack(order.data))
        # In a list, a reference is passed on as such.
        stream = self._submit.remote(
            pack(order.work), [self._data[digest]], self._identity, sys.path
        )
        self._active.append(_Assignment(task, orders, order, stream))

    def _tell(self, task: Task, event: Event) -> None:
        is_busy = isinstance(event, CohortBusy)
        if not is_busy or self._backlog.postpone(task, time.monotonic()):
            self._emit(event)

    def _ready(self) -> list[_Assignment]:
        streams = [assignment.stream for assignment in self._active]
        if not streams:
            time.sleep(RETRY_BUSY_S)
            return []
        ray.wait(streams, num_returns=1, timeout=RETRY_BUSY_S)
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        ids = {id(stream) for stream in ready}
        return [assignment for assignment in self._active if id(assignment.stream) in ids]

    def _receive(self, assignment: _Assignment) -> None:
        task = assignment.task
        try:
            messages = ray.get(next(assignment.stream))
        except StopIteration:
            self._active.remove(assignment)
            self._advance(task, assignment.orders)
        except _WORKER_GONE:
            self._drop(assignment)
            self._emit(self._backlog.lose(task))
        except _NODE_GONE:
            self._drop(assignment)
            self._emit(self._backlog.give_back(task))
        except RayTaskError as error:
            if problem := _import_problem(error.cause):
                raise FathomError(
                    f"a node of the Ray cluster cannot import what it needs: {problem}. Install "
                    "the same version of Fathom, with Ray, and what you allowed, on every node"
                ) from error
            raise
        else:
            for message in map(pickle.loads, messages):
                if isinstance(message, Aborted):
                    raise FathomError(message.message)
                assignment.order.receive(message)

    def _drop(self, assignment: _Assignment) -> None:
        """Give up a claim, so that the next attempt finds the cohort free."""
        self._active.remove(assignment)
        assignment.orders.close()
        self._counted_s = -COUNT_EVERY_S


def _carry_out(
    work: bytes, data: Sequence[ObjectRef[bytes]], expected: Mapping[str, str], path: Sequence[str]
) -> Iterator[list[bytes]]:
    """Do an order on a node; what it reports is passed on as it comes."""
    if problem := unlike(expected):
        yield [pack(Aborted(message=problem))]
        return
    # A user's modules lie on the same paths at least where the node is the command's own machine.
    sys.path += [entry for entry in path if entry not in sys.path]
    yield from reports_of(work, lambda: _unpacked(data[0]))


@functools.lru_cache(maxsize=1)
def _unpacked(data: ObjectRef[bytes]) -> PreparedData:
    prepared: PreparedData = pickle.loads(ray.get(data))
    return prepared


def _import_problem(error: BaseException) -> str:
    """Return what a node could not import; nothing if something else went wrong there."""
    if isinstance(error, ImportError):
        return str(error)
    text = str(error)  # for the function itself, Ray gives an error of its own with the traceback
    return text.strip().splitlines()[-1] if "failed to import on the worker" in text else ""


def _require_cluster(address: str) -> None:
    """Check in another process that this machine belongs to a cluster.

    Raises:
        FathomError: If not.
    """
    form = re.fullmatch(r"[^/\s]+:(\d{1,5})", address)
    if address != "auto" and (form is None or int(form[1]) > LARGEST_PORT):
        raise FathomError(
            f"--address: got '{address}'; must be host:port of a Ray cluster's head node, or auto"
        )
    if problem := _joining_problem(address):
        raise FathomError(
            f"--address {address}: cannot join that Ray cluster: {problem}. This machine must be "
            "one of its nodes: 'ray start --head' starts a cluster here, 'ray start --address=...' "
            "makes it a node of another one"
        )


def _joining_problem(address: str) -> str:
    command = [sys.executable, "-c", _PROBE, address]
    try:
        _require_listener(address)
        probe = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=CONNECT_LIMIT_S
        )
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return f"no Ray cluster answered within {CONNECT_LIMIT_S:g} s"
    if probe.returncode == 0:
        return ""
    if "InvalidAuthToken" in probe.stderr:
        return (
            "it wants a token: set RAY_AUTH_MODE=token and put what 'ray get-auth-token' prints on "
            "its head node into ~/.ray/auth_token"
        )
    return (probe.stderr.strip().splitlines() or [f"Ray ended with {probe.returncode}"])[-1]


def _require_listener(address: str) -> None:
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_LIMIT_S).close()
