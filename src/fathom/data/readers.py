"""Bytes from a file that a stranger may have made: bounded, checked, never executed.

A reader refuses whatever is not exactly what it expects, with the file's name in the sentence, and
never holds more in memory than the limit it was given.
"""

import gzip
import io
import math
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np
import numpy.typing as npt

from fathom.errors import DataError

GZIP_MAGIC: Final = b"\x1f\x8b"
_IDX_UINT8: Final = 0x08
_IDX_TYPES: Final = {
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file (or a link to one) for reading, without ever waiting for a pipe.

    Raises:
        OSError: If the operating system refuses.
        DataError: If it is a folder, a pipe, a socket or a device.
    """
    stream = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - handed to the caller
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise DataError(f"{path}: is a pipe, a socket or a device; must be a regular file")
    return cast(BinaryIO, stream)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a whole regular file of at most `limit` bytes.

    Raises:
        OSError: If the operating system refuses.
        DataError: If it is empty, longer than the limit or not a regular file.
    """
    with open_regular(path) as stream:
        content = stream.read(limit + 1)
    if not content:
        raise DataError(f"{path}: is empty")
    if len(content) > limit:
        raise DataError(f"{path}: has more than {limit:,} bytes; must have at most as many")
    return content


def describe_error(path: Path, error: OSError) -> str:
    """Say in one sentence why the operating system does not give a file."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"{path}: is a link to nothing"
    return f"{path}: cannot be read: {error.strerror or error}"


def describe_start(content: bytes) -> str:
    """Show how a file begins, for a message: its first bytes as printable text."""
    return "begins with " + ascii(content[:16].decode("latin-1"))


def unpack(content: bytes, limit: int, source: Path | str) -> bytes:
    """Decompress gzip, whatever the file is called; anything else is returned as it is.

    Args:
        content: The bytes of the file.
        limit: Largest allowed size of the result, in bytes; never more is decompressed.
        source: File or address, for messages.

    Raises:
        DataError: If the archive is damaged or unpacks to more than the limit.
    """
    if not content.startswith(GZIP_MAGIC):
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as archive:
            plain = archive.read(limit + 1)
    except EOFError as error:
        raise DataError(f"{source}: is cut off: the gzip archive ends too early") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{source}: is a damaged gzip archive ({error})") from error
    if len(plain) > limit:
        raise DataError(f"{source}: unpacks to more than the {limit:,} bytes that it must have")
    return plain


def parse_idx(content: bytes, source: Path | str) -> npt.NDArray[np.uint8]:
    """Read an IDX array of unsigned bytes.

    Source: the format's description at http://yann.lecun.com/exdb/mnist: two zero bytes, a type
    byte, the number of dimensions, each as a big-endian 32-bit integer, then the values.

    Args:
        content: Uncompressed bytes of the file.
        source: File name, for messages.

    Returns:
        A read-only array of the shape that the header names.

    Raises:
        DataError: If magic number, type, dimensions or length are not right.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(
            f"{source}: is not an IDX file: {describe_start(content)}; "
            "must begin with two zero bytes"
        )
    kind, num_dims = content[2], content[3]
    if kind != _IDX_UINT8:
        got = _IDX_TYPES.get(kind, "no known type")
        raise DataError(
            f"{source}: its type byte is 0x{kind:02x} ({got}); must be 0x08 (unsigned bytes)"
        )
    start = 4 + 4 * num_dims
    if num_dims == 0 or len(content) < start:
        raise DataError(
            f"{source}: its header names {num_dims} dimensions; "
            "must name at least 1, then their sizes"
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", num_dims, offset=4))
    if math.prod(shape) != len(content) - start:
        raise DataError(
            f"{source}: has {len(content) - start:,} values; its header promises "
            f"{' x '.join(map(str, shape))} = {math.prod(shape):,}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
