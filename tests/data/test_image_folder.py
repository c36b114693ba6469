"""Folders of images: parts, classes and labels as they lie on disk, and a sentence for disorder."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import draw, draw_folder, png_of_size, read

from fathom.data import image_files, splits
from fathom.data.config import DataConfig
from fathom.data.datasets import is_at_hand, measure
from fathom.data.decoded import decoded_folder
from fathom.data.splits import Part, PreparedData, prepare
from fathom.errors import DataError

Config = Callable[..., DataConfig]
CLASSES = {"dog": 4, "cat": 3, "Ape": 5}
NAMES = ("Ape", "cat", "dog")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    some = dict.fromkeys(CLASSES, 2)
    return draw_folder(tmp_path / "pictures", {"train": CLASSES, "val": some, "test": some})


@pytest.fixture
def config(make_config: Config, root: Path) -> DataConfig:
    return make_config(name="image_folder", path=str(root))


def change(config: DataConfig, **changes: object) -> DataConfig:
    return replace(config, **changes)  # type: ignore[arg-type]


def images(part: Part | None) -> dict[bytes, int]:
    """Return the labels of a part's images by their pixels."""
    assert part is not None
    return {
        row.numpy().tobytes(): int(label)
        for row, label in zip(part.inputs, part.targets, strict=True)
    }


def on_disk(root: Path, part: str) -> dict[bytes, int]:
    return {
        read(path).tobytes(): label
        for label, name in enumerate(NAMES)
        for path in (root / part / name).iterdir()
    }


def check_against_disk(data: PreparedData, root: Path) -> None:
    assert images(data.train) == on_disk(root, "train")
    assert images(data.validation) == on_disk(root, "val")
    assert images(data.test) == on_disk(root, "test")


def test_parts_classes_and_labels_are_those_of_the_folders(config: DataConfig, root: Path) -> None:
    data = prepare(config)
    assert data.class_names == NAMES
    assert data.num_classes == 3
    assert data.sample_shape == (3, 8, 8)
    assert not data.multi_label
    assert data.train.inputs.dtype.is_floating_point is False
    check_against_disk(data, root)


def test_images_of_a_part_keep_the_order_of_their_names(config: DataConfig, root: Path) -> None:
    data = prepare(config)
    names = [path for name in NAMES for path in sorted((root / "test" / name).iterdir())]
    expected = np.stack([read(path).ravel() for path in names])
    np.testing.assert_array_equal(data.test.inputs.numpy(), expected)
    assert data.test.targets.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_validation_part_alone_is_the_test_part(make_config: Config, tmp_path: Path) -> None:
    root = draw_folder(tmp_path / "two", {"train": CLASSES, "val": dict.fromkeys(CLASSES, 2)})
    data = prepare(make_config(name="image_folder", path="two"), [tmp_path])
    assert images(data.test) == on_disk(root, "val")
    assert data.validation is not None
    assert len(data.validation.targets) == 3  # a quarter of 12, cut from the training part
    assert len(data.train.targets) == 9


