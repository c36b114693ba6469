"""Do all rivals learn the same? From equal weights and batches they must come to equal losses."""

import math
from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.measure import Crew
from benchmarks.rivals.base import Rival
from benchmarks.setting import Setting
from fathom.errors import FathomError

STEPS: Final = 20
DEPTH: Final = 5
# Relative. Rounding gives 2e-7, and an approximate gelu 4e-6. ReLU is not smooth: where rounding
# decides on which side of its kink a unit lies, 2e-4 were seen (in 1 of 3 random data sets), so
# that a small excess may be no fault there.
TOLERANCE: Final = {"relu": 1e-4, "tanh": 1e-6, "gelu": 1e-6, "sigmoid": 1e-6}
OWN_ORDER: Final = {"dataloader", "fathom-recording"}  # they shuffle by themselves


def last_losses(
    workers: Crew, rivals: Sequence[Rival], activations: Sequence[str]
) -> dict[Setting, dict[str, list[float]]]:
    """Train every rival for STEPS.

    Returns:
        The last loss of each activation's first network, by setting and rival's name.

    Raises:
        FathomError: If there are no two kinds of rivals to compare.
    """
    rivals = [rival for rival in rivals if rival.family not in OWN_ORDER]
    if len({rival.family for rival in rivals}) < 2:
        raise FathomError(
            "--check compares at least two rivals that take the same batches, such as "
            "--rivals autograd,vmap; " + " and ".join(sorted(OWN_ORDER)) + " shuffle by themselves"
        )
    found: dict[Setting, dict[str, list[float]]] = {}
    for setting in (Setting(DEPTH, activation) for activation in activations):
        found[setting] = {}
        for rival in filter(lambda rival: rival.takes(setting), rivals):
            worker = workers[rival.family, rival.threads]
            networks, _ = worker.prepare(rival, setting)
            worker.time(rival, setting, STEPS)
            losses = worker.losses(rival, setting)[:: networks // len(setting.kinds)]
            found[setting][f"{rival.family} {rival.variant}"] = losses
    return found


def differences(losses: Sequence[float], expected: Sequence[float]) -> list[float]:
    """Return the relative differences; infinite where a loss is not finite.

    >>> differences([3.0, float("nan")], [2.0, 1.0])
    [0.5, inf]
    """
    shares = [abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True)]
    return [math.inf if math.isnan(share) else share for share in shares]


def compare(found: dict[Setting, dict[str, list[float]]]) -> tuple[Table, bool]:
    """Compare with the first rival of each setting; return a table and whether all agree."""
    table = Table(title=f"Losses after {STEPS} steps, {DEPTH} layers", box=SIMPLE_HEAD)
    for title in ("activation", "rival", "losses", "largest relative difference"):
        table.add_column(title)
    agree = True
    for setting, by_rival in found.items():
        expected = next(iter(by_rival.values()))
        for name, losses in by_rival.items():
            shares = differences(losses, expected)
            pairs = zip(setting.kinds, shares, strict=True)
            agree &= all(share <= TOLERANCE[kind] for kind, share in pairs)
            text = ", ".join(f"{loss:.6f}" for loss in losses)
            table.add_row(setting.activation, name, text, f"{max(shares):.1e}")
    return table, agree
