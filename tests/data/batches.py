"""CIFAR's files made small: batches in bytes, and in pickles as Python 2 wrote them."""

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fathom.data.arrays import Extent
from fathom.data.cifar import BINARY, PYTHON, Batches

SMALL = Extent(
    num_train=20,
    num_test=6,
    sample_shape=(3, 2, 4),
    num_classes=10,
    item_size=1,
    class_names=tuple("abcdefghij"),
)


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def python2_pickle(pixels: np.ndarray, labels: Sequence[int]) -> bytes:
    """Write a batch instruction by instruction, as Python 2 did: protocol 2, bytes as texts."""
    rows, columns = pixels.shape
    empty = b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nq\x06" + text("u1") + b"K\x00K\x01\x87R"
    kind += b"(K\x03" + text("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    content = b"T" + struct.pack("<I", pixels.size) + pixels.tobytes()
    shape = number(rows) + number(columns) + b"\x86"
    array = empty + b"q\x05(K\x01" + shape + kind + b"\x89" + content + b"tb"
    names = b"](" + b"".join(text(f"image_{n}.png") for n in range(rows)) + b"e"
    listed = b"]q\x02(" + b"".join(map(number, labels)) + b"e"
    entries = text("batch_label") + text("training batch 1 of 5") + text("labels") + listed
    entries += text("data") + array + text("filenames") + names
    return b"\x80\x02}q\x01(" + entries + b"u."


def small_contents() -> tuple[dict[str, bytes], dict[str, bytes], np.ndarray]:
    """Return binary and pickled batches by name, and the rows that they hold."""
    draws = np.random.default_rng(4)
    rows = draws.integers(0, 256, (26, 1 + SMALL.num_features)).astype(np.uint8)
    rows[:, 0] = draws.permutation(np.arange(26) % SMALL.num_classes)
    cuts = [rows[4 * n : 4 * n + 4] for n in range(5)] + [rows[20:]]
    binary = {name: cut.tobytes() for name, cut in zip(BINARY.names, cuts, strict=True)}
    pickled = {
        name: python2_pickle(cut[:, 1:], cut[:, 0].tolist())
        for name, cut in zip(PYTHON.names, cuts, strict=True)
    }
    return binary, pickled, rows


def pack(folder: str, contents: Mapping[str, bytes]) -> bytes:
    """Pack files into an archive, beside others that it need not hold."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in {"readme.html": b"hello", **contents}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(target.getvalue(), mtime=0)


def small_version(
    version: Batches, contents: Mapping[str, bytes], mirrors: tuple[str, ...] = ()
) -> tuple[Batches, bytes]:
    """Return a version of CIFAR that expects these files, and its archive."""
    archive = pack(version.folder, contents)
    md5 = hashlib.md5(archive).hexdigest()
    file = replace(version.file, md5=md5, size=len(archive))
    collection = replace(version.archive, name="small", files=(file,), mirrors=mirrors)
    sums = tuple(hashlib.md5(content).hexdigest() for content in contents.values())
    return replace(version, archive=collection, md5=sums if version.md5 else ()), archive
