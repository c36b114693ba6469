"""Decision surfaces: what a run's network answered over the plane while it was trained.

Shapes: T epochs, G points of a side of the grid, K classes, N test samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_SHARED = ("across", "up", "points", "labels")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What a run's network answered over the plane at several epochs.

    Attributes:
        run_id: The run.
        epochs: `[T]`, ascending; the first is 0 and the last is the last that the run reached.
        across: First feature of the grid's columns in the data's own units, ascending, `[G]`.
        up: Second feature of the grid's rows, ascending, `[G]`.
        shares: Softmax of the logits at `(across[column], up[row])`, float32 `[T, G, G, K]`; NaN
            where the network answered no number.
        points: Test samples in the data's own units, `[N, 2]`.
        labels: Their classes, `[N]`.
    """

    run_id: str
    epochs: NDArray[np.int64]
    across: NDArray[np.float64]
    up: NDArray[np.float64]
    shares: NDArray[np.float32]
    points: NDArray[np.float64]
    labels: NDArray[np.int64]


def pack(surfaces: Mapping[str, Surface]) -> Arrays:
    """Lay the surfaces of runs on the same data out for a file.

    The share of the last class is left out, which for two classes is half of the file: it is what
    the others leave of 1, to the rounding of float32.

    Args:
        surfaces: By run id.

    Returns:
        `across`, `up`, `points` and `labels`, and for each run `<run_id>/epochs` and
        `<run_id>/shares [T, G, G, K - 1]`; empty without surfaces.
    """
    packed: Arrays = {}
    for run_id, surface in surfaces.items():
        packed |= {name: getattr(surface, name) for name in _SHARED}
        packed[f"{run_id}/epochs"] = surface.epochs
        packed[f"{run_id}/shares"] = np.ascontiguousarray(surface.shares[..., :-1])
    return packed


def unpack(packed: Mapping[str, NDArray[Any]]) -> dict[str, Surface]:
    """Read what `pack` laid out.

    Raises:
        ValueError: If an array is missing.
    """
    run_ids = [name.removesuffix("/shares") for name in packed if name.endswith("/shares")]
    try:
        shared = {name: packed[name] for name in _SHARED}
        return {
            run_id: Surface(
                run_id=run_id,
                epochs=packed[f"{run_id}/epochs"],
                shares=_with_last(packed[f"{run_id}/shares"]),
                **shared,
            )
            for run_id in run_ids
        }
    except KeyError as error:
        raise ValueError(f"surfaces without {error}") from error


def _with_last(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    left = 1 - shares.sum(-1, keepdims=True, dtype=np.float64)
    return np.concatenate([shares, np.maximum(left, 0).astype(np.float32)], -1)
