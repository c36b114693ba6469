"""Settings of data sets of images: given to those that take them, refused where nobody does."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fathom.data.config import DataConfig
from fathom.errors import StudyError
from fathom.spec.load import load_study
from fathom.spec.study import Study


def configs(data: Any, **settings: Any) -> list[DataConfig]:
    return [run.data for run in Study(data=data, activation="relu", **settings).runs()]


def test_each_data_set_gets_what_it_takes() -> None:
    data = {
        "name": ["mnist", "cifar10", "tiny_imagenet", "voc", "image_folder", "arrays"],
        "path": "mine",
        "image_size": 64,
        "classes": ["cat", "dog"],
    }
    found = {each.name: each.source for each in configs(data)}
    assert found == {
        "mnist": (None, None, ()),
        "cifar10": (None, None, ()),
        "arrays": ("mine", None, ()),
        "tiny_imagenet": ("mine", 64, ()),
        "image_folder": ("mine", 64, ()),
        "voc": ("mine", 64, ("cat", "dog")),
    }


def test_augmentation_is_swept() -> None:
    hows = ["none", "flip", "crop", "flip_crop"]
    found = configs({"name": "digits", "augment": hows})
    assert [each.augment for each in found] == hows
    assert configs("digits")[0].augment == "none"


def test_they_are_written_out_and_read_back() -> None:
    data = {
        "name": "voc",
        "path": "VOCdevkit",
        "image_size": 96,
        "classes": ["cat", "dog"],
        "augment": ["flip", "crop"],
    }
    study = Study(data=data, activation="relu")
    text = study.resolved_yaml()
    assert "image_size: 96" in text
    assert "classes: [cat, dog]" in text
    assert "augment: [flip, crop]" in text
    ids = {run.id for run in study.runs()}
    plain = Study(data=data | {"classes": ["dog", "cat"]}, activation="relu")
    assert len(ids | {run.id for run in plain.runs()}) == 4


def test_a_resolved_study_loads_back(tmp_path: Path) -> None:
    study = Study(data={"name": "voc", "classes": ["cat"], "image_size": 32}, activation="relu")
    (tmp_path / "s.yaml").write_text(study.resolved_yaml())
    assert load_study(tmp_path / "s.yaml") == study


def test_what_an_earlier_version_left_out_has_its_meaning() -> None:
    new = asdict(configs("digits")[0])
    old = {k: v for k, v in new.items() if k not in {"image_size", "augment", "classes"}}
    assert DataConfig(**old) == configs("digits")[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            {"name": "mnist", "image_size": 64},
            r"only data sets 'image_folder', 'tiny_imagenet', 'voc' take image_size, not mnist",
        ),
        ({"name": "cifar10", "classes": ["cat"]}, r"only data set 'voc' takes classes, not cifar1"),
        (
            {"name": "voc", "image_size": 0},
            r"data\.image_size: got 0; must be an integer >= 1 or n",
        ),
        ({"name": "voc", "classes": "cat"}, r"got 'cat'; must be a list of names such as \[cat, d"),
        ({"name": "voc", "classes": ["cat", "cat"]}, r"classes\[1\]: 'cat' is listed twice"),
        ({"name": "voc", "classes": ["cat", 3]}, r"classes\[1\]: got 3; must be text"),
        ({"name": "digits", "augment": "flop"}, r"got 'flop'; must be one of .*Did you mean 'flip"),
    ],
)
def test_what_makes_no_sense_is_refused(data: Any, told: str) -> None:
    with pytest.raises(StudyError, match=told):
        Study(data=data, activation="relu")


def test_an_image_folder_needs_a_path() -> None:
    with pytest.raises(
        StudyError, match=r"data set 'image_folder' needs data\.path, the folder of its images"
    ):
        configs("image_folder")
