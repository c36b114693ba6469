"""The cache of decoded images: written once, never half, never trusted when damaged."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fathom.data.decoded import cache_path, cached, decoded_folder, is_cached
from fathom.data.fetch import cache_folder
from fathom.errors import DataError

SHAPE = (5, 2, 3)
KEY = ("tiny", (("a", 1),))
WHOLE = np.arange(30, dtype=np.uint8).reshape(SHAPE)


class Work:
    """Makes the array in two pieces; counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterator[np.ndarray]:
        self.times += 1
        yield WHOLE[:3]
        yield WHOLE[3:]


@pytest.fixture
def work() -> Work:
    return Work()


def test_it_is_made_once_and_mapped(work: Work) -> None:
    assert not is_cached(KEY)
    for _ in range(3):
        found = cached(KEY, SHAPE, work)
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, WHOLE)
    assert work.times == 1
    assert is_cached(KEY)
    assert [*decoded_folder().iterdir()] == [cache_path(KEY)]  # and nothing half-written


def test_other_programs_can_read_it(work: Work) -> None:
    cached(KEY, SHAPE, work)
    np.testing.assert_array_equal(np.load(cache_path(KEY)), WHOLE)


def test_a_change_never_reaches_the_file(work: Work) -> None:
    cached(KEY, SHAPE, work)[:] = 0
    np.testing.assert_array_equal(cached(KEY, SHAPE, work), WHOLE)


def flip(content: bytearray, place: int) -> None:
    content[place] ^= 1


DAMAGES: dict[str, Callable[[bytearray], None]] = {
    "a pixel": lambda content: flip(content, -40),
    "the header": lambda content: flip(content, 40),
    "the digest": lambda content: flip(content, -1),
    "cut": lambda content: content.__delitem__(slice(-10, None)),
    "longer": lambda content: content.extend(b"x"),
    "empty": lambda content: content.clear(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(
    work: Work, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cached(KEY, SHAPE, work)
    content = bytearray(cache_path(KEY).read_bytes())
    DAMAGES[damage](content)
    cache_path(KEY).write_bytes(content)
    np.testing.assert_array_equal(cached(KEY, SHAPE, work), WHOLE)
    assert work.times == 2
    assert "is damaged; its images are decoded again" in caplog.text
    cached(KEY, SHAPE, work)
    assert work.times == 2


def test_every_bit_counts(work: Work) -> None:
    cached(KEY, SHAPE, work)
    good = cache_path(KEY).read_bytes()
    for place in range(0, len(good), 7):
        content = bytearray(good)
        flip(content, place)
        cache_path(KEY).write_bytes(content)
        np.testing.assert_array_equal(cached(KEY, SHAPE, work), WHOLE)
    assert work.times == 1 + len(range(0, len(good), 7))


def test_what_fails_half_way_leaves_nothing(work: Work) -> None:
    def half() -> Iterator[np.ndarray]:
        yield WHOLE[:3]
        raise DataError("a bad image")

    with pytest.raises(DataError, match="a bad image"):
        cached(KEY, SHAPE, half)
    assert [*decoded_folder().iterdir()] == []
    np.testing.assert_array_equal(cached(KEY, SHAPE, work), WHOLE)


def test_blocks_of_another_size_are_our_own_fault() -> None:
    with pytest.raises(ValueError, match=r"blocks of another size than \(5, 2, 3\)"):
        cached(KEY, SHAPE, lambda: [WHOLE[:3]])


def test_a_cache_that_cannot_be_written_does_not_stop_the_work(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    cache_folder().parent.mkdir(parents=True)
    cache_folder().write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(cached(KEY, SHAPE, work), WHOLE)
    assert "decoded images cannot be kept" in caplog.text


def test_different_keys_are_kept_apart(work: Work) -> None:
    paths: set[Path] = {cache_path(key) for key in (KEY, ("tiny", (("a", 2),)), ("tiny", ("a", 1)))}
    assert len(paths) == 3
