"""Finding files: every place in its order, and nothing trusted but the content."""

import gzip
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom.data.fetch import cache_folder, obtain
from fathom.errors import DataError

KEY = "train_images"


def obtain_images(tiny: Any, *folders: Path) -> bytes:
    return obtain(tiny.collection, tiny.file(KEY), folders)


def spoil(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))


@pytest.mark.parametrize("layout", ["Tiny/raw", "tiny", ""])
@pytest.mark.parametrize("packed", [True, False])
def test_every_layout_is_known(tiny: Any, tmp_path: Path, layout: str, packed: bool) -> None:
    folder = tmp_path / layout
    folder.mkdir(parents=True, exist_ok=True)
    name = tiny.file(KEY).name
    if packed:
        (folder / f"{name}.gz").write_bytes(tiny.packed(KEY))
    else:
        (folder / name).write_bytes(tiny.contents[KEY])
    assert obtain_images(tiny, tmp_path) == tiny.contents[KEY]


def test_an_archive_packed_otherwise_counts_by_its_content(tiny: Any, tmp_path: Path) -> None:
    path = tiny.write(tmp_path) / f"{tiny.file(KEY).name}.gz"
    path.write_bytes(gzip.compress(tiny.contents[KEY], compresslevel=1, mtime=5))
    assert obtain_images(tiny, tmp_path) == tiny.contents[KEY]


def test_the_environment_names_folders(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(tmp_path / "second")
    folders = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setenv("FATHOM_DATA", os.pathsep.join(map(str, folders)))
    assert obtain_images(tiny) == tiny.contents[KEY]


def test_system_folder_and_cache_come_last(
    register_tiny: Callable[..., Any], tiny_contents: dict[str, bytes], tmp_path: Path
) -> None:
    system = tmp_path / "system"
    tiny = register_tiny(tiny_contents, system_folders=(system,))
    tiny.write(cache_folder() / "tiny")
    assert obtain_images(tiny) == tiny.contents[KEY]
    tiny.write(system)
    spoil(cache_folder() / "tiny" / f"{tiny.file(KEY).name}.gz")
    assert obtain_images(tiny) == tiny.contents[KEY]
    assert len(list((cache_folder() / "tiny").glob("*.damaged-*"))) == 0  # never looked at


def test_a_damaged_file_is_named_and_the_search_goes_on(
    tiny: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tiny.write(tmp_path / "bad") / f"{tiny.file(KEY).name}.gz"
    spoil(bad)
    before = bad.read_bytes()
    tiny.write(tmp_path / "good")
    with caplog.at_level(logging.WARNING):
        assert obtain_images(tiny, tmp_path / "bad", tmp_path / "good") == tiny.contents[KEY]
    assert f"{bad}: is damaged or another file" in caplog.text
    assert tiny.file(KEY).sha256 in caplog.text
    assert bad.read_bytes() == before


def test_a_damaged_file_of_the_cache_is_set_aside_not_deleted(tiny: Any) -> None:
    path = tiny.write(cache_folder() / "tiny") / f"{tiny.file(KEY).name}.gz"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"is damaged or another file.*\(kept as "):
        obtain_images(tiny)
    (kept,) = path.parent.glob(f"{path.name}.damaged-*")
    assert kept.read_bytes() == before
    assert not path.exists()


def test_when_nothing_is_found_every_place_is_listed(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    bad = tiny.write(tmp_path / "bad") / f"{tiny.file(KEY).name}.gz"
    bad.write_bytes(b"")
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / tiny.file(KEY).name
    link.symlink_to("nowhere")
    places = [tmp_path / name for name in ("empty", "absent", "file", "bad", "linked")]
    with pytest.raises(DataError, match="data set 'tiny': found no good train-images") as caught:
        obtain_images(tiny, *places)
    text = str(caught.value)
    assert f"{places[0]}: not there" in text
    assert f"{places[1]}: no such folder" in text
    assert f"{places[2]}: no such folder" in text
    assert f"{bad}: is empty" in text
    assert f"{link}: is a link to nothing" in text
    assert f"{cache_folder()}: no such folder" in text
    wanted = ", ".join(f"{file.name}.gz" for file in tiny.collection.files)
    assert f"Put {wanted} into {places[0]}/Tiny/raw, or name the folder that holds" in text


def test_an_unreadable_folder_is_named(
    tiny: Any, tmp_path: Path, as_ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    folder = tiny.write(tmp_path / "closed")
    tmp_path.chmod(0o755)
    folder.chmod(0)
    path = folder / f"{tiny.file(KEY).name}.gz"
    with (
        as_ordinary_user(),
        pytest.raises(DataError, match=f"{path}: cannot be read: Permission denied"),
    ):
        obtain_images(tiny, folder)
    folder.chmod(0o700)


def test_random_damage_is_never_taken_for_the_truth(tiny: Any, tmp_path: Path) -> None:
    """Flips, cuts and zeroed blocks: an error, or the very content (flips in gzip's date)."""
    path = tiny.write(tmp_path) / f"{tiny.file(KEY).name}.gz"
    good = path.read_bytes()
    draw = np.random.default_rng(11)
    refused = []
    for trial in range(200):
        bad = bytearray(good)
        place = int(draw.integers(len(good)))
        if trial % 4 == 0:
            del bad[place:]
        elif trial % 4 == 1:
            bad[place : place + 64] = bytes(len(bad[place : place + 64]))
        else:
            bad[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(bad)
        try:
            assert obtain_images(tiny, tmp_path) == tiny.contents[KEY]
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 150
    assert all(str(path) in message for message in refused)
