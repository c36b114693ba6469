"""One process for each kind of rival, so that thread settings, memory and libraries stay apart.

The process stays alive and answers one request after the other over a pipe.
"""

import multiprocessing
import os
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from benchmarks.rivals.base import Rival, Training
from benchmarks.samples import load
from benchmarks.setting import Setting
from fathom.errors import FathomError

# XLA's own pool has as many threads as the process may use cores; Eigen's must be told. Wider
# vectors (--xla_cpu_prefer_vector_width=512) made no difference that stood out from the noise.
XLA_FLAGS: Final = "--xla_cpu_multi_thread_eigen=false"
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Timing(NamedTuple):
    """Seconds that some steps took: on the clock, and of all threads of the process."""

    wall_s: float
    cpu_s: float


class Worker:
    """A process that trains, seen from outside.

    Args:
        name: For messages.
        cores: The cores that it may use, as many as it has threads.
        folder: Where the samples are.
    """

    def __init__(self, name: str, cores: Sequence[int], folder: Path) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, cores, folder), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, rival: Rival, setting: Setting) -> tuple[int, int]:
        """Make networks ready; return how many, and what their steps must be a multiple of."""
        networks, multiple_of = self._ask("prepare", rival, setting)
        return networks, multiple_of

    def time(self, rival: Rival, setting: Setting, steps: int) -> Timing:
        """Train prepared networks and take the time."""
        return Timing(*self._ask("time", rival, setting, steps))

    def losses(self, rival: Rival, setting: Setting) -> list[float]:
        """Return the losses of the last batch that prepared networks were trained on."""
        return list(self._ask("losses", rival, setting))

    def clear(self) -> None:
        """Drop all networks."""
        self._ask("clear")

    def _ask(self, *request: object) -> Any:  # noqa: ANN401 - each verb answers something else
        try:
            self._connection.send(request)
            error, answer = self._connection.recv()
        except (EOFError, OSError) as lost:
            self._process.join(5)
            raise FathomError(
                f"{self.name}: its process ended with status {self._process.exitcode} while it was "
                "asked to train; -9 means that it was killed, most often for want of memory. "
                "Leave it out with --rivals"
            ) from lost
        if error is not None:
            raise RuntimeError(f"{self.name}:\n{error}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join(5)
        self._process.kill()


class _Server:
    """What the requests mean, inside the process."""

    def __init__(self, folder: Path) -> None:
        self.samples = load(folder)
        self.ready: dict[tuple[Rival, Setting], Training] = {}

    def prepare(self, rival: Rival, setting: Setting) -> tuple[int, int]:
        training = self.ready[rival, setting] = rival.prepare(setting, self.samples)
        return training.networks, training.multiple_of

    def time(self, rival: Rival, setting: Setting, steps: int) -> Timing:
        training = self.ready[rival, setting]
        assert steps % training.multiple_of == 0, "the rest of the steps would not be taken"
        wall, cpu = time.perf_counter(), time.process_time()
        training.train(steps)
        return Timing(time.perf_counter() - wall, time.process_time() - cpu)

    def losses(self, rival: Rival, setting: Setting) -> list[float]:
        return self.ready[rival, setting].losses()

    def clear(self) -> None:
        self.ready.clear()


def serve(connection: Connection, cores: Sequence[int], folder: Path) -> None:
    """Answer requests until the other end is closed."""
    use_only(cores)
    server = _Server(folder)
    while True:
        try:
            verb, *arguments = connection.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            connection.send((None, getattr(server, verb)(*arguments)))
        except KeyboardInterrupt:
            return
        except Exception:
            connection.send((traceback.format_exc(), None))


def use_only(cores: Sequence[int]) -> None:
    """Bind this process to some cores, before any library looks for them."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(len(cores))))
    os.environ["XLA_FLAGS"] = XLA_FLAGS
    os.environ["JAX_PLATFORMS"] = "cpu"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def usable_cores() -> list[int]:
    """List the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]
