"""From measured times to the numbers that are compared, and to JSON.

Times of an epoch are those of 60,000 samples and one network. A core-second is a second on one
core: a rival that occupies two cores must be twice as fast to cost the same.
"""

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import Series
from benchmarks.peak import FLOPS
from benchmarks.setting import EPOCH_STEPS, Setting
from fathom.errors import FathomError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Speed of one kind of product on one core, measured in the rounds of one depth.

    Attributes:
        depth: Of these rounds.
        product: A key of `peak.FLOPS`.
        gflops: Median, in 10^9 operations per second.
        repeats_gflops: Every repeat.
    """

    depth: int
    product: str
    gflops: float
    repeats_gflops: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rival in one setting.

    Attributes:
        rival: Its family.
        variant: What sets it apart from others of its family.
        depth: Hidden layers.
        activation: Of all networks, or `mixed`.
        networks: Trained at once or in turn.
        threads: Cores that it occupies.
        steps: Of one repeat.
        wall_s: Every repeat as it was taken, in seconds.
        cpu_s: Processor time of the same, all threads together.
        epoch_s: Median seconds per epoch and network on the clock.
        core_s: The same in core-seconds.
        gflops: Speed per core, in 10^9 operations per second.
        share_of_large: Of the speed of the large product.
        share_of_step: Of the speed of a layer's three 128-wide products.
        losses: Each network's loss on the last batch of all.
    """

    rival: str
    variant: str
    depth: int
    activation: str
    networks: int
    threads: int
    steps: int
    wall_s: list[float]
    cpu_s: list[float]
    epoch_s: float
    core_s: float
    gflops: float
    share_of_large: float
    share_of_step: float
    losses: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything of one run of the benchmark.

    Attributes:
        machine: Processor, cores and versions.
        samples: `mnist` or `random`.
        peaks: Of each depth.
        rows: Every variant of every rival.
        skipped: A line for whatever was left out.
    """

    machine: dict[str, Any]
    samples: str
    peaks: list[Peak]
    rows: list[Row]
    skipped: list[str]


def summarise_peaks(series: Iterable[Series]) -> list[Peak]:
    """Turn the times of products into speeds."""
    peaks = []
    for one in series:
        operations = FLOPS[one.rival.variant] * one.steps
        rates = [operations / timing.wall_s / 1e9 for timing in one.timings]
        peaks.append(
            Peak(
                depth=one.setting.depth,
                product=one.rival.variant,
                gflops=median(rates),
                repeats_gflops=rates,
            )
        )
    return peaks


def summarise(series: Series, peaks: Iterable[Peak]) -> Row:
    """Turn the times of one rival into what is compared.

    Args:
        series: Its measurements.
        peaks: Of the same depth.
    """
    rate = {peak.product: peak.gflops for peak in peaks}
    rival, setting = series.rival, series.setting
    wall_s = [timing.wall_s for timing in series.timings]
    epoch_s = median(wall_s) / series.steps / series.networks * EPOCH_STEPS
    core_s = epoch_s * rival.threads
    gflops = setting.step_flops * EPOCH_STEPS / core_s / 1e9
    return Row(
        rival=rival.family,
        variant=rival.variant,
        depth=setting.depth,
        activation=setting.activation,
        networks=series.networks,
        threads=rival.threads,
        steps=series.steps,
        wall_s=wall_s,
        cpu_s=[timing.cpu_s for timing in series.timings],
        epoch_s=epoch_s,
        core_s=core_s,
        gflops=gflops,
        share_of_large=gflops / rate["large"],
        share_of_step=gflops / rate["step"],
        losses=series.losses,
    )


def best(rows: Iterable[Row]) -> dict[Setting, dict[str, Row]]:
    """Pick each family's cheapest variant, in core-seconds, by setting and family."""
    found: dict[Setting, dict[str, Row]] = {}
    for row in rows:
        families = found.setdefault(Setting(row.depth, row.activation), {})
        if row.rival not in families or row.core_s < families[row.rival].core_s:
            families[row.rival] = row
    return found


def describe_machine(cores: Sequence[int]) -> dict[str, Any]:
    """Name the processor, the cores in use, the versions and the date."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_used": list(cores),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in ("torch", "jax", "numpy")},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(results: Results, path: Path) -> None:
    """Write the results as JSON.

    Raises:
        FathomError: If the file cannot be written.
    """
    text = json.dumps({"format": FORMAT, **asdict(results)}, indent=1)
    try:
        path.write_text(text + "\n")
    except OSError as error:
        raise FathomError(f"{path}: cannot be written: {error.strerror}") from error


def load(path: Path) -> Results:
    """Read what `save` wrote.

    Raises:
        FathomError: If there is no such file, it is not of this program, or empty.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise FathomError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FathomError(f"{path}: is not JSON ({error})") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise FathomError(
            f"{path}: is not a result of this version's benchmark; "
            "make one with `python -m benchmarks.step --out FILE`"
        )
    if not content["rows"]:
        raise FathomError(f"{path}: holds no measurement; let the benchmark finish a depth")
    peaks = [Peak(**peak) for peak in content.pop("peaks")]
    return Results(peaks=peaks, rows=[Row(**row) for row in content.pop("rows")], **content)


def warnings(rows: Iterable[Row]) -> list[str]:
    """Say what makes measurements doubtful, a sentence for each family, depth and doubt."""
    found = (f"{row.rival}, {row.depth} layers: {doubt}" for row in rows for doubt in _doubts(row))
    return list(dict.fromkeys(found))


def _doubts(row: Row) -> Iterator[str]:
    busy = sum(row.cpu_s) / sum(row.wall_s) / row.threads
    if busy > 1.1:
        yield "it used more threads than it was to"
    if busy < 0.9 and row.threads == 1:
        yield "it had to share its core with others"
    if not all(map(math.isfinite, row.losses)):
        yield "some of its losses are not finite"
