"""The data sets by name; the real ones where this machine has them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom.data.config import DataConfig, Source
from fathom.data.datasets import DATASETS, find, measure
from fathom.data.npz import arrays_to_npz
from fathom.data.splits import prepare
from fathom.errors import ComponentError, DataError
from fathom.registry import Choice

Config = Callable[..., DataConfig]
FOLDERS = [Path(name) for name in os.environ.get("FATHOM_DATA", "").split(os.pathsep) if name]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_is_described(name: str) -> None:
    dataset = DATASETS.build(Choice(name))
    assert dataset.name == name
    assert DATASETS.describe(name).endswith(".")


@pytest.mark.parametrize("name", ["digits", "half_moons"])
def test_bundled_data_sets_are_as_large_as_they_say(name: str) -> None:
    dataset = DATASETS.build(Choice(name))
    assert dataset.load(Source(), []).extent == dataset.extent


def test_digits_are_pixels_from_0_to_16() -> None:
    raw = DATASETS.build(Choice("digits")).load(Source(), [])
    assert (raw.train.inputs.min(), raw.train.inputs.max()) == (0, 16)


def test_half_moons_lie_on_half_circles() -> None:
    raw = DATASETS.build(Choice("half_moons")).load(Source(), [])
    upper = raw.train.inputs[raw.train.labels == 0]
    lower = raw.train.inputs[raw.train.labels == 1]
    radii = np.hypot(*(upper).T), np.hypot(*(lower - (1, 0.5)).T)
    for radius in radii:  # noise of std 0.1 in the plane: mean 1 + 0.1**2 / 2 and std 0.1 to 0.0005
        assert len(radius) == 1000
        assert abs(radius.mean() - 1.005) < 4 * 0.1 / np.sqrt(1000)
        assert abs(radius.std() - 0.1) < 4 * 0.1 / np.sqrt(2 * 1000)


@pytest.mark.parametrize("name", DATASETS.names())
def test_no_parameter_is_listed_that_a_study_cannot_set(name: str) -> None:
    assert DATASETS.parameters(name) == {}


def test_an_unknown_name_gets_the_nearest(make_config: Config) -> None:
    with pytest.raises(ComponentError, match=r"'fashion_mnits'\. Did you mean 'fashion_mnist'"):
        find(make_config(name="fashion_mnits"))


def test_only_arrays_take_a_path(make_config: Config) -> None:
    with pytest.raises(DataError, match=r"data\.path: got 'a\.npz', but data set 'digits' takes"):
        find(make_config(name="digits", path="a.npz"))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_known_sizes_are_told_without_files(name: str, make_config: Config) -> None:
    sizes = measure(make_config(name=name, validation_share=1 / 6))
    assert sizes == (784, 10, 50_000, 10_000, 10_000, 1, (28, 28), False)


def test_a_relative_path_is_looked_for_in_order(
    make_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, value in (("given", 1.0), ("named", 2.0), ("here", 3.0)):
        (tmp_path / place).mkdir()
        content = arrays_to_npz(np.full((10, 1), value), np.arange(10) % 2)
        (tmp_path / place / "own.npz").write_bytes(content)
    monkeypatch.setenv("FATHOM_DATA", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path / "here")
    config = make_config(name="arrays", path="own.npz", scaling="none")
    for place in ("given", "named", "here"):
        expected = {"given": 1.0, "named": 2.0, "here": 3.0}[place]
        assert prepare(config, [tmp_path / "given"]).train.inputs[0, 0].item() == expected
        (tmp_path / place / "own.npz").unlink()
    with pytest.raises(DataError, match=r"own\.npz: no such file; looked at .*given.*named.*here"):
        prepare(config, [tmp_path / "given"])


def test_idx_images_are_read_into_parts(tiny: Any, make_config: Config, tmp_path: Path) -> None:
    data = prepare(make_config(protocol="train_test"), [tiny.write(tmp_path)])
    assert data.sample_shape == (3, 4)
    images = np.frombuffer(tiny.contents["test_images"], np.uint8, offset=16).reshape(20, 12)
    np.testing.assert_array_equal(data.test.inputs.numpy(), images)
    assert data.test.targets.tolist() == list(tiny.contents["test_labels"][8:])
    assert len(data.train.targets) == 40


@pytest.mark.skipif(
    not any((folder / "MNIST" / "raw").is_dir() for folder in FOLDERS),
    reason="set FATHOM_DATA to a folder that holds MNIST/raw to check the real MNIST",
)
def test_the_real_mnist(make_config: Config) -> None:
    data = prepare(
        make_config(name="mnist", scaling="standard", protocol="test_as_validation"), FOLDERS
    )
    check_real(data, "mnist")
    # The mean and deviation of the training pixels in [0, 1] that everybody quotes.
    assert data.scale.shift / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.scale.divisor / 255 == pytest.approx(0.3081, abs=5e-5)
    assert np.bincount(data.train.targets).tolist()[:3] == [5923, 6742, 5958]


@pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="install Debian's dataset-fashion-mnist to check the real one"
)
def test_the_real_fashion_mnist(make_config: Config) -> None:
    data = prepare(
        make_config(name="fashion_mnist", scaling="standard", protocol="test_as_validation")
    )
    check_real(data, "fashion_mnist")
    assert data.scale.shift / 255 == pytest.approx(0.2860, abs=5e-5)
    assert data.scale.divisor / 255 == pytest.approx(0.3530, abs=5e-5)
    assert np.bincount(data.train.targets).tolist() == [6000] * 10


def check_real(data: Any, name: str) -> None:
    extent = DATASETS.build(Choice(name)).extent
    assert extent is not None
    assert (len(data.train.targets), len(data.test.targets)) == (60_000, 10_000)
    assert data.train.inputs.shape[1] == extent.num_features == 784
    assert data.num_classes == extent.num_classes
    assert data.sample_shape == extent.sample_shape
    assert data.train.inputs.element_size() == extent.item_size
    assert len(set(data.train.targets[:256].tolist())) == 10
