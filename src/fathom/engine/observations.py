"""What is seen of whole networks at chosen epochs: the life of units, and decision surfaces.

Whichever engine trains, its weights are put into ordinary modules, and these are looked at in
evaluation: `batch_norm` takes its running statistics, which before training are 0 and 1. Units are
counted on the whole training part, as it is without augmentation. What is kept are flat tensors,
which go into the state of a cohort like everything else that the loop remembers:

    units.<epoch>.<run>     [U, 8]: number of the place, samples, and the counts of `UnitCounts`
    places.<run>            names of the places, as the bytes of JSON
    surface.<epoch>.<run>   [G, G, K - 1]: log odds, see `surfaces`

where `<run>` is the run's number in its cohort. A network that has no activation has no units.

Shapes: U units of all places, F features (two), G points of a side, K classes, R runs.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from fathom.data.splits import PreparedData
from fathom.engine.precision import dtype_of
from fathom.engine.progress import Columns
from fathom.engine.units import UnitCounts, count_units
from fathom.errors import ComponentError, FathomError
from fathom.models.build import evaluation_batch, is_mlp, rebuilt_network
from fathom.spec.grid import PLANE, Run
from fathom.surfaces import Surface, log_odds

GRID_SIDE: Final = 64
MARGIN: Final = 0.2  # of the data's extent, on each side
_COUNTS: Final = ("finite", "active", "low", "high", "act_min", "act_max")

Seen = dict[str, Tensor]
Weights = Callable[[], Mapping[str, Tensor]]


def surface_epochs(run: Run) -> frozenset[int]:
    """Return the epochs at which a run's surface is kept, if it comes so far: evenly from 0 on."""
    frames, last = run.record.surfaces, run.train.epochs
    if frames is None:
        return frozenset()
    return frozenset(round(frame * last / (frames - 1)) for frame in range(frames))


def unit_epochs(run: Run) -> range:
    """Return the epochs at which a run's units are counted, if it comes so far."""
    last = run.train.epochs
    if run.record.units == "every":
        return range(last + 1)
    if run.record.units == "ends":
        return range(0, last + 1, max(1, last))
    return range(0)


def check_plane(run: Run, num_features: int, *, multi_label: bool) -> None:
    """Refuse surfaces of data that are not points of a plane with a label each.

    Raises:
        FathomError: If they are not.
    """
    if run.record.surfaces is None or (num_features == PLANE and not multi_label):
        return
    what = "several labels" if multi_label else f"{num_features:,} numbers"
    raise FathomError(
        f"record.surfaces needs data of two features and one label; a sample of "
        f"'{run.data.name}' has {what}. Leave it out, or use data such as half_moons"
    )


def observe(
    seen: Seen,
    epoch: int,
    runs: Sequence[Run],
    weights: Weights,
    data: PreparedData,
    *,
    going: Tensor,
    ended: Tensor,
    device: torch.device,
) -> None:
    """Look at the networks of a cohort after an epoch, if the runs ask for it.

    Args:
        seen: What was seen so far; added to.
        epoch: Epochs trained.
        runs: The cohort.
        weights: Gives their weights as they are, behind the runs, `[R, ...]`.
        data: Their data.
        going: Which runs took part in the epoch, `[R]`; those that ended before keep what was seen
            of them last.
        ended: Which of them end with it, as they planned or not, `[R]`.
        device: Where to compute.

    Raises:
        ComponentError: If the units of a user's own network cannot be counted.
    """
    due = [i for i, run in enumerate(runs) if going[i] and _is_due(run, epoch, bool(ended[i]))]
    if not due:
        return
    present = weights()
    for index in due:
        run, last = runs[index], bool(ended[index])
        network = rebuilt_network(
            run.model,
            {name: tensor[index] for name, tensor in present.items()},
            data.sample_shape,
            data.num_classes,
            dtype_of(run.precision),
            seeds=(run.study_seed, run.seed),
        ).to(device)
        if (last or epoch in unit_epochs(run)) and _counts_units(run):
            counted = _count(network, run, data, device)
            seen[f"units.{epoch}.{index}"] = torch.cat([*map(_rows, range(len(counted)), counted)])
            seen[f"places.{index}"] = _as_bytes([counts.name for counts in counted])
        if run.record.surfaces is not None and (last or epoch in surface_epochs(run)):
            seen[f"surface.{epoch}.{index}"] = _surface(network, run, data, device)


def _is_due(run: Run, epoch: int, last: bool) -> bool:
    asked = _counts_units(run) or run.record.surfaces is not None
    return asked and (last or epoch in unit_epochs(run) or epoch in surface_epochs(run))


def _counts_units(run: Run) -> bool:
    is_linear = is_mlp(run.model) and not run.model.hidden
    return run.record.units != "none" and not is_linear


