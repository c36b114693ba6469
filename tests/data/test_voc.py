"""VOC's segmentations as labels: which classes an image shows, in the order asked for."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import draw, draw_mask, draw_voc, read
from PIL import Image

from command import Fathom
from fathom.data.config import DataConfig
from fathom.data.datasets import measure
from fathom.data.images import decode
from fathom.data.splits import prepare
from fathom.data.voc import TINY_VOC, VOC_CLASSES
from fathom.errors import DataError

Config = Callable[..., DataConfig]

# Palette indices of VOC 2012: aeroplane 1, bird 3, car 7, cat 8, dog 12, person 15, tvmonitor 20.
LISTS = {
    "train": {"2007_01": [15, 7], "2007_02": [12], "2007_03": [1], "2007_04": [8, 3, 15, 20]},
    "val": {"2008_01": [7], "2008_02": [], "2008_03": [3, 12, 12]},
}
TRAIN_LABELS = {  # of car, aeroplane, cat, person, bird; 2007_02 shows none of them
    "2007_01": [1, 0, 0, 1, 0],
    "2007_03": [0, 1, 0, 0, 0],
    "2007_04": [0, 0, 1, 1, 1],
}
TEST_LABELS = {"2008_01": [1, 0, 0, 0, 0], "2008_03": [0, 0, 0, 0, 1]}


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    return draw_voc(tmp_path / "data", LISTS)


@pytest.fixture
def root(kit: Path) -> Path:
    return kit / "VOC2012"


@pytest.fixture
def config(make_config: Config, kit: Path) -> DataConfig:
    return make_config(name="voc", path=str(kit.parent), protocol="train_test", image_size=8)


def labels_by_pixels(root: Path, labels: dict[str, list[int]], size: int) -> dict[bytes, list[int]]:
    return {
        decode(root / "JPEGImages" / f"{name}.jpg", size).tobytes(): row
        for name, row in labels.items()
    }


def test_the_palette_is_that_of_the_development_kit() -> None:
    known = {"aeroplane": 1, "bird": 3, "car": 7, "cat": 8, "person": 15, "tvmonitor": 20}
    assert len(VOC_CLASSES) == 20
    assert {name: VOC_CLASSES.index(name) + 1 for name in known} == known
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)
    assert TINY_VOC == ("car", "aeroplane", "cat", "person", "bird")


def test_labels_are_the_classes_that_images_show(config: DataConfig, root: Path) -> None:
    data = prepare(config)
    assert data.multi_label
    assert data.class_names == TINY_VOC
    assert data.num_classes == 5
    assert data.sample_shape == (3, 8, 8)
    for part, labels in ((data.train, TRAIN_LABELS), (data.test, TEST_LABELS)):
        assert part.targets.dtype == torch.float32
        rows = zip(part.inputs, part.targets, strict=True)
        found = {row.numpy().tobytes(): target.tolist() for row, target in rows}
        assert found == labels_by_pixels(root, labels, 8)
    assert data.test.targets.tolist() == [*TEST_LABELS.values()]


def test_images_are_224_pixels_by_default(config: DataConfig, make_config: Config) -> None:
    usual = make_config(name="voc", path=config.path, protocol="train_test")
    sizes, data = measure(usual), prepare(usual)
    assert data.sample_shape == sizes.sample_shape == (3, 224, 224)
    assert sizes.multi_label
    assert sizes[:6] == (3 * 224 * 224, 5, 3, 0, 2, 1)


def test_classes_are_chosen_by_name_and_in_their_order(
    config: DataConfig, make_config: Config
) -> None:
    chosen = make_config(
        name="voc", path=config.path, protocol="train_test", image_size=8, classes=("dog", "bird")
    )
    data = prepare(chosen)
    assert data.class_names == ("dog", "bird")
    assert sorted(data.train.targets.tolist()) == [[0, 1], [1, 0]]
    assert data.test.targets.tolist() == [[1, 1]]
    assert measure(chosen)[1:5] == (2, 2, 0, 1)


def test_measuring_decodes_no_photograph(config: DataConfig, root: Path) -> None:
    for path in (root / "JPEGImages").iterdir():
        path.write_bytes(b"never opened")
    assert measure(config)[2:5] == (3, 0, 2)


def test_masks_are_read_once(config: DataConfig, root: Path) -> None:
    sizes = measure(config)
    for path in (root / "SegmentationClass").iterdir():
        time = path.stat().st_mtime_ns
        path.write_bytes(bytes(path.stat().st_size))
        os.utime(path, ns=(time, time))
    assert measure(config) == sizes


def test_holdout_cuts_the_training_list(config: DataConfig, make_config: Config) -> None:
    data = prepare(make_config(name="voc", path=config.path, image_size=8, validation_share=0.34))
    assert data.validation is not None
    assert [len(p.targets) for p in (data.train, data.validation, data.test)] == [2, 1, 2]
    assert data.validation.targets.shape[1] == 5


LIST = "ImageSets/Segmentation/train.txt"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no image": (
        lambda root: (root / "JPEGImages" / "2007_03.jpg").unlink(),
        r"train\.txt:3: there is no .*JPEGImages/2007_03\.jpg",
    ),
    "no mask": (
        lambda root: (root / "SegmentationClass" / "2007_03.png").unlink(),
        r"train\.txt:3: there is no .*SegmentationClass/2007_03\.png",
    ),
    "a detection list": (
        lambda root: (root / LIST).write_text("2007_01\n2007_02 -1\n"),
        r"train\.txt:2: got '2007_02 -1'; must be the name of one image",
    ),
    "a path": (
        lambda root: (root / LIST).write_text("../../x\n"),
        r"train\.txt:1: got '\.\./\.\./x'; must be the name of one image",
    ),
    "twice": (
        lambda root: (root / LIST).write_text("2007_01\n2007_01\n"),
        r"train\.txt:2: image 2007_01 was there before, in .*train\.txt:1",
    ),
    "no list": (lambda root: (root / LIST).unlink(), r"train\.txt: cannot be read: No such file"),
    "blank list": (lambda root: (root / LIST).write_text("\n"), r"train\.txt: names no image"),
    "none of the classes": (
        lambda root: (root / LIST).write_text("2007_02\n"),
        r"train\.txt: no image shows car, aeroplane, cat, person, bird",
    ),
    "a mask in colours": (
        lambda root: draw(root / "SegmentationClass" / "2007_01.png"),
        r"2007_01\.png: holds colours \(mode RGB\); a segmentation must hold one palette index",
    ),
    "a strange index": (
        lambda root: draw_mask(root / "SegmentationClass" / "2007_01.png", [15, 21]),
        r"2007_01\.png: holds the palette index 21; must hold 0 to 20, or 255 for borders",
    ),
    "a broken mask": (
        lambda root: (root / "SegmentationClass" / "2007_01.png").write_bytes(b"x"),
        r"2007_01\.png: is no image, or damaged",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_disorder_gets_its_sentence(config: DataConfig, root: Path, case: str) -> None:
    spoil, told = BROKEN[case]
    spoil(root)
    with pytest.raises(DataError, match=told):
        prepare(config)


def test_unknown_classes_are_named(make_config: Config, kit: Path) -> None:
    with pytest.raises(DataError, match=r"VOC has no class 'aeroplan'\. Did you mean 'aeroplane'"):
        prepare(make_config(name="voc", path=str(kit), classes=("aeroplan",)))


def test_the_command_writes_the_table_of_the_study(fathom: Fathom, kit: Path) -> None:
    done = fathom("data", "voc-labels", str(kit), "--out", "labels.csv", "--images", "png")
    assert done.code == 0, done.err
    assert Path("labels.csv").read_text() == ("00000,0,3\n00001,1\n00002,2,3,4\n00003,0\n00004,4\n")
    assert sorted(path.name for path in Path("png").iterdir()) == [
        f"{number:05}.png" for number in range(5)
    ]
    names = [*TRAIN_LABELS, *TEST_LABELS]
    for number, name in enumerate(names):
        expected = decode(kit / "VOC2012" / "JPEGImages" / f"{name}.jpg", 224)
        with Image.open(f"png/{number:05}.png") as image:
            assert image.format == "PNG"
        np.testing.assert_array_equal(read(Path(f"png/{number:05}.png")), expected)


def test_the_command_takes_classes_and_size(fathom: Fathom, kit: Path) -> None:
    done = fathom(
        *("data", "voc-labels", str(kit / "VOC2012"), "--classes", "dog, bird", "--out", "l.csv"),
        *("--images", "png", "--size", "16"),
    )
    assert done.code == 0, done.err
    assert Path("l.csv").read_text() == "00000,0\n00001,1\n00002,0,1\n"
    assert read(Path("png/00002.png")).shape == (3, 16, 16)
    assert "l.csv: 3 images" in done.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--classes", "car,plane"], "VOC has no class 'plane'. Known: aeroplane, "),
        (["--classes", "car,car"], "'car' is given twice; give it once"),
        (["--classes", ","], "none is given; known: aeroplane"),
        (["--size", "0"], "--size: got 0; must be an integer >= 1 and <= 4,096"),
        (["--out", "s.yaml/labels.csv"], "s.yaml/labels.csv: cannot be written: "),
        (["--images", "s.yaml"], "cannot be written: "),
    ],
)
def test_bad_input_ends_with_status_2(
    fathom: Fathom, kit: Path, options: list[str], told: str
) -> None:
    done = fathom("data", "voc-labels", str(kit), "--out", "labels.csv", *options)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "Traceback" not in done.err


def test_another_folder_ends_with_status_2(fathom: Fathom) -> None:
    done = fathom("data", "voc-labels", "nowhere", "--out", "labels.csv")
    assert done.code == 2
    assert "found no folder with SegmentationClass in it; looked at" in done.err
    assert not Path("labels.csv").exists()
