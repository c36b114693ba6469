"""Reading bytes: equality with what was written, and limits that hold."""

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fathom.data.readers import open_regular, parse_idx, read_bytes, unpack
from fathom.errors import DataError


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4)])
def test_an_idx_file_gives_back_its_values(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    content = bytes([0, 0, 8, len(shape)])
    content += b"".join(size.to_bytes(4, "big") for size in shape) + values.tobytes()
    got = parse_idx(content, "file")
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, values)


def test_gzip_is_recognised_by_content_not_by_name() -> None:
    plain = b"some content"
    assert unpack(gzip.compress(plain), len(plain), "file") == plain
    assert unpack(plain, len(plain), "file.gz") == plain


def test_a_bomb_is_refused_in_little_memory() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb: unpacks to more than the 1,000 bytes"):
        unpack(bomb, 1000, "bomb")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_file_longer_than_its_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(bytes(11))
    with pytest.raises(DataError, match=r"long: has more than 10 bytes"):
        read_bytes(path, 10)
    assert read_bytes(path, 11) == bytes(11)


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_bytes(tmp_path / "link", 100) == b"content"


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: is a pipe, a socket or a device"):
        open_regular(tmp_path / "pipe")
