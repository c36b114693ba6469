"""Images decoded once: a cache of arrays, mapped into memory when they are read.

A file of the cache is an `.npy` array followed by the sha256 of all bytes before. It is written
aside and renamed, so that nobody ever sees half of it, and one that is damaged is made again.
"""

import hashlib
import io
import logging
import math
import os
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from fathom.data.aside import written_aside
from fathom.data.fetch import cache_folder

_log = logging.getLogger(__name__)

FORMAT: Final = 1  # counted up when the same files come to be decoded differently
_DIGEST_BYTES: Final = 32
_CHUNK: Final = 1 << 20

Pixels = npt.NDArray[np.uint8]


def decoded_folder() -> Path:
    """Return the folder of the cache."""
    return cache_folder() / "decoded"


def cache_path(key: Hashable) -> Path:
    """Return where the array that a key stands for is kept.

    Args:
        key: Everything that decides the content, of values whose `repr` is their content.
    """
    name = hashlib.sha256(repr((FORMAT, key)).encode(errors="surrogatepass")).hexdigest()[:32]
    return decoded_folder() / f"{name}.npy"


def is_cached(key: Hashable) -> bool:
    """Tell whether an array is kept, damaged or not."""
    return cache_path(key).exists()


def cached(key: Hashable, shape: tuple[int, ...], blocks: Callable[[], Iterable[Pixels]]) -> Pixels:
    """Return an array from the cache, or make it and keep it.

    Args:
        key: Everything that decides the content.
        shape: Of the whole array, `[N, ...]`.
        blocks: Makes the array, in pieces `[n, ...]` along the first axis. Called again if the
            cache cannot be written: the work is then kept in memory alone.

    Returns:
        A memory map that may be written to (no change reaches the file), or an array.
    """
    path = cache_path(key)
    if not _is_good(path, shape):
        try:
            with written_aside(path) as stream:
                _write(stream, shape, blocks())
        except OSError as error:
            _log.warning("%s: decoded images cannot be kept: %s", path, error.strerror or error)
            return np.concatenate(list(blocks()))
    whole: Pixels = np.load(path, mmap_mode="c", allow_pickle=False)
    return whole


def _is_good(path: Path, shape: tuple[int, ...]) -> bool:
    head = _header(shape)
    try:
        with open(path, "rb") as stream:
            size = len(head) + math.prod(shape) + _DIGEST_BYTES
            good = os.fstat(stream.fileno()).st_size == size and stream.read(len(head)) == head
            good = good and _is_sealed(stream, head, math.prod(shape))
    except FileNotFoundError:
        return False
    except OSError as error:
        _log.warning("%s: cannot be read: %s", path, error.strerror or error)
        return False
    if not good:
        _log.warning("%s: is damaged; its images are decoded again", path)
    return good


def _is_sealed(stream: BinaryIO, head: bytes, left: int) -> bool:
    total = hashlib.sha256(head)
    while left > 0:
        piece = stream.read(min(left, _CHUNK))
        if not piece:
            return False
        total.update(piece)
        left -= len(piece)
    return stream.read() == total.digest()


def _write(stream: BinaryIO, shape: tuple[int, ...], blocks: Iterable[Pixels]) -> None:
    head = _header(shape)
    total = hashlib.sha256(head)
    stream.write(head)
    for block in blocks:
        content = np.ascontiguousarray(block).data
        total.update(content)
        stream.write(content)
    if stream.tell() != len(head) + math.prod(shape):
        raise ValueError(f"blocks of another size than {shape}")
    stream.write(total.digest())


def _header(shape: tuple[int, ...]) -> bytes:
    head = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, description)
    return head.getvalue()
