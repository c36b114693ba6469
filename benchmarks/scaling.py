"""Two workers against one: what a second core gains when both train at once.

`python -m benchmarks.scaling [DEPTH]` prints a line. Rounds alternate, so that what disturbs the
machine disturbs both.
"""

import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import samples
from benchmarks.measure import begin
from benchmarks.rivals.fathom_engine import FathomEngine
from benchmarks.setting import Setting
from benchmarks.worker import Worker, usable_cores
from fathom.errors import FathomError

ROUNDS: Final = 9
STEPS_FACTOR: Final = 4  # longer than other measurements, so that starting together matters little


def gains(setting: Setting, cores: Sequence[int]) -> list[float]:
    """Return, for each round, the speed of all workers together over that of one.

    Args:
        setting: What each worker trains.
        cores: One for each worker.
    """
    rival, found = FathomEngine(), []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        samples.save(samples.random_samples(), Path(name))
        workers = [
            stack.enter_context(Worker(f"worker on core {core}", [core], Path(name)))
            for core in cores
        ]
        pool = stack.enter_context(ThreadPoolExecutor(len(workers)))
        steps = STEPS_FACTOR * max(begin(worker, rival, setting).steps for worker in workers)
        for _ in range(ROUNDS):
            alone = [worker.time(rival, setting, steps).wall_s for worker in workers]
            together = list(pool.map(lambda worker: worker.time(rival, setting, steps), workers))
            speeds = [1 / timing.wall_s for timing in together]
            found.append(sum(speeds) / median(1 / wall_s for wall_s in alone))
    return found


def compare(arguments: Sequence[str]) -> str:
    """Measure, and say it in a line.

    Raises:
        FathomError: If the arguments make no sense, or there is one core only.
    """
    cores = usable_cores()
    if len(arguments) > 1 or not all(text.isdigit() and int(text) for text in arguments):
        raise FathomError("usage: python -m benchmarks.scaling [DEPTH], such as 20")
    if len(cores) < 2:
        raise FathomError("one core only: there is nothing to compare")
    depth = int(arguments[0]) if arguments else 20
    found = gains(Setting(depth, "relu"), cores)
    return (
        f"{len(cores)} workers, {depth} layers: {median(found):.2f} times one worker "
        f"({min(found):.2f} to {max(found):.2f} in {ROUNDS} rounds)"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after a user's error."""
    given = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & {*given}:
        print(__doc__)
        return 0
    try:
        print(compare(given))
    except FathomError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
