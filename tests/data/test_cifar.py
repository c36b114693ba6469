"""CIFAR-10's files: both versions, unpacked and packed, give the same images and labels."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from batches import SMALL, python2_pickle, small_contents, small_version
from mirrors import Mirror

from fathom.data.arrays import RawData
from fathom.data.base import Dataset
from fathom.data.cifar import (
    BINARY,
    PYTHON,
    cifar10,
    cifar_images,
    parse_batch,
    parse_pickled_batch,
)
from fathom.data.config import DataConfig, Source
from fathom.data.datasets import DATASETS, is_at_hand, measure
from fathom.data.decoded import decoded_folder
from fathom.data.fetch import cache_folder
from fathom.data.splits import prepare
from fathom.errors import DataError

Config = Callable[..., DataConfig]
BINARIES, PICKLES, ROWS = small_contents()
PACKED_BINARY = small_version(BINARY, BINARIES)[1]
PACKED_PYTHON = small_version(PYTHON, PICKLES)[1]


def small(*mirrors: str) -> Dataset:
    binary, _ = small_version(BINARY, BINARIES, mirrors)
    return cifar_images("small", binary, small_version(PYTHON, PICKLES)[0], SMALL)


def write(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def check(raw: RawData) -> None:
    assert raw.test is not None
    labels = np.concatenate([raw.train.labels, raw.test.labels])
    inputs = np.concatenate([raw.train.inputs, raw.test.inputs])
    np.testing.assert_array_equal(labels, ROWS[:, 0])
    np.testing.assert_array_equal(inputs, ROWS[:, 1:].reshape(26, 3, 2, 4))
    assert raw.extent == SMALL


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "binary folder": lambda top: write(top / "cifar-10-batches-bin", BINARIES),
    "python folder": lambda top: write(top / "cifar-10-batches-py", PICKLES),
    "below another": lambda top: write(top / "CIFAR10" / "cifar-10-batches-py", PICKLES),
    "the folder itself": lambda top: write(top / "x", {}) or write(top / "cifar10", BINARIES),
    "binary archive": lambda top: (top / "cifar-10-binary.tar.gz").write_bytes(PACKED_BINARY),
    "python archive": lambda top: (top / "cifar-10-python.tar.gz").write_bytes(PACKED_PYTHON),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same(tmp_path: Path, layout: str) -> None:
    dataset = small()
    assert dataset.at_hand is not None
    assert not dataset.at_hand(Source(), [tmp_path])
    LAYOUTS[layout](tmp_path)
    assert dataset.at_hand(Source(), [tmp_path])
    check(dataset.load(Source(), [tmp_path]))


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    LAYOUTS["binary archive"](tmp_path)
    check(small().load(Source(), [tmp_path]))
    (tmp_path / "cifar-10-binary.tar.gz").unlink()
    check(small().load(Source(), [tmp_path]))
    assert len([*decoded_folder().iterdir()]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cache-home"]  # nothing else is written


def test_a_download_is_verified_and_kept(mirror: Mirror, tmp_path: Path) -> None:
    mirror.files["cifar-10-binary.tar.gz"] = PACKED_BINARY
    check(small(mirror.address("absent"), mirror.address("good")).load(Source(), []))
    assert mirror.requests == ["absent", "good"]
    kept = cache_folder() / "small" / "cifar-10-binary.tar.gz"
    assert kept.read_bytes() == PACKED_BINARY
    check(small(mirror.address("good")).load(Source(), []))
    assert len(mirror.requests) == 2


@pytest.mark.parametrize("behaviour", ["cut", "short", "page"])
def test_a_bad_download_is_told(mirror: Mirror, behaviour: str) -> None:
    mirror.files["cifar-10-binary.tar.gz"] = PACKED_BINARY
    with pytest.raises(DataError, match=r"found no good cifar-10-binary\.tar\.gz\. Looked at") as e:
        small(mirror.address(behaviour)).load(Source(), [])
    assert f"/{behaviour}/cifar-10-binary.tar.gz: " in str(e.value)
    assert not (cache_folder() / "small").exists()


def test_a_damaged_folder_is_named_and_the_search_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    LAYOUTS["binary folder"](tmp_path)
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"data_batch_3\.bin: has 3 bytes; must have 4 x 25, a lab"):
        small().load(Source(), [tmp_path])
    LAYOUTS["python folder"](tmp_path)
    with caplog.at_level(logging.WARNING):
        check(small().load(Source(), [tmp_path]))
    assert "data_batch_3.bin: has 3 bytes" in caplog.text


@pytest.mark.parametrize("name", PYTHON.names)
def test_a_changed_pickle_is_not_even_parsed(tmp_path: Path, name: str) -> None:
    LAYOUTS["python folder"](tmp_path)
    path = tmp_path / "cifar-10-batches-py" / name
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: is damaged or another file: its md5 is"):
        small().load(Source(), [tmp_path])


def test_an_archive_writes_nothing_and_lacks_are_told(tmp_path: Path) -> None:
    lacking = {k: v for k, v in BINARIES.items() if k != "test_batch.bin"}
    version, archive = small_version(BINARY, lacking | {"../../../evil.bin": b"x" * 100})
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive)
    dataset = cifar_images("small", version, small_version(PYTHON, PICKLES)[0], SMALL)
    with pytest.raises(DataError, match=r"binary\.tar\.gz: lacks cifar-10-batches-bin/test_batch"):
        dataset.load(Source(), [tmp_path])
    assert not [*tmp_path.rglob("evil.bin")]


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    contents = dict(BINARIES)
    contents["data_batch_2.bin"] = b"\x0a" + contents["data_batch_2.bin"][1:]
    write(tmp_path / "cifar-10-batches-bin", contents)
    with pytest.raises(DataError, match=r"small: holds the label 10; must be below 10"):
        small().load(Source(), [tmp_path])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (python2_pickle(ROWS[:3, 1:], [1, 2, 3]), "must hold 'data', 4 x 24 pixels, and 'labels'"),
        (python2_pickle(ROWS[:4, 1:], [1, 2, 3]), "must hold 'data', 4 x 24 pixels, and 'labels'"),
        (python2_pickle(ROWS[:4, 1:], [1, 2, 3, 999]), "holds a label that is no class"),
        (b"cos\nsystem\nU\x04true\x85R.", r"wants 'os\.system', which is no plain data; nothing"),
    ],
)
def test_other_pickles_are_refused(content: bytes, told: str) -> None:
    with pytest.raises(DataError, match=rf"^data_batch_1: {told}"):
        parse_pickled_batch(content, (4, 25), "data_batch_1")


def test_a_row_is_a_label_and_then_red_green_blue() -> None:
    content = bytes([7, *[1] * 8, *[2] * 8, *[3] * 8])
    row = parse_batch(content, (1, 25), "batch")[0]
    assert row[0] == 7
    assert row[1:].reshape(3, 2, 4).mean((1, 2)).tolist() == [1, 2, 3]


def test_the_official_sizes(make_config: Config) -> None:
    dataset = cifar10()
    assert measure(make_config(name="cifar10", validation_share=0.1))[:6] == (
        3 * 32 * 32,
        10,
        45_000,
        5_000,
        10_000,
        1,
    )
    assert dataset.extent is not None
    assert dataset.extent.class_names[:2] == ("airplane", "automobile")
    assert not is_at_hand(make_config(name="cifar10"))
    assert len(PYTHON.md5) == len(PYTHON.names) == len(BINARY.names) == 6


def test_it_is_prepared_like_any_other(
    make_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS._factories, "small", small)
    LAYOUTS["python archive"](tmp_path)
    data = prepare(make_config(name="small", protocol="train_test"), [tmp_path])
    assert data.sample_shape == (3, 2, 4)
    assert data.class_names == SMALL.class_names
    np.testing.assert_array_equal(data.test.inputs.numpy(), ROWS[20:, 1:])
    assert data.test.targets.tolist() == ROWS[20:, 0].tolist()
