"""The `.npz` file that holds a user's own arrays, read and written.

No pickle is ever read: an array of Python objects is refused. A header is checked against the real
size before memory is set aside.
"""

import hashlib
import io
import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from fathom.data.arrays import PAIR, QUARTET, RawData, check_arrays
from fathom.data.readers import describe_error, describe_start, open_regular
from fathom.errors import DataError

_HOLDS: Final = f"must hold {' and '.join(PAIR)}, or {', '.join(QUARTET)}"

# A compressed file may be this many times smaller than its arrays once they exceed the free size.
_MAX_RATIO: Final = 100
_FREE_SIZE: Final = 64 * 2**20


def read_npz(path: Path) -> RawData:
    """Read `x` and `y`, or `x_train`, `y_train`, `x_test` and `y_test`, from an `.npz` file.

    Raises:
        DataError: If the file cannot be read, is damaged, holds Python objects, or its arrays are
            not as `check_arrays` demands.
    """
    try:
        with open_regular(path) as stream:
            arrays = _read_members(stream, path)
    except OSError as error:
        raise DataError(describe_error(path, error)) from error
    return check_arrays(arrays, path)


def _read_members(stream: BinaryIO, path: Path) -> dict[str, npt.NDArray[Any]]:
    start = stream.read(16)
    if not start:
        raise DataError(f"{path}: is empty; must be an .npz file written by numpy.savez")
    try:
        with zipfile.ZipFile(stream) as archive:
            keys = _choose_keys(archive.namelist(), path)
            _check_size(archive, keys, stream.seek(0, io.SEEK_END), path)
            return {key: _parse_npy(archive.read(f"{key}.npy"), path, key) for key in keys}
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path}: is not an .npz file or is damaged ({error}); {describe_start(start)}. "
            "Write it again with numpy.savez"
        ) from error
    except DataError:
        raise
    except Exception as error:  # whatever foreign bytes make zipfile and zlib trip over
        raise DataError(
            f"{path}: is damaged ({type(error).__name__}: {error}). Write it again with numpy.savez"
        ) from error


def _choose_keys(members: list[str], path: Path) -> tuple[str, ...]:
    names = {name.removesuffix(".npy") for name in members if name.endswith(".npy")}
    keys = PAIR if names & {*PAIR} else QUARTET
    missing = [key for key in keys if key not in names]
    if missing:
        held = ", ".join(sorted(members)[:8])[:200] or "nothing"
        raise DataError(f"{path}: lacks {', '.join(missing)} (holds {held}); {_HOLDS}")
    if keys == PAIR and names & {*QUARTET}:
        both = ", ".join(sorted(names & {*PAIR, *QUARTET}))
        raise DataError(f"{path}: holds {both}: which ones are meant? It {_HOLDS}, not both")
    return keys


def _check_size(archive: zipfile.ZipFile, keys: tuple[str, ...], size: int, path: Path) -> None:
    unpacked = sum(archive.getinfo(f"{key}.npy").file_size for key in keys)
    if unpacked > max(_FREE_SIZE, _MAX_RATIO * size):
        raise DataError(
            f"{path}: {size:,} bytes would unpack to {unpacked:,}; must be at most {_MAX_RATIO} "
            "times as many. If this is meant, write it without compression (numpy.savez)"
        )


def _parse_npy(content: bytes, path: Path, key: str) -> npt.NDArray[Any]:
    """Read one array; memory is only set aside for what the file really holds.

    Raises:
        DataError: If it holds Python objects, or not what its header promises.
    """
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    shape, fortran_order, dtype = (
        read(stream) if version == (1, 0) else np.lib.format.read_array_header_2_0(stream)
    )
    if dtype.hasobject:
        raise DataError(
            f"{path}: {key} holds Python objects, which could run code when opened; must be numbers"
        )
    held = len(content) - stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise DataError(
            f"{path}: {key} has {held:,} bytes, which is not what shape {shape} of {dtype} takes. "
            "Write it again with numpy.savez"
        )
    values = np.frombuffer(content, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if fortran_order else "C")


def arrays_to_npz(*arrays: Any) -> bytes:  # noqa: ANN401 - lists, NumPy arrays, torch tensors
    """Write arrays from Python as an `.npz` file: the same arrays give the same bytes everywhere.

    Args:
        arrays: `x, y` or `x_train, y_train, x_test, y_test`; arrays, tensors or nested lists.

    Raises:
        DataError: If they are not what `check_arrays` demands.
    """
    keys = {len(PAIR): PAIR, len(QUARTET): QUARTET}.get(len(arrays))
    if keys is None:
        raise DataError(f"arrays: got {len(arrays)} arrays; {_HOLDS}")
    found = {key: _to_numpy(value, key) for key, value in zip(keys, arrays, strict=True)}
    raw = check_arrays(found, "arrays")
    parts = [raw.train] if raw.test is None else [raw.train, raw.test]
    values = [value for part in parts for value in (part.inputs, part.labels)]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for key, value in zip(keys, values, strict=True):
            member = zipfile.ZipInfo(f"{key}.npy")  # its fixed date keeps the bytes the same
            member.create_system = 3  # else the bytes would depend on the operating system
            npy = io.BytesIO()
            np.lib.format.write_array(npy, np.ascontiguousarray(value), version=(1, 0))
            archive.writestr(member, npy.getvalue())
    return target.getvalue()


def npz_name(content: bytes) -> str:
    """Name a file by its content: `arrays-<16 hexadecimal digits>.npz`."""
    return f"arrays-{hashlib.sha256(content).hexdigest()[:16]}.npz"


def _to_numpy(value: Any, key: str) -> npt.NDArray[Any]:  # noqa: ANN401
    try:
        if hasattr(value, "detach"):  # a tensor, perhaps on another device or with a gradient
            value = value.detach().cpu()
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"arrays: {key} cannot be turned into an array: {error}") from error
