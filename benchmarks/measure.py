"""Rounds of measurements: everything of one depth once, then all of it again.

What disturbs the machine for a while thus disturbs all rivals alike, and medians over rounds
leave it out.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.rivals.base import Rival
from benchmarks.setting import Setting
from benchmarks.worker import Timing, Worker

TARGET_S: Final = 0.5  # of one measurement: long beside a clock's tick, short beside a disturbance

Crew = dict[tuple[str, int], Worker]  # by family and threads


@dataclass(slots=True)
class Series:
    """All measurements of one rival in one setting.

    Attributes:
        steps: Of one measurement, by each network.
        networks: How many networks took these steps.
        timings: One per round.
        losses: Of the last batch of all.
    """

    rival: Rival
    setting: Setting
    steps: int
    networks: int
    timings: list[Timing] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


@contextmanager
def crew(rivals: Iterable[Rival], cores: Sequence[int], folder: Path) -> Iterator[Crew]:
    """Keep one process alive for each family and number of threads.

    Those with few threads take the last cores: the first one answers most interrupts.
    """
    with ExitStack() as stack:
        workers = {}
        for family, threads in dict.fromkeys((r.family, r.threads) for r in rivals):
            name = f"{family} (threads={threads})"
            workers[family, threads] = stack.enter_context(Worker(name, cores[-threads:], folder))
        yield workers


def measure(
    workers: Crew,
    contests: Sequence[tuple[Rival, Setting]],
    repeats: int,
    tell: Callable[[str], None],
) -> list[Series]:
    """Measure rivals in their settings, in rounds.

    Args:
        workers: The processes of these rivals.
        contests: Whom to measure in which setting; of one depth, so that a round stays short.
        repeats: Number of rounds, at least 1.
        tell: Receives what is being done.

    Returns:
        One series for each contest, in their order.
    """
    series = []
    for rival, setting in contests:
        tell(f"{setting.depth} layers, {setting.activation}: {rival.family} {rival.variant}")
        series.append(begin(_worker(workers, rival), rival, setting))
    for number in range(repeats):
        tell(f"{contests[0][1].depth} layers: round {number + 1} of {repeats}")
        for one in series:
            worker = _worker(workers, one.rival)
            one.timings.append(worker.time(one.rival, one.setting, one.steps))
    for one in series:
        one.losses = _worker(workers, one.rival).losses(one.rival, one.setting)
    for worker in workers.values():
        worker.clear()
    return series


def begin(worker: Worker, rival: Rival, setting: Setting) -> Series:
    """Prepare a rival, warm it up and find how many steps make a measurement of TARGET_S."""
    networks, steps = worker.prepare(rival, setting)
    multiple_of = steps
    worker.time(rival, setting, steps)  # the first steps compile and allocate
    wall_s = worker.time(rival, setting, steps).wall_s
    while wall_s < TARGET_S / 4:
        steps *= 2
        wall_s = worker.time(rival, setting, steps).wall_s
    steps = round_up(steps * TARGET_S / wall_s, multiple_of)
    return Series(rival=rival, setting=setting, steps=steps, networks=networks)


def round_up(steps: float, multiple_of: int) -> int:
    """Return the next multiple, at least one.

    >>> round_up(41.5, 20), round_up(3.2, 1), round_up(0.1, 20)
    (60, 4, 20)
    """
    return max(1, math.ceil(steps / multiple_of)) * multiple_of


def _worker(workers: Crew, rival: Rival) -> Worker:
    return workers[rival.family, rival.threads]
