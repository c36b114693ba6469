"""A small data set in MNIST's format, and a machine on which nothing else is to be found."""

import gzip
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mirrors import Mirror

from fathom.data.arrays import Extent
from fathom.data.base import Dataset
from fathom.data.config import DataConfig
from fathom.data.datasets import DATASETS
from fathom.data.fetch import Collection, DataFile
from fathom.data.idx import idx_files, idx_images

TINY = Extent(num_train=40, num_test=20, sample_shape=(3, 4), num_classes=5, item_size=1)
KEYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class TinyImages:
    """A data set of random 3x4 images, registered as `tiny`; nothing of it is written yet."""

    contents: dict[str, bytes]
    dataset: Dataset

    @property
    def collection(self) -> Collection:
        assert self.dataset.collection is not None
        return self.dataset.collection

    def file(self, key: str) -> DataFile:
        return self.collection.files[KEYS.index(key)]

    def packed(self, key: str) -> bytes:
        return gzip.compress(self.contents[key], mtime=0)

    def write(self, folder: Path) -> Path:
        """Write all four archives into `folder` and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        for key in KEYS:
            (folder / f"{self.file(key).name}.gz").write_bytes(self.packed(key))
        return folder


def encode_idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


def make_tiny(contents: dict[str, bytes], **collection: Any) -> TinyImages:
    digests = [hashlib.sha256(contents[key]).hexdigest() for key in KEYS]
    files = tuple(
        replace(file, size=len(contents[key]))
        for key, file in zip(KEYS, idx_files(TINY, *digests), strict=True)
    )
    settings = {"layouts": ("Tiny/raw", "tiny", "")} | collection
    return TinyImages(contents, idx_images(Collection(name="tiny", files=files, **settings), TINY))


@pytest.fixture
def tiny_contents() -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    assert TINY.num_test is not None
    arrays = []
    for count in (TINY.num_train, TINY.num_test):
        arrays.append(draw.integers(0, 256, (count, *TINY.sample_shape)))
        arrays.append(np.arange(count) % TINY.num_classes)
    return {key: encode_idx(values) for key, values in zip(KEYS, arrays, strict=True)}


@pytest.fixture
def register_tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TinyImages]:
    def register(contents: dict[str, bytes], **collection: Any) -> TinyImages:
        tiny = make_tiny(contents, **collection)
        monkeypatch.setitem(DATASETS._factories, "tiny", lambda: tiny.dataset)
        return tiny

    return register


@pytest.fixture
def tiny(register_tiny: Callable[..., TinyImages], tiny_contents: dict[str, bytes]) -> TinyImages:
    return register_tiny(tiny_contents)


@pytest.fixture
def make_config() -> Callable[..., DataConfig]:
    default = DataConfig(
        name="tiny",
        path=None,
        scaling="unit",
        protocol="holdout",
        validation_share=0.25,
        test_share=0.2,
        limit=None,
        seed=1,
    )
    return lambda **changes: replace(default, **changes)


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the data folders of whoever runs the tests."""
    monkeypatch.delenv("FATHOM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache-home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def as_ordinary_user(tmp_path: Path) -> Callable[[], AbstractContextManager[None]]:
    """Give a context in which permissions bind, also for the superuser."""

    @contextmanager
    def ordinary() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        modes = {path: path.stat().st_mode for path in tmp_path.parents}
        closed = {path: mode for path, mode in modes.items() if not mode & 0o001}
        for path, mode in closed.items():
            path.chmod(mode | 0o011)
        os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(0)
            for path, mode in closed.items():
                path.chmod(mode)

    return ordinary


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()
