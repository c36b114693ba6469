"""The packed measurements, unpacked again by the slow, obvious way."""

import numpy as np
import pytest

from fathom.figures.layer_maps import layer_matrix, layers_of
from fathom.report.pack import (
    LAYER_QUANTITIES,
    MAX_EPOCHS,
    METRICS,
    Codec,
    Packed,
    differences,
    pack,
    quantise,
    sign_last,
    thin,
)
from made_frames import study

SENTINELS = {-32768: np.nan, -32767: 0.0, -32766: -np.inf, 32767: np.inf}


Shapes = list[tuple[int, int]]


def unpacked(packed: Packed, parts: list[tuple[str, Codec, Shapes]]) -> list[np.ndarray]:
    """Undo `pack` number by number, as the page's program does."""
    half = len(packed.content) // 2
    found, place = [], 0
    integers: dict[tuple[str, int], list[list[int]]] = {}
    for name, codec, shapes in parts:
        for run, (rows, columns) in enumerate(shapes):
            matrix = np.empty((rows, columns))
            whole = integers[name, run] = [[0] * columns for _ in range(rows)]
            first = 0
            for row in range(rows):
                integer = first
                for column in range(columns):
                    code = packed.content[place] + 256 * packed.content[half + place]
                    integer += (code >> 1) ^ -(code & 1)
                    integer = wrapped(integer)
                    first = integer if column == 0 else first
                    whole[row][column] = integer
                    if codec.beside:
                        beside = integers[codec.beside, run][row][column]
                        whole[row][column] = wrapped(integer + beside)
                    matrix[row, column] = value(whole[row][column], codec)
                    place += 1
            found.append(matrix)
    assert place == half
    return found


def wrapped(integer: int) -> int:
    return (integer + 32768) % 65536 - 32768


def value(integer: int, codec: Codec) -> float:
    if integer in SENTINELS:
        return SENTINELS[integer]
    if codec.kind == "linear":
        return integer / codec.step
    if codec.kind == "log":
        return 10 ** (integer / codec.step)
    return np.sign(integer) * 1e-6 * (10 ** (abs(integer) / codec.step) - 1)


def test_every_measurement_comes_back_within_its_step() -> None:
    frames = study(
        activations=("relu", "sigmoid"), inits=("a", "b", "c", "d"), depths=(1, 12, 40), epochs=31
    )
    ids = frames.runs["run_id"].to_list()
    packed = pack(ids, frames.epochs, frames.layers)
    lists = packed.epoch_lists
    curves = [(1, len(lists[e])) for e in packed.epochs]
    maps = [(n, len(lists[e])) for n, e in zip(packed.num_layers, packed.map_epochs, strict=True)]
    parts = [(name, codec, curves) for name, codec in METRICS.items()]
    parts += [(name, codec, maps) for name, codec in LAYER_QUANTITIES.items()]
    found = iter(unpacked(packed, parts))
    for name, codec in METRICS.items():
        for run_id in ids:
            table = frames.epochs.filter(run_id=run_id).sort("epoch")
            compare(next(found)[0], table[name].to_numpy(), codec)
    for name, codec in LAYER_QUANTITIES.items():
        for index, run_id in enumerate(ids):
            epochs, layers, matrix = layer_matrix(layers_of(frames, run_id), name)
            kept = np.isin(epochs, lists[packed.map_epochs[index]])
            assert len(layers) == packed.num_layers[index]
            compare(next(found), matrix[:, kept], codec)


def compare(found: np.ndarray, expected: np.ndarray, codec: Codec) -> None:
    relative = 10 ** (0.5001 / codec.step) - 1
    absolute = 0.5001 / codec.step if codec.kind == "linear" else relative * 1e-6
    if codec.kind == "linear":
        relative = 0.0
    np.testing.assert_allclose(found, expected, rtol=relative, atol=absolute)


@pytest.mark.parametrize(
    ("codec", "values", "integers"),
    [
        (Codec("linear", 100), [0.5, -0.25, np.nan, np.inf], [50, -25, -32768, 32767]),
        (Codec("linear", 10_000), [1e9, -1e9], [32766, -32765]),
        (Codec("log", 50), [1.0, 0.1, 0.0, np.nan, np.inf], [0, -50, -32767, -32768, 32767]),
        (Codec("log", 50), [-1.0], [-32768]),
        (Codec("signed_log", 100), [0.0, 9e-6, -9e-6, -np.inf], [0, 100, -100, -32766]),
    ],
)
def test_quantised_values(codec: Codec, values: list[float], integers: list[int]) -> None:
    assert quantise(np.array(values), codec).tolist() == integers


def test_differences_by_hand() -> None:
    matrix = np.array([[5, 7, 7], [4, -32768, 32767]], np.int16)
    assert differences(matrix).tolist() == [[5, 2, 0], [-1, 32764, -1]]


def test_sign_last_is_one_to_one() -> None:
    every = np.arange(-32768, 32768, dtype=np.int16)
    assert np.unique(sign_last(every)).size == 65536


@pytest.mark.parametrize("count", [1, 2, MAX_EPOCHS, MAX_EPOCHS + 1, 51, 1000])
def test_thinning_keeps_first_and_last(count: int) -> None:
    kept = thin(np.arange(count))
    assert (kept[0], kept[-1], len(kept)) == (0, count - 1, min(count, MAX_EPOCHS))


def test_a_quantity_is_counted_from_one_with_the_same_step_before_it() -> None:
    names = list(LAYER_QUANTITIES)
    for place, codec in enumerate(LAYER_QUANTITIES.values()):
        if codec.beside:
            first = LAYER_QUANTITIES[codec.beside]
            assert names.index(codec.beside) < place
            assert (first.kind, first.step, first.beside) == (codec.kind, codec.step, "")


def test_a_run_without_measurements_takes_no_room() -> None:
    frames = study(activations=("relu",), inits=("he",), depths=(2,), epochs=1)
    packed = pack(["unknown"], frames.epochs, frames.layers)
    assert (packed.content, packed.num_layers, packed.epoch_lists) == (b"", [0], [[]])
