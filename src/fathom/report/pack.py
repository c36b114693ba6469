"""Measurements as small integers, for a page that must stay small and be read by a browser.

Every matrix is quantised (gradients to 2.3 %, losses to 0.3 %), replaced by its differences from
epoch to epoch with the sign in the last bit, and split into low and high bytes: what is left
compresses to about four bits a number. Kinds of gradient go up and down together: of all but the
first, only the distance from the first is kept.
`assets/data.js` undoes this.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fathom.figures.charts import Floats
from fathom.figures.layer_maps import layer_matrix

MAX_EPOCHS: Final = 20  # columns of a heat-map on the page; the image files have all

NOT_A_NUMBER: Final = -32768
ZERO: Final = -32767  # has no logarithm
MINUS_INFINITY: Final = -32766
PLUS_INFINITY: Final = 32767
_SMALLEST, _LARGEST = -32765, 32766


class Codec(NamedTuple):
    """How a number becomes an integer.

    Attributes:
        kind: `linear`: v * step; `log`: log10(v) * step; `signed_log`: the sign of v times
            log10(1 + 1e6 |v|) * step.
        step: Integers for each unit or decade.
        beside: An earlier quantity with the same step, from whose integers these are counted,
            modulo 2^16; empty to count from zero.
    """

    kind: Literal["linear", "log", "signed_log"]
    step: int
    beside: str = ""


_SHARE = Codec("linear", 10_000)
_LOSS = Codec("signed_log", 500)
_GRADIENT = Codec("log", 50)

METRICS: Final = {
    "train_loss": _LOSS,
    "validation_loss": _LOSS,
    "test_loss": _LOSS,
    "train_accuracy": _SHARE,
    "validation_accuracy": _SHARE,
    "test_accuracy": _SHARE,
}
LAYER_QUANTITIES: Final = {
    "grad_norm": _GRADIENT,
    "grad_mean_abs": _GRADIENT._replace(beside="grad_norm"),
    "grad_pre_rms": _GRADIENT._replace(beside="grad_norm"),
    "act_mean": Codec("signed_log", 250),
    "act_std": Codec("log", 100),
}


class Packed(NamedTuple):
    """All measurements of a study.

    Attributes:
        content: Low bytes of all integers, then their high bytes; one quantity after the other, in
            each one run after the other, in each one layer after the other.
        epoch_lists: The different lists of epochs.
        epochs: For each run, which list its metrics have.
        map_epochs: For each run, which list its layer quantities have.
        num_layers: For each run, how many layers were recorded.
    """

    content: bytes
    epoch_lists: list[list[int]]
    epochs: list[int]
    map_epochs: list[int]
    num_layers: list[int]


def quantise(values: Floats, codec: Codec) -> NDArray[np.int16]:
    """Turn numbers into integers; the codec's range ends are kept rather than wrapped."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if codec.kind == "linear":
            scaled = values * codec.step
        elif codec.kind == "log":
            scaled = np.log10(values) * codec.step
        else:
            scaled = np.sign(values) * np.log10(1 + 1e6 * np.abs(values)) * codec.step
    whole = np.clip(np.nan_to_num(np.rint(scaled)), _SMALLEST, _LARGEST)
    whole[np.isnan(scaled)] = NOT_A_NUMBER
    whole[values == np.inf] = PLUS_INFINITY
    whole[values == -np.inf] = MINUS_INFINITY
    if codec.kind == "log":
        whole[values == 0] = ZERO
    integers: NDArray[np.int16] = whole.astype(np.int16)
    return integers


def differences(matrix: NDArray[np.int16]) -> NDArray[np.int16]:
    """Replace each entry by its difference from the one before, modulo 2^16.

    Args:
        matrix: [L, E]. Rows are walked from left to right, and the first column from top to bottom.
    """
    result = matrix.copy()
    result[:, 1:] = matrix[:, 1:] - matrix[:, :-1]
    result[1:, :1] = matrix[1:, :1] - matrix[:-1, :1]
    return result


def sign_last(integers: NDArray[np.int16]) -> NDArray[np.uint16]:
    """Map 0, -1, 1, -2, ... to 0, 1, 2, 3, ..., so that small differences have a high byte of 0.

    >>> sign_last(np.array([0, -1, 1, -2, -32768], np.int16)).tolist()
    [0, 1, 2, 3, 65535]
    """
    return ((integers << 1) ^ (integers >> 15)).view(np.uint16)


def thin(epochs: Floats) -> NDArray[np.int64]:
    """Choose at most `MAX_EPOCHS` places in a list, evenly, the first and the last among them."""
    count = min(MAX_EPOCHS, len(epochs))
    return np.unique(np.rint(np.linspace(0, len(epochs) - 1, count)).astype(np.int64))


def pack(run_ids: list[str], epochs: pl.DataFrame, layers: pl.DataFrame) -> Packed:
    """Pack the metrics and layer quantities of the runs, in the order of `run_ids`."""
    by_run = _by_run(epochs.sort("epoch"), run_ids)
    layers_by_run = _by_run(layers.sort("layer", "epoch"), run_ids)
    lists: list[list[int]] = []
    metric_lists = [_index(lists, table["epoch"].to_numpy()) for table in by_run]
    matrices = [_matrices(table) for table in layers_by_run]
    map_lists = [_index(lists, kept) for kept, _ in matrices]
    pieces = [
        differences(quantise(_column(table, name)[None, :], codec))
        for name, codec in METRICS.items()
        for table in by_run
    ]
    pieces += [found[name] for name in LAYER_QUANTITIES for _, found in matrices]
    joined = np.concatenate([np.empty(0, np.int16), *(piece.ravel() for piece in pieces)])
    unsigned = sign_last(joined)
    low, high = (unsigned & 255).astype(np.uint8), (unsigned >> 8).astype(np.uint8)
    num_layers = [found["grad_norm"].shape[0] for _, found in matrices]
    return Packed(low.tobytes() + high.tobytes(), lists, metric_lists, map_lists, num_layers)


def _by_run(table: pl.DataFrame, run_ids: list[str]) -> list[pl.DataFrame]:
    parts = table.partition_by("run_id", as_dict=True)
    return [parts.get((run_id,), table.clear()) for run_id in run_ids]


def _index(lists: list[list[int]], epochs: NDArray[np.int64]) -> int:
    wanted = [int(epoch) for epoch in epochs]
    if wanted not in lists:
        lists.append(wanted)
    return lists.index(wanted)


def _column(table: pl.DataFrame, name: str) -> Floats:
    return table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _matrices(table: pl.DataFrame) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int16]]]:
    """Pack the layer quantities of one run.

    Returns:
        The kept epochs [E] and the matrices [L, E].
    """
    whole = {}
    for name, codec in LAYER_QUANTITIES.items():
        epochs, _, matrix = layer_matrix(table, name)
        kept = thin(epochs)
        whole[name] = quantise(matrix[:, kept], codec)
    packed = {
        name: differences(whole[name] - whole[codec.beside] if codec.beside else whole[name])
        for name, codec in LAYER_QUANTITIES.items()
    }
    return epochs[kept].astype(np.int64), packed