def test_a_training_part_alone_is_cut(make_config: Config, tmp_path: Path) -> None:
    root = draw_folder(tmp_path / "one", {"train": CLASSES})
    data = prepare(make_config(name="image_folder", path="one", test_share=0.25), [tmp_path])
    parts = [images(part) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [7, 2, 3]
    assert parts[0] | parts[1] | parts[2] == on_disk(root, "train")


@pytest.mark.parametrize(
    ("protocol", "counts"),
    [("holdout", (12, 6, 6)), ("test_as_validation", (12, 6, 6)), ("train_test", (12, None, 6))],
)
def test_protocols_and_the_official_validation_part(
    config: DataConfig, root: Path, protocol: str, counts: tuple[int | None, ...]
) -> None:
    data = prepare(change(config, protocol=protocol))
    parts = (data.train, data.validation, data.test)
    assert tuple(None if part is None else len(part.targets) for part in parts) == counts
    if protocol == "test_as_validation":
        assert data.validation is data.test


def test_a_limit_takes_some_of_each_official_part_in_order(config: DataConfig, root: Path) -> None:
    data = prepare(change(config, limit=4))
    for part, folder in ((data.validation, "val"), (data.test, "test")):
        assert part is not None
        assert len(part.targets) == 4
        assert images(part).items() <= on_disk(root, folder).items()
        assert part.targets.tolist() == sorted(part.targets.tolist())


@pytest.mark.parametrize("protocol", ["holdout", "test_as_validation", "train_test"])
@pytest.mark.parametrize("limit", [None, 5])
def test_measuring_opens_one_image(
    config: DataConfig, root: Path, limit: int | None, protocol: str
) -> None:
    data = prepare(change(config, limit=limit, protocol=protocol))
    for path in [*root.rglob("*.png")]:
        if path != root / "train" / "Ape" / "000.png":
            path.write_bytes(b"never opened")
    sizes = measure(change(config, limit=limit, protocol=protocol))
    own = 0 if protocol != "holdout" or data.validation is None else len(data.validation.targets)
    assert sizes == (192, 3, len(data.train.targets), own, len(data.test.targets), 1, (3, 8, 8), 0)


def test_decoding_happens_once_and_again_after_a_change(config: DataConfig, root: Path) -> None:
    first = prepare(config)
    (measured, *others) = sorted(
        root.rglob("*.png"), key=lambda path: "train/Ape/000" not in str(path)
    )
    for path in others:
        state = path.stat()
        path.write_bytes(bytes(state.st_size))  # unreadable, but nobody looks
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert prepare(config).digest == first.digest
    os.utime(measured, ns=(1, 1))
    with pytest.raises(DataError, match="is no image, or damaged"):
        prepare(config)


def test_another_size_is_another_entry_of_the_cache(config: DataConfig) -> None:
    prepare(config)
    assert len([*decoded_folder().iterdir()]) == 3
    data = prepare(change(config, image_size=4))
    assert data.sample_shape == (3, 4, 4)
    assert len([*decoded_folder().iterdir()]) == 6


def test_two_folders_that_look_alike_are_kept_apart(make_config: Config, tmp_path: Path) -> None:
    for place, colour in (("a", 10), ("b", 200)):
        for name in ("x", "y"):
            for number in range(5):
                path = draw(tmp_path / place / "train" / name / f"{number}.bmp")
                path.write_bytes(path.read_bytes()[:54] + bytes([colour]) * 192)
                os.utime(path, ns=(1, 1))
    pixels = [
        prepare(make_config(name="image_folder", path=place), [tmp_path]).train.inputs.unique()
        for place in "ab"
    ]
    assert [int(values) for values in pixels] == [10, 200]


def test_images_of_several_sizes_are_resized_or_refused(config: DataConfig, root: Path) -> None:
    other = draw(root / "test" / "cat" / "009.png", size=(20, 12))
    first = root / "train" / "Ape" / "000.png"
    with pytest.raises(DataError) as caught:
        prepare(config)
    assert str(caught.value) == (
        f"{first} is 8 x 8 pixels and {other} 20 x 12; images must have one size: set "
        "data.image_size, such as data.image_size: 8"
    )
    assert prepare(change(config, image_size=16)).test.inputs.shape == (7, 3 * 16 * 16)


def test_every_ending_counts_and_nothing_else(make_config: Config, tmp_path: Path) -> None:
    endings = ["jpg", "JPEG", "png", "Bmp", "gif", "webp"]
    for name in ("x", "y"):
        for number, ending in enumerate(endings):
            draw(tmp_path / "own" / "train" / name / f"{number}.{ending}", number)
        for stray in (".hidden.png", "notes.txt", "Thumbs.db", ".DS_Store"):
            (tmp_path / "own" / "train" / name / stray).write_bytes(b"no image")
    (tmp_path / "own" / "train" / ".git").mkdir()
    (tmp_path / "own" / "readme.txt").write_text("no class")
    sizes = measure(make_config(name="image_folder", path="own", test_share=0.5), [tmp_path])
    assert sizes.num_train + sizes.num_validation + sizes.num_test == 2 * len(endings)
    assert sizes.num_classes == 2


def spoil_image(root: Path) -> str:
    path = draw(root / "train" / "cat" / "900.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:1500])
    return r"train/cat/900\.jpg: is damaged: .*truncated"


def spoil_with_bomb(root: Path) -> str:
    (root / "test" / "dog" / "bomb.png").write_bytes(png_of_size(50_000, 50_000))
    return r"test/dog/bomb\.png: is too large to be decoded"


def spoil_class(root: Path) -> str:
    for path in (root / "val" / "cat").iterdir():
        path.unlink()
    return r"val/cat: holds no image; a class needs at least one: \.bmp, "


def spoil_by_depth(root: Path) -> str:
    (root / "train" / "cat" / "000.png").rename(root / "kept.png")
    for path in (root / "train" / "cat").iterdir():
        path.unlink()
    draw(root / "train" / "cat" / "images" / "0.png")
    return r"train/cat: holds no image \(only folders, such as 'images'\)"


def spoil_test(root: Path) -> str:
    (root / "test" / "cat").rename(root / "cat")
    return r"pictures/test: has no class 'cat', which .*pictures/train has"


def spoil_train(root: Path) -> str:
    draw(root / "test" / "cow" / "0.png")
    return r"pictures/train: has no class 'cow', which .*pictures/test has"


def spoil_root(root: Path) -> str:
    (root / "train").rename(root / "training")
    return r"pictures: holds no folder 'train' \(holds test, training, val\); must hold train/<"


def spoil_classes(root: Path) -> str:
    for name in ("cat", "dog"):
        for path in (root / "train" / name).iterdir():
            path.unlink()
        (root / "train" / name).rmdir()
    return r"train: holds 1 folders of classes; must hold at least 2"


def spoil_link(root: Path) -> str:
    (root / "train" / "dog" / "zz.png").symlink_to("nowhere.png")
    (root / "train" / "dog" / "zy.png").mkdir()  # neither is a file
    (root / "train" / "dog" / "zx.png").write_bytes(b"")
    return r"train/dog/zx\.png: is no image, or damaged"


SPOILERS = [
    spoil_image,
    spoil_with_bomb,
    spoil_class,
    spoil_by_depth,
    spoil_test,
    spoil_train,
    spoil_root,
    spoil_classes,
    spoil_link,
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_disorder_gets_one_sentence(
    config: DataConfig, root: Path, spoil: Callable[[Path], str]
) -> None:
    told = spoil(root)
    with pytest.raises(DataError, match=told) as caught:
        prepare(config)
    assert "\n" not in str(caught.value)


def test_a_folder_is_needed(make_config: Config, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got None; data set 'image_folder' needs the folder"):
        prepare(make_config(name="image_folder"))
    with pytest.raises(DataError, match=r"nowhere: no such file; looked at"):
        measure(make_config(name="image_folder", path="nowhere"), [tmp_path])


def test_a_setting_of_others_is_refused(make_config: Config) -> None:
    with pytest.raises(DataError, match=r"data\.image_size: got 64, but data set 'mnist' takes no"):
        measure(make_config(name="mnist", image_size=64))
    with pytest.raises(DataError, match=r"data\.classes: got .* leave it out, or use .*: voc"):
        measure(make_config(name="image_folder", path="x", classes=("a",)))


def test_what_is_no_image_is_not_augmented(make_config: Config, config: DataConfig) -> None:
    for read_it in (measure, prepare):
        with pytest.raises(DataError, match=r"data\.augment: got 'flip', but a sample of 'half_mo"):
            read_it(make_config(name="half_moons", augment="flip"))
    assert prepare(change(config, augment="flip")).digest != prepare(config).digest
    assert measure(make_config(name="digits", augment="flip_crop")).sample_shape == (8, 8)


def test_many_images_are_at_hand_only_once_decoded(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_at_hand(config)
    monkeypatch.setattr(image_files, "MANY", 10)
    assert not is_at_hand(config)
    assert not is_at_hand(change(config, path="nowhere"))
    with caplog.at_level(logging.INFO):
        prepare(config)
    assert "decoded 12 of 12 images" in caplog.text
    assert "of 6 images" not in caplog.text  # few are not worth a line
    assert is_at_hand(config)


def test_parts_that_do_not_fit_stay_on_disk(
    config: DataConfig, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = prepare(config)
    monkeypatch.setattr(splits, "IN_MEMORY", 7 * 192)
    monkeypatch.setattr(splits, "_ROWS_AT_A_TIME", 5)
    mapped = prepare(config)
    assert mapped.digest == copied.digest
    assert mapped.train.inputs.is_contiguous()
    check_against_disk(mapped, root)
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    assert prepare(config).digest == copied.digest
    assert [path.suffix for path in decoded_folder().iterdir()] == [".npy"] * 3


def test_mapped_samples_may_be_changed_without_harm(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "IN_MEMORY", 0)
    data = prepare(config)
    for part in (data.train, data.test):
        part.inputs.zero_()
    assert prepare(config).digest == data.digest
    assert int(prepare(config).test.inputs.max()) > 0
