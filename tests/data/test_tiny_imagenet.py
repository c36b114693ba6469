"""Tiny-ImageNet in its official layout; ten real classes where FATHOM_DATA holds them."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import draw_tiny_imagenet, read

from fathom.data.config import DataConfig
from fathom.data.datasets import measure
from fathom.data.splits import prepare
from fathom.errors import DataError

Config = Callable[..., DataConfig]
WNIDS = ("n02", "n01", "n03")
FOLDERS = [Path(name) for name in os.environ.get("FATHOM_DATA", "").split(os.pathsep) if name]
ARCHIVES = [path for folder in FOLDERS if (path := folder / "tiny-imagenet-10.tar.xz").is_file()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_tiny_imagenet(tmp_path / "tiny-imagenet-200", WNIDS)


@pytest.fixture
def config(make_config: Config) -> DataConfig:
    return make_config(name="tiny_imagenet", protocol="train_test")


def test_labels_follow_wnids_and_the_annotations(
    config: DataConfig, root: Path, tmp_path: Path
) -> None:
    data = prepare(config, [tmp_path])
    assert data.class_names == ("crane (n02)", "goldfish", "crane (n03)")
    expected = {
        read(root / "train" / wnid / "images" / f"{wnid}_{n}.JPEG").tobytes(): label
        for label, wnid in enumerate(WNIDS)
        for n in range(2)
    }
    rows = zip(data.train.inputs, data.train.targets, strict=True)
    assert {row.numpy().tobytes(): int(label) for row, label in rows} == expected
    tests = np.stack([read(root / "val" / "images" / f"val_{n}.JPEG").ravel() for n in range(5)])
    np.testing.assert_array_equal(data.test.inputs.numpy(), tests)
    assert data.test.targets.tolist() == [0, 1, 0, 1, 0]


def test_grey_images_get_three_channels(config: DataConfig, root: Path, tmp_path: Path) -> None:
    grey = prepare(config, [tmp_path]).test.inputs[3].reshape(3, -1)
    assert (grey[0] == grey[1]).all()
    assert (grey[0] == grey[2]).all()


def test_the_unlabelled_images_are_not_used(config: DataConfig, root: Path, tmp_path: Path) -> None:
    assert measure(config, [tmp_path])[2:5] == (6, 0, 5)


@pytest.mark.parametrize("path", ["tiny-imagenet-200", "."])
def test_the_folder_can_be_named(
    make_config: Config, root: Path, tmp_path: Path, path: str
) -> None:
    config = make_config(name="tiny_imagenet", path=path, protocol="train_test", image_size=4)
    assert prepare(config, [tmp_path]).sample_shape == (3, 4, 4)


def test_without_words_classes_are_called_by_their_numbers(
    config: DataConfig, root: Path, tmp_path: Path
) -> None:
    (root / "words.txt").unlink()
    assert prepare(config, [tmp_path]).class_names == WNIDS


ANNOTATIONS = "val/val_annotations.txt"
BROKEN_LINES = {
    "one column": ("val_2.JPEG", r"got 'val_2\.JPEG'; must be an image's name, a class"),
    "spaces": ("val_2.JPEG n01 0 0 1 1", r"got 'val_2\.JPEG n01 0 0 1 1'; must be"),
    "no class": ("val_2.JPEG\tn77\t0\t0\t1\t1", r"class 'n77' is not in wnids\.txt"),
    "no image": ("val_8.JPEG\tn01\t0\t0\t1\t1", r"there is no image .*val/images/val_8\.JPEG"),
    "twice": ("val_0.JPEG\tn01\t0\t0\t1\t1", r"image val_0\.JPEG has a line before this one"),
    "elsewhere": ("../../words.txt\tn01\t0\t0\t1\t1", r"got '\.\./\.\./words\.txt.*'; must be"),
}


@pytest.mark.parametrize("case", BROKEN_LINES)
def test_a_wrong_annotation_gets_file_and_line(
    config: DataConfig, root: Path, tmp_path: Path, case: str
) -> None:
    line, told = BROKEN_LINES[case]
    lines = (root / ANNOTATIONS).read_text().splitlines()
    lines[2] = line
    (root / ANNOTATIONS).write_text("\n".join(lines))
    for read_it in (measure, prepare):
        with pytest.raises(DataError, match=rf"val_annotations\.txt:3: {told}"):
            read_it(config, [tmp_path])


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("wnids.txt", b"n01\n\nn02\nn01\n", r"wnids\.txt:4: class n01 was there before, in .*:1"),
        ("wnids.txt", b"n01\n../etc\n", r"wnids\.txt:2: got '\.\./etc'; must be the name of a cla"),
        ("wnids.txt", b"n01\n", r"wnids\.txt: names 1 classes; must name at least 2"),
        ("wnids.txt", b"n01\nn44\n", r"train/n44/images: cannot be read: No such file"),
        ("wnids.txt", b"n01\xff\n", r"wnids\.txt: is no text in UTF-8"),
        (ANNOTATIONS, b"", r"val_annotations\.txt: is empty"),
    ],
)
def test_other_disorder_is_named(
    config: DataConfig, root: Path, tmp_path: Path, file: str, content: bytes, told: str
) -> None:
    (root / file).write_bytes(content)
    with pytest.raises(DataError, match=told):
        prepare(config, [tmp_path])


def test_an_image_without_a_line_is_not_left_out_silently(
    config: DataConfig, root: Path, tmp_path: Path
) -> None:
    lines = (root / ANNOTATIONS).read_text().splitlines()
    (root / ANNOTATIONS).write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=rf"no line for 1 of {len(lines)} images, such as val_"):
        measure(config, [tmp_path])


def test_a_missing_folder_says_where_to_put_it(config: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folder with wnids\.txt in it; looked at") as one:
        prepare(config, [tmp_path])
    assert f"{tmp_path}/tiny-imagenet-200" in str(one.value)
    with pytest.raises(DataError, match="looked at no folder: none is named"):
        prepare(config)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("real")
    with tarfile.open(ARCHIVES[0]) as archive:
        archive.extractall(place, filter="data")
    return place


@pytest.mark.skipif(
    not ARCHIVES, reason="set FATHOM_DATA to a folder that holds tiny-imagenet-10.tar.xz"
)
def test_ten_real_classes(make_config: Config, real: Path) -> None:
    config = make_config(name="tiny_imagenet", protocol="test_as_validation")
    data = prepare(config, [real])
    assert data.num_classes == 10
    assert data.class_names[:3] == ("goldfish", "European fire salamander", "bullfrog")
    assert data.sample_shape == (3, 64, 64)
    assert np.bincount(data.train.targets).tolist() == [200] * 10
    assert np.bincount(data.test.targets).tolist() == [50] * 10
    (root,) = real.iterdir()
    wnids = (root / "wnids.txt").read_text().split()
    lines = [line.split() for line in (root / ANNOTATIONS).read_text().splitlines()]
    assert [wnids[label] for label in data.test.targets] == [line[1] for line in lines]
    for index in range(0, 500, 25):
        expected = read(root / "val" / "images" / lines[index][0]).ravel()
        np.testing.assert_array_equal(data.test.inputs[index].numpy(), expected)