def _count(
    network: nn.Module, run: Run, data: PreparedData, device: torch.device
) -> list[UnitCounts]:
    try:
        return count_units(network, _batches(run, data, device))
    except FathomError as error:
        message = f"model '{run.model.name.name}': {error}, or set record.units: none"
        raise ComponentError(message) from error


def _batches(run: Run, data: PreparedData, device: torch.device) -> Iterator[Tensor]:
    size = evaluation_batch(run.model, data.sample_shape, data.num_classes)
    pieces = torch.split(data.train.inputs, size)
    return (data.scale(piece.to(device), dtype_of(run.precision)) for piece in pieces)


def _rows(place: int, counts: UnitCounts) -> Tensor:
    columns = [getattr(counts, name).cpu() for name in _COUNTS]
    both = (torch.full_like(columns[0], number) for number in (place, counts.num_samples))
    return torch.stack([*both, *columns], 1)


def _as_bytes(names: Sequence[str]) -> Tensor:
    return torch.tensor([*json.dumps(names).encode()], dtype=torch.uint8)


def surface_grid(data: PreparedData) -> Tensor:
    """Return the coordinates of a surface's columns and rows, `[F, G]`, in the data's own units.

    They reach beyond the training part by a fifth of its extent on each side.
    """
    points = data.train.inputs.double()
    low, high = points.amin(0), points.amax(0)
    extent = torch.where(high > low, high - low, 1.0)
    steps = torch.linspace(-MARGIN, 1 + MARGIN, GRID_SIDE, dtype=torch.float64)
    return low[:, None] + steps * extent[:, None]


@torch.no_grad()
def _surface(network: nn.Module, run: Run, data: PreparedData, device: torch.device) -> Tensor:
    """Return the log odds at every point, `[G, G, K - 1]`; rows are the second feature."""
    points = torch.cartesian_prod(*surface_grid(data)).view(GRID_SIDE, GRID_SIDE, PLANE)
    rows_first = points.transpose(0, 1).reshape(-1, PLANE)
    logits = network(data.scale(rows_first.to(device), dtype_of(run.precision)))
    odds = torch.from_numpy(log_odds(logits.double().cpu().numpy()))
    return odds.view(GRID_SIDE, GRID_SIDE, odds.shape[-1])


def unit_columns(runs: Sequence[Run], seen: Mapping[str, Tensor]) -> Columns:
    """Arrange what was counted.

    Args:
        runs: The cohort, at its end.
        seen: What `observe` kept.

    Returns:
        Columns of `records.UNIT_COLUMNS`; empty where nothing was counted.
    """
    rows: list[Columns] = []
    for epoch, index in _found("units", seen):
        names = json.loads(bytes(seen[f"places.{index}"].tolist()))
        table = seen[f"units.{epoch}.{index}"]
        for place, name in enumerate(names):
            own = _unit_rows(name, table[table[:, 0] == place, 1:])
            keys = {"run_id": runs[index].id, "epoch": epoch, "layer": place + 1, "place": name}
            size = len(own["unit"])
            rows.append({key: np.full(size, value) for key, value in keys.items()} | own)
    return {key: np.concatenate([part[key] for part in rows]) for key in rows[0]} if rows else {}


def _unit_rows(name: str, rows: Tensor) -> Columns:
    num_samples = int(rows[0, 0])
    columns = dict(zip(_COUNTS, rows[:, 1:].unbind(1), strict=True))
    counts = UnitCounts(name=name, num_samples=num_samples, **columns)
    return {
        "unit": np.arange(len(rows)),
        "state": np.array(counts.states),
        "active_share": (counts.active / num_samples).numpy(),
        "low_share": (counts.low / num_samples).numpy(),
        "high_share": (counts.high / num_samples).numpy(),
        "act_min": counts.act_min.numpy(),
        "act_max": counts.act_max.numpy(),
        "samples": np.full(len(rows), num_samples),
    }


def surfaces_of(
    runs: Sequence[Run], seen: Mapping[str, Tensor], data: PreparedData
) -> dict[str, Surface]:
    """Arrange what was kept of decision surfaces, by run id; empty where nothing was."""
    found = _found("surface", seen)
    if not found:
        return {}
    across, up = surface_grid(data).numpy()
    points, labels = data.test.inputs.double().numpy(), data.test.targets.numpy()
    surfaces = {}
    for index in dict.fromkeys(index for _, index in found):
        epochs = [epoch for epoch, other in found if other == index]
        frames = [seen[f"surface.{epoch}.{index}"].numpy() for epoch in epochs]
        surfaces[runs[index].id] = Surface(
            run_id=runs[index].id,
            epochs=np.array(epochs),
            across=across,
            up=up,
            log_odds=np.stack(frames),
            points=points,
            labels=labels,
        )
    return surfaces


def _found(kind: str, seen: Mapping[str, Tensor]) -> list[tuple[int, int]]:
    """Return epoch and number of each run that was looked at, in order."""
    names = (name.split(".") for name in seen)
    return sorted((int(rest[0]), int(rest[1])) for first, *rest in names if first == kind)
