"""Decision surfaces: what a run's network answered over the plane while it was trained.

What is kept are log odds, from which shares follow, and not the shares: where a network is sure,
these are 0 and 1 to the rounding of any number, and where its answer changes is lost.

Shapes: T epochs, G points of a side of the grid, K classes, N test samples.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_SHARED = ("across", "up", "points", "labels")
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What a run's network answered over the plane at several epochs.

    Attributes:
        run_id: The run.
        epochs: `[T]`, ascending; the first is 0 and the last is the last that the run reached.
        across: First feature of the grid's columns in the data's own units, ascending, `[G]`.
        up: Second feature of the grid's rows, ascending, `[G]`.
        log_odds: Of each class but the last, at `(across[column], up[row])`, float32
            `[T, G, G, K - 1]`, see `log_odds`.
        points: Test samples in the data's own units, `[N, 2]`.
        labels: Their classes, `[N]`.
    """

    run_id: str
    epochs: NDArray[np.int64]
    across: NDArray[np.float64]
    up: NDArray[np.float64]
    log_odds: NDArray[np.float32]
    points: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.log_odds.shape[-1]) + 1

    @property
    def shares(self) -> NDArray[np.float64]:
        """Softmax of the logits at each epoch and point, `[T, G, G, K]`; made anew each time."""
        return shares_of(self.log_odds)


def log_odds(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Take the logits of all classes but the last relative to the last one's.

    Source: Agresti 2013, Categorical Data Analysis, 3rd ed., sec. 8.1 (baseline-category logits).

    Args:
        logits: `[..., K]`.

    Returns:
        log(share of class k / share of class K - 1), `[..., K - 1]`, to the rounding of float32 and
        at most its largest number; NaN where a logit is not finite.
    """
    exact = logits.astype(np.float64)
    known = np.isfinite(exact).all(-1, keepdims=True)
    differences = np.where(known, exact, np.nan)
    differences = differences[..., :-1] - differences[..., -1:]
    return np.clip(differences, -_LARGEST, _LARGEST).astype(np.float32)


def logits_of(odds: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return logits `[..., K]` with log odds `[..., K - 1]`: the last is 0, or NaN beside NaN."""
    known = np.isfinite(odds).all(-1, keepdims=True)
    return np.concatenate([odds, np.where(known, 0.0, np.nan)], -1)


def shares_of(odds: NDArray[np.float32]) -> NDArray[np.float64]:
    """Soften log odds `[..., K - 1]` to the share of each class, `[..., K]`; NaN stays."""
    logits = logits_of(odds)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    softened: NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return softened


def pack(surfaces: Mapping[str, Surface]) -> Arrays:
    """Lay the surfaces of runs on the same data out for a file.

    Args:
        surfaces: By run id.

    Returns:
        `across`, `up`, `points` and `labels`, and for each run `<run_id>/epochs` and
        `<run_id>/log_odds [T, G, G, K - 1]`; empty without surfaces.
    """
    packed: Arrays = {}
    for run_id, surface in surfaces.items():
        packed |= {name: getattr(surface, name) for name in _SHARED}
        packed[f"{run_id}/epochs"] = surface.epochs
        packed[f"{run_id}/log_odds"] = surface.log_odds
    return packed


def unpack(
    packed: Mapping[str, NDArray[Any]], runs: Collection[str] | None = None
) -> dict[str, Surface]:
    """Read what `pack` laid out.

    Args:
        packed: The arrays.
        runs: Ids of the runs that are wanted; all when omitted.

    Raises:
        ValueError: If an array is missing.
    """
    known = (name.removesuffix("/epochs") for name in packed if name.endswith("/epochs"))
    wanted = [run_id for run_id in known if runs is None or run_id in runs]
    try:
        shared = {name: packed[name] for name in _SHARED} if packed else {}
        return {
            run_id: Surface(
                run_id=run_id,
                epochs=packed[f"{run_id}/epochs"],
                log_odds=packed[f"{run_id}/log_odds"],
                **shared,
            )
            for run_id in wanted
        }
    except KeyError as error:
        raise ValueError(f"surfaces without {error}") from error
