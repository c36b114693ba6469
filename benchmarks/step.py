"""Measure the training of many small networks, rivals side by side.

`python -m benchmarks.step --help` tells the options. Nothing here imports torch or JAX: only the
processes of the rivals do.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import check, peak, samples
from benchmarks.measure import Crew, crew, measure
from benchmarks.options import Options, parse
from benchmarks.results import Results, describe_machine, save, summarise, summarise_peaks, warnings
from benchmarks.rivals import RIVALS
from benchmarks.rivals.base import Rival
from benchmarks.setting import Setting
from benchmarks.table import machine_line, peak_table, rival_table
from benchmarks.worker import usable_cores
from fathom.errors import FathomError

USER_ERROR: Final = 2
INTERRUPTED: Final = 130
FILE_WIDTH: Final = 120  # columns, where no terminal says how many there are


def present(names: Sequence[str], cores: int) -> tuple[list[Rival], list[str]]:
    """List the variants that can run here, and a line for each family that cannot."""
    rivals: list[Rival] = []
    skipped = []
    for name in names:
        variants = RIVALS[name](cores)
        reason = variants[0].missing()
        if reason is None:
            rivals += variants
        else:
            skipped.append(f"{name}: skipped: {reason}")
    if cores == 1 and {"dataloader", "autograd"} & {*names}:
        skipped.append("dataloader, autograd: two threads skipped: only one core may be used")
    return rivals, skipped


def benchmark(
    workers: Crew,
    rivals: Sequence[Rival],
    options: Options,
    results: Results,
    tell: Callable[[str], None],
) -> None:
    """Measure depth after depth into `results`; the file is written anew after each."""
    assert options.out is not None
    products = peak.variants(1)
    for depth in options.depths:
        settings = [Setting(depth, activation) for activation in options.activations]
        contests: list[tuple[Rival, Setting]] = [(product, settings[0]) for product in products]
        contests += [(r, setting) for setting in settings for r in rivals if r.takes(setting)]
        series = measure(workers, contests, options.repeats, tell)
        peaks = summarise_peaks(series[: len(products)])
        results.peaks.extend(peaks)
        results.rows.extend(summarise(one, peaks) for one in series[len(products) :])
        save(results, options.out)


def agree(workers: Crew, rivals: Sequence[Rival], options: Options, console: Console) -> bool:
    """Show what the rivals learn, and tell whether it is the same."""
    table, same = check.compare(check.last_losses(workers, rivals, options.activations))
    console.print(table)
    console.print("All agree." if same else f"They differ by more than allowed: {check.TOLERANCE}.")
    return same


def run(options: Options, console: Console) -> bool:
    """Do what the command line asks for; tell whether all went well.

    Raises:
        FathomError: If the data is not there, a process dies or the file cannot be written.
    """
    cores = usable_cores()
    rivals, skipped = present(options.rivals, len(cores))
    if not rivals:
        raise FathomError("; ".join(skipped) + ". Name others with --rivals")
    chosen = samples.random_samples() if options.data is None else samples.mnist(options.data)
    results = Results(
        machine=describe_machine(cores),
        samples="random" if options.data is None else "mnist",
        peaks=[],
        rows=[],
        skipped=skipped,
    )
    with tempfile.TemporaryDirectory() as name:
        samples.save(chosen, Path(name))
        contestants = rivals if options.check else [*rivals, *peak.variants(1)]
        with crew(contestants, cores, Path(name)) as workers:
            if options.check:
                return agree(workers, rivals, options, console)
            with Console(stderr=True).status("processes start") as status:
                benchmark(workers, rivals, options, results, status.update)
    console.print(machine_line(results), highlight=False)
    console.print(peak_table(results.peaks), rival_table(results.rows, len(cores)))
    for line in [*results.skipped, *warnings(results.rows)]:
        console.print(line, highlight=False)
    return True


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    return console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 when all went well, 1 when rivals do not agree, 2 after a user's error.
    """
    options = parse(arguments)
    try:
        return 0 if run(options, _console()) else 1
    except FathomError as error:
        print(error, file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("Stopped. The depths that were finished are in the file.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
