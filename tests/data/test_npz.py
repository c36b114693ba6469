"""The user's own arrays: the same there and back, and never a wrong number from a damaged file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fathom.data.arrays import RawData
from fathom.data.npz import arrays_to_npz, npz_name, read_npz
from fathom.errors import DataError

X = np.random.default_rng(0).normal(size=(12, 2, 3))
Y = np.arange(12) % 3


def read_content(content: bytes, folder: Path) -> RawData:
    path = folder / npz_name(content)
    path.write_bytes(content)
    return read_npz(path)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    raw = read_content(arrays_to_npz(X, Y), tmp_path)
    np.testing.assert_array_equal(raw.train.inputs, X)
    np.testing.assert_array_equal(raw.train.labels, Y)
    assert raw.test is None
    assert raw.extent.sample_shape == (2, 3)
    assert (raw.extent.num_train, raw.extent.num_test, raw.extent.num_classes) == (12, None, 3)


def test_four_arrays_hold_an_official_test_part(tmp_path: Path) -> None:
    raw = read_content(arrays_to_npz(X, Y, X[:5], Y[:5]), tmp_path)
    assert raw.test is not None
    np.testing.assert_array_equal(raw.test.inputs, X[:5])
    np.testing.assert_array_equal(raw.test.labels, Y[:5])
    assert (raw.extent.num_train, raw.extent.num_test) == (12, 5)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_that_numpy_wrote_are_read(save: Any, tmp_path: Path) -> None:
    save(tmp_path / "own.npz", x=np.asfortranarray(X.astype(">f4")), y=Y.astype(np.int8), other=X)
    raw = read_npz(tmp_path / "own.npz")
    np.testing.assert_array_equal(raw.train.inputs, X.astype(np.float32))
    np.testing.assert_array_equal(raw.train.labels, Y)


def test_numpy_reads_what_we_wrote(tmp_path: Path) -> None:
    path = tmp_path / "ours.npz"
    path.write_bytes(arrays_to_npz(X, Y))
    with np.load(path, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["x"], X)
        np.testing.assert_array_equal(found["y"], Y)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("uint8", "uint8"),
        ("float32", "float32"),
        ("float16", "float64"),
        ("float64", "float64"),
        ("int64", "float64"),
        ("bool", "float64"),
    ],
)
def test_storage_types(given: str, stored: str, tmp_path: Path) -> None:
    x = np.arange(24).reshape(12, 2).astype(given)
    raw = read_content(arrays_to_npz(x, Y), tmp_path)
    assert raw.train.inputs.dtype == np.dtype(stored)
    np.testing.assert_array_equal(raw.train.inputs, x.astype(stored))


def test_equal_arrays_give_equal_bytes_whatever_holds_them() -> None:
    content = arrays_to_npz(X, Y)
    assert arrays_to_npz(torch.tensor(X, requires_grad=True), torch.tensor(Y)) == content
    assert arrays_to_npz(X.tolist(), Y.tolist()) == content
    assert arrays_to_npz(np.asfortranarray(X), Y) == content
    assert npz_name(content) == npz_name(bytes(content))
    other = X.copy()
    other[3, 1, 2] += 1e-9
    assert npz_name(arrays_to_npz(other, Y)) != npz_name(content)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((X,), r"arrays: got 1 arrays; must hold x and y, or x_train, y_train, x_test, y_test"),
        ((X, Y[:-1]), r"arrays: x has 12 samples and y has 11 labels; must be as many"),
        ((X, Y, X[:, :1], Y), r"x_train have shape \(2, 3\), of x_test \(1, 3\)"),
        ((X, Y, X.astype(np.uint8), Y), r"x_train has type float64, x_test uint8"),
        (([[1], [1, 2]], [0, 1]), r"arrays: x cannot be turned into an array"),
        ((X, Y, X, 2 * Y), r"arrays: labels run up to 4 but no sample has label 3"),
    ],
)
def test_arrays_from_python_are_checked_at_once(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        arrays_to_npz(*arrays)


def test_a_damaged_file_is_refused_or_harmless(tmp_path: Path) -> None:
    """Flip single bits and cut: every outcome is an error or the very same arrays."""
    content = arrays_to_npz(X, Y)
    draw = np.random.default_rng(7)
    damaged = [content[: int(cut)] for cut in draw.integers(1, len(content), 50)]
    for place in draw.integers(0, 8 * len(content), 250):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << (place % 8)
        damaged.append(bytes(flipped))
    refused = []
    for case in damaged:
        try:
            raw = read_content(case, tmp_path)
        except DataError as error:
            refused.append(npz_name(case) in str(error))
        else:
            np.testing.assert_array_equal(raw.train.inputs, X)
            np.testing.assert_array_equal(raw.train.labels, Y)
    assert len(refused) > 0.8 * len(damaged)
    assert all(refused)
