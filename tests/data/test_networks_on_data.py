"""Every network takes a few steps on every data set, the whole way from a study to its metrics."""

import os
import tarfile
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from batches import small_version
from pictures import draw_voc

from fathom import FathomError, Results, Study
from fathom.data.arrays import Extent
from fathom.data.cifar import BINARY, PYTHON, cifar_images
from fathom.data.datasets import DATASETS

FOLDERS = [Path(name) for name in os.environ.get("FATHOM_DATA", "").split(os.pathsep) if name]
DEBIAN: Final = Path("/usr/share/datasets/fashion-mnist")
BATCH: Final = 8
FEW: Final = 2  # images of each class that are unpacked
PARTS: Final = ("train", "test")
IMAGE_NETWORKS: Final[list[Any]] = [
    "lenet",
    {"name": "vgg11", "classifier": [[64, 64]]},  # its own would be most of what is written
    "resnet18",
    "vit",
]
MLPS: Final = [[512] * 16, [512, 256, 256, 128]]  # of spline-vgp and activation-tour
OF_ACTIVATIONS: Final = {"act_mean", "act_std", "act_rms", "dead_share", "soft_dead_share"}
OF_STEPS: Final = "update_ratio"
NOT_OF_RELU: Final = "saturated_share"


def given(name: str) -> Path | None:
    """Find what the folders of FATHOM_DATA may hold."""
    return next((folder / name for folder in FOLDERS if (folder / name).exists()), None)


def unpack(archive: Path, place: Path, wanted: Callable[[PurePath], bool]) -> Path:
    """Unpack some files of an archive; return the folder that they have in common."""
    with tarfile.open(archive, mode="r|xz") as stream:
        for member in stream:
            path = PurePath(member.name)
            if member.isfile() and wanted(path):
                stream.extract(member, place, filter="data")
                top = path.parts[0]
    return place / top


def first_of_each_class() -> Callable[[PurePath], bool]:
    """Choose of every folder below `train` and `test` the first images, and all other files."""
    seen: Counter[PurePath] = Counter()

    def wanted(path: PurePath) -> bool:
        if path.parts[1] not in PARTS:
            return True
        seen[path.parent] += 1
        return seen[path.parent] <= FEW

    return wanted


def unpacked(factory: pytest.TempPathFactory, name: str) -> Path:
    archive = given(name)
    if archive is None:
        pytest.skip(f"set FATHOM_DATA to a folder that holds {name}")
    return unpack(archive, factory.mktemp("unpacked"), first_of_each_class())


@pytest.fixture(scope="module")
def cifar_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory, "cifar-10-images.tar.xz")


@pytest.fixture(scope="module")
def tiny_imagenet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(tmp_path_factory, "tiny-imagenet-10.tar.xz")


@pytest.fixture
def cifar_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write binary batches of 32 x 32 noise, and register a version of CIFAR-10 that has them."""
    extent = Extent(
        num_train=25,
        num_test=5,
        sample_shape=(3, 32, 32),
        num_classes=10,
        item_size=1,
        class_names=tuple("abcdefghij"),
    )
    draws = np.random.default_rng(2)
    contents = {}
    for name in BINARY.names:
        rows = draws.integers(0, 256, (5, 1 + extent.num_features)).astype(np.uint8)
        rows[:, 0] %= extent.num_classes
        contents[name] = rows.tobytes()
    folder = tmp_path / BINARY.folder
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    dataset = cifar_images("cifar10_small", small_version(BINARY, contents)[0], PYTHON, extent)
    monkeypatch.setitem(DATASETS._factories, "cifar10_small", lambda: dataset)
    return tmp_path


@pytest.fixture
def voc_folder(tmp_path: Path) -> Path:
    """Draw 16 images to train on and 4 to test on; palette indices of car, person, bird, ..."""
    labels = cycle([[7, 15], [3], [1, 8], [15]])
    lists = {
        part: {f"{part}_{number:02}": next(labels) for number in range(count)}
        for part, count in (("train", 16), ("val", 4))
    }
    return draw_voc(tmp_path / "voc", lists) / "VOC2012"


@pytest.fixture
def study_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Results]:
    """Train a study on a data set by name, into a folder of the test."""

    def run(data: str, **settings: Any) -> Results:
        study = Study(
            name=data,
            data={"protocol": "train_test", "limit": 24} | source(data, request),
            train={"epochs": 1, "batch_size": BATCH, "optimizer": "adam", "lr": 1e-3},
            record={"probe_size": BATCH, "scores": True, "weights": "last"},
            **{"activation": "relu", "init": "he_normal"} | settings,
        )
        places = [*FOLDERS, tmp_path]
        return study.run(
            tmp_path / "out", workers=1, data_dir=places, executor="inline", progress=False
        )

    return run


def source(data: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Say where a data set is, or skip with what it would take."""
    match data:
        case "mnist" if given("MNIST/raw") is None:
            pytest.skip("set FATHOM_DATA to a folder that holds MNIST/raw")
        case "fashion_mnist" if not DEBIAN.is_dir():
            pytest.skip("install Debian's dataset-fashion-mnist")
        case "cifar10_small":
            request.getfixturevalue("cifar_batches")
        case "cifar10_images":
            folder = request.getfixturevalue("cifar_folder")
            return {"name": "image_folder", "path": str(folder), "augment": "flip_crop"}
        case "tiny_imagenet":
            folder = request.getfixturevalue("tiny_imagenet_folder")
            return {"name": data, "path": str(folder), "limit": 16}
        case "voc":
            folder = request.getfixturevalue("voc_folder")
            return {"name": data, "path": str(folder), "image_size": 64}
    return {"name": data}


