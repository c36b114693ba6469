"""What a person reads: the peaks, and each rival's best variant by setting."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.results import Peak, Results, Row, best
from benchmarks.setting import Setting

OURS: Final = "fathom"
LOOPS: Final = ("dataloader", "autograd")  # one network and one process, as people write them
_TITLES: Final = {
    "large": "1024 wide",
    "forward": "128 wide: forward",
    "grad_input": "gradient of the input",
    "grad_weight": "gradient of the weight",
    "step": "the three in turn",
}


def peak_table(peaks: Sequence[Peak]) -> Table:
    """Lay out the speeds of products, a row for each depth's rounds."""
    table = Table(title="Matrix products on one core, GFLOP/s", box=SIMPLE_HEAD)
    table.add_column("rounds of", justify="right")
    for title in _TITLES.values():
        table.add_column(title, justify="right")
    rates = {(peak.depth, peak.product): peak.gflops for peak in peaks}
    for depth in dict.fromkeys(peak.depth for peak in peaks):
        table.add_row(f"{depth} layers", *(f"{rates[depth, kind]:.0f}" for kind in _TITLES))
    return table


def rival_table(rows: Sequence[Row], cores: int) -> Table:
    """Lay out each rival's best variant; the ratio is to Fathom, or else to the fastest.

    Args:
        rows: All variants.
        cores: Of the machine: what stacks networks runs in one process per core, a loop in one
            process altogether, with as many threads as suit it best.
    """
    ours = any(row.rival == OURS for row in rows)
    table = Table(title="One epoch of 60,000 samples, per network", box=SIMPLE_HEAD)
    for title in ("layers", "activation", "rival", "variant"):
        table.add_column(title)
    for title in (
        "seconds",
        "core-\nseconds",
        "GFLOP/s\nper core",
        "of peak,\n1024 wide",
        "of peak,\n128 wide",
        f"times\n{OURS if ours else 'fastest'}",
        "times,\nwhole machine",
    ):
        table.add_column(title, justify="right")
    for cells, ends_section in _cells(rows, cores):
        table.add_row(*cells, end_section=ends_section)
    return table


def _cells(rows: Sequence[Row], cores: int) -> Iterator[tuple[list[str], bool]]:
    for setting, families in best(rows).items():
        chosen = list(families.values())
        fastest = min(row.core_s for row in chosen)
        base = families[OURS].core_s if OURS in families else fastest
        rivals = [row for row in rows if setting == Setting(row.depth, row.activation)]
        for row in chosen:
            yield (
                [
                    str(setting.depth),
                    setting.activation,
                    row.rival,
                    row.variant,
                    f"{row.epoch_s:.3f}",
                    f"{row.core_s:.3f}",
                    f"{row.gflops:.1f}",
                    f"{row.share_of_large:.0%}",
                    f"{row.share_of_step:.0%}",
                    f"{row.core_s / base:.2f}",
                    f"{_on_machine(rivals, row.rival, cores) / (base / cores):.2f}",
                ],
                row is chosen[-1],
            )


def _on_machine(rows: Sequence[Row], rival: str, cores: int) -> float:
    """Return seconds per epoch and network with all cores of the machine at work."""
    mine = [row for row in rows if row.rival == rival]
    if rival in LOOPS:
        return min(row.epoch_s for row in mine)
    return min(row.core_s for row in mine) / cores


def machine_line(results: Results) -> str:
    """Name the machine in one line."""
    machine = results.machine
    used = ", ".join(map(str, machine["cores_used"]))
    return (
        f"{machine['processor']}, {machine['cores']} cores (used: {used}), torch "
        f"{machine['torch']}, JAX {machine['jax'] or 'none'}, {results.samples} samples, "
        f"{machine['date']}"
    )
