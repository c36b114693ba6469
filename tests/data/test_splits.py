"""Cuts: every sample in exactly one part, the same cut for the same seed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fathom.data.config import DataConfig
from fathom.data.datasets import measure
from fathom.data.npz import arrays_to_npz
from fathom.data.splits import Part, PreparedData, prepare
from fathom.errors import DataError

Config = Callable[..., DataConfig]
NUM = 100


@pytest.fixture
def numbered(tmp_path: Path, make_config: Config) -> Callable[..., PreparedData]:
    """Prepare samples that carry their own number, sorted by class."""
    x, y = np.arange(NUM, dtype=np.float64)[:, None], np.arange(NUM) // 20
    (tmp_path / "one.npz").write_bytes(arrays_to_npz(x, y))
    (tmp_path / "two.npz").write_bytes(arrays_to_npz(x, y, x[:30] + 1000, y[:30]))

    def make(path: str = "one.npz", **changes: object) -> PreparedData:
        return prepare(make_config(name="arrays", path=path, **changes), [tmp_path])

    return make


def numbers(part: Part | None) -> list[int]:
    assert part is not None
    return [int(n) for n in part.inputs[:, 0]]


def test_without_an_official_test_part_three_parts_share_all_samples(
    numbered: Callable[..., PreparedData],
) -> None:
    data = numbered()
    parts = [numbers(data.train), numbers(data.validation), numbers(data.test)]
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(n for part in parts for n in part) == list(range(NUM))


def test_labels_stay_with_their_samples(numbered: Callable[..., PreparedData]) -> None:
    data = numbered()
    for part in (data.train, data.validation, data.test):
        assert part is not None
        assert part.targets.tolist() == [n // 20 for n in numbers(part)]
        assert part.targets.dtype == torch.int64
        assert part.inputs.is_contiguous()


def test_an_official_test_part_is_kept_whole_and_in_order(
    numbered: Callable[..., PreparedData],
) -> None:
    data = numbered("two.npz")
    assert numbers(data.test) == list(range(1000, 1030))
    assert sorted(numbers(data.train) + numbers(data.validation)) == list(range(NUM))
    assert len(numbers(data.validation)) == 25


@pytest.mark.parametrize("path", ["one.npz", "two.npz"])
def test_protocols(numbered: Callable[..., PreparedData], path: str) -> None:
    selecting = numbered(path, protocol="test_as_validation")
    assert selecting.validation is selecting.test
    plain = numbered(path, protocol="train_test")
    assert plain.validation is None
    assert numbers(plain.train) == numbers(selecting.train)
    assert len(numbers(plain.train)) == (80 if path == "one.npz" else 100)


def test_the_seed_alone_decides_the_cut(numbered: Callable[..., PreparedData]) -> None:
    first, again, other = numbered(), numbered(), numbered(seed=2)
    assert numbers(first.train) == numbers(again.train)
    assert numbers(first.test) == numbers(again.test)
    assert set(numbers(first.test)) != set(numbers(other.test))


def test_the_first_training_samples_are_a_mixture_of_classes(
    numbered: Callable[..., PreparedData],
) -> None:
    assert set(numbered(protocol="train_test").train.targets[:20].tolist()) == set(range(5))


def test_a_limit_keeps_the_first_samples_of_each_part(
    numbered: Callable[..., PreparedData],
) -> None:
    whole, limited = numbered(), numbered(limit=15)
    assert numbers(limited.train) == numbers(whole.train)[:15]
    assert numbers(limited.validation) == numbers(whole.validation)[:15]
    assert numbers(limited.test) == numbers(whole.test)[:15]


def test_a_limited_official_test_part_is_a_sample_in_its_order(
    numbered: Callable[..., PreparedData],
) -> None:
    chosen = numbers(numbered("two.npz", limit=15).test)
    assert len(chosen) == 15
    assert chosen == sorted(chosen)
    assert chosen != list(range(1000, 1015))


def test_constants_are_fitted_on_the_training_part_alone(
    numbered: Callable[..., PreparedData],
) -> None:
    data = numbered(scaling="standard")
    train = np.array(numbers(data.train), dtype=np.float64)
    assert data.scale.shift == pytest.approx(train.mean(), rel=1e-14)
    assert data.scale.divisor == pytest.approx(train.std(), rel=1e-14)


def test_the_digest_tells_contents_and_settings_apart(
    numbered: Callable[..., PreparedData], tmp_path: Path
) -> None:
    first = numbered().digest
    assert numbered().digest == first
    (tmp_path / "copy.npz").write_bytes((tmp_path / "one.npz").read_bytes())
    assert numbered("copy.npz").digest == first
    changed = np.arange(NUM, dtype=np.float64)[:, None]
    changed[17] += 1e-9
    (tmp_path / "changed.npz").write_bytes(arrays_to_npz(changed, np.arange(NUM) // 20))
    others = [
        numbered("changed.npz").digest,
        numbered(seed=2).digest,
        numbered(scaling="none").digest,
        numbered(limit=50).digest,
    ]
    assert len({first, *others}) == 5


@pytest.mark.parametrize("limit", [None, 7, 1000])
@pytest.mark.parametrize("protocol", ["holdout", "test_as_validation", "train_test"])
@pytest.mark.parametrize("name", ["digits", "half_moons", "one.npz", "two.npz"])
def test_measured_sizes_are_those_of_the_prepared_data(
    name: str,
    protocol: str,
    limit: int | None,
    make_config: Config,
    numbered: Callable[..., PreparedData],
    tmp_path: Path,
) -> None:
    chosen = {"name": "arrays", "path": name} if name.endswith("npz") else {"name": name}
    config = make_config(**chosen, protocol=protocol, limit=limit)
    sizes, data = measure(config, [tmp_path]), prepare(config, [tmp_path])
    own = data.validation if protocol == "holdout" else None
    assert sizes.num_features == data.num_features == data.train.inputs.shape[1]
    assert sizes.num_classes == data.num_classes == {"digits": 10, "half_moons": 2}.get(name, 5)
    assert sizes.num_train == len(data.train.targets)
    assert sizes.num_validation == (0 if own is None else len(own.targets))
    assert sizes.num_test == len(data.test.targets)
    assert sizes.item_size == data.train.inputs.element_size()


@pytest.mark.parametrize(
    "changes", [{"validation_share": 0.001}, {"test_share": 0.001}, {"test_share": 0.999}]
)
def test_a_part_without_samples_is_refused(
    changes: dict[str, float], numbered: Callable[..., PreparedData]
) -> None:
    with pytest.raises(DataError, match=r"100 samples of 'arrays' leave .* each needs one"):
        numbered(**changes)