def rows(table: pl.DataFrame, run_id: str) -> pl.DataFrame:
    return table.filter(pl.col("run_id") == run_id)


def check(results: Results, num_runs: int, *, multi_label: bool) -> None:
    """Look at everything that a study is read by."""
    assert results.missing == ()
    assert results.runs["outcome"].to_list() == ["completed"] * num_runs
    for run_id in results.runs["run_id"]:
        check_epochs(rows(results.epochs, run_id))
        has_act = [layer.act is not None for layer in results.network(run_id, "last").measured()]
        check_layers(rows(results.layers, run_id), has_act)
        scores = rows(results.scores, run_id)
        assert np.isfinite(scores["logit"].to_numpy()).all()
        labels = scores.group_by("sample").agg(pl.col("label").sum())["label"]
        assert (labels.max() == 2) if multi_label else (labels == 1).all()
    last = results.epochs.filter(pl.col("epoch") == 1).select("run_id", "test_accuracy")
    both = results.metrics.join(last, on="run_id")
    assert len(both) == num_runs
    np.testing.assert_allclose(both["accuracy"], both["test_accuracy"], atol=1e-6)


def check_epochs(epochs: pl.DataFrame) -> None:
    losses = epochs.select("train_loss", "test_loss").to_numpy()
    assert losses.shape == (2, 2)
    assert np.isfinite(losses).all()
    assert (losses[0] != losses[1]).all()


def check_layers(layers: pl.DataFrame, has_act: list[bool]) -> None:
    """Every number is there but those that a place cannot have, and every layer has moved."""
    numbers = {*layers.select(pl.selectors.float()).columns}
    assert numbers >= OF_ACTIVATIONS | {OF_STEPS, NOT_OF_RELU, "grad_norm", "pre_rms"}
    assert layers["layer"].to_list() == [*range(1, len(has_act) + 1)] * 2
    for row in layers.iter_rows(named=True):
        lacking = set() if has_act[row["layer"] - 1] else OF_ACTIVATIONS
        lacking = lacking | {NOT_OF_RELU} | ({OF_STEPS} if row["epoch"] == 0 else set())
        assert {name for name in numbers if not np.isfinite(row[name])} == lacking
        assert row["grad_norm"] > 0
        assert row["epoch"] == 0 or row[OF_STEPS] > 0


DATA: Final = [
    "mnist",
    "fashion_mnist",
    "cifar10_images",
    "cifar10_small",
    "tiny_imagenet",
    "voc",
]


@pytest.mark.parametrize("data", DATA)
def test_image_networks_train_on(data: str, study_of: Callable[..., Results]) -> None:
    loss = "bce" if data == "voc" else "cross_entropy"
    results = study_of(data, engine="single", model={"name": IMAGE_NETWORKS}, loss=loss)
    check(results, len(IMAGE_NETWORKS), multi_label=data == "voc")


@pytest.mark.parametrize("data", [*DATA, "digits"])
def test_mlps_train_on(data: str, study_of: Callable[..., Results]) -> None:
    engine, loss = ("single", "bce") if data == "voc" else ("stacked", "cross_entropy")
    results = study_of(data, engine=engine, model={"hidden": MLPS}, loss=loss)
    check(results, len(MLPS), multi_label=data == "voc")


def test_image_networks_train_on_digits_where_these_are_large_enough(
    study_of: Callable[..., Results],
) -> None:
    results = study_of("digits", engine="single", model={"name": IMAGE_NETWORKS[1:]})
    check(results, len(IMAGE_NETWORKS) - 1, multi_label=False)
    with pytest.raises(FathomError, match="images of 8 x 8 are too small for lenet"):
        study_of("digits", engine="single", model={"name": "lenet"})
