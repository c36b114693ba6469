"""What theory needs to know of inputs: closed forms on tiny arrays, the loop over all pairs."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fathom.data.inputs import InputStatistics, input_statistics, mean_cosine
from fathom.data.scaling import fit
from fathom.data.splits import Part, PreparedData, prepare
from fathom.spec.grid import Run

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 784)).astype(np.uint8)


@pytest.fixture(scope="module")
def digits(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


@pytest.fixture
def made_of(digits: PreparedData) -> Callable[..., PreparedData]:
    """Put inputs `[N, I]` in the place of the training part."""

    def make(inputs: torch.Tensor, scaling: str = "none") -> PreparedData:
        train = Part(inputs=inputs, targets=torch.zeros(len(inputs), dtype=torch.int64))
        return replace(digits, train=train, scale=fit(scaling, inputs))

    return make


def test_mean_cosine_equals_the_loop_over_pairs() -> None:
    vectors = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for run in range(2):
        pairs = [
            float(torch.dot(a, b) / (a.norm() * b.norm()))
            for i, a in enumerate(vectors[run].T)
            for j, b in enumerate(vectors[run].T)
            if i != j
        ]
        assert mean_cosine(vectors)[run].item() == pytest.approx(np.mean(pairs), abs=1e-14)
    assert mean_cosine(torch.zeros(1, 3, 3)).isnan().all()


@pytest.mark.parametrize("num", [2, 5, 16])
def test_one_hot_inputs_are_orthogonal(num: int, made_of: Callable[..., PreparedData]) -> None:
    expected = InputStatistics(mean_square=1 / num, cosine=0.0)
    assert input_statistics(made_of(torch.eye(num)), num) == expected


def test_angles_and_lengths_are_those_of_school(made_of: Callable[..., PreparedData]) -> None:
    """Lengths 1, 2 and 3 at 0, 60 and 90 degrees: lengths do not count for the cosine."""
    angles = np.radians([0, 60, 90])
    inputs = np.stack([np.cos(angles), np.sin(angles)], 1) * [[1.0], [2.0], [3.0]]
    found = input_statistics(made_of(torch.from_numpy(inputs)), 3)
    assert found.mean_square == pytest.approx((1 + 4 + 9) / 3 / 2, rel=1e-15)
    assert found.cosine == pytest.approx((1 / 2 + math.sqrt(3) / 2 + 0) / 3, rel=1e-14)


@pytest.mark.parametrize("size", [4, 1000])
def test_the_first_samples_count_or_all_there_are(
    size: int, made_of: Callable[..., PreparedData]
) -> None:
    inputs = torch.eye(8)[: min(size, 8)]
    longer = torch.cat([inputs, torch.ones(3, 8)]) if size < 8 else inputs
    assert input_statistics(made_of(longer), size) == (1 / 8, 0.0)


@pytest.mark.parametrize("inputs", [torch.eye(3)[:1], torch.diag(torch.tensor([1.0, 1.0, 0.0]))])
def test_no_angle_is_no_number(inputs: torch.Tensor, made_of: Callable[..., PreparedData]) -> None:
    found = input_statistics(made_of(inputs), 3)
    assert math.isnan(found.cosine)
    assert found.mean_square == pytest.approx(inputs.sum().item() / inputs.numel(), rel=1e-15)


@pytest.mark.parametrize(
    ("scaling", "scale"),
    [
        ("none", lambda x: x),
        ("unit", lambda x: x / 255),
        ("symmetric", lambda x: x / 127.5 - 1),
        ("standard", lambda x: (x - x.mean()) / x.std()),
        ("per_image", lambda x: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)),
    ],
)
def test_images_count_as_they_are_scaled(
    scaling: str,
    scale: Callable[[np.ndarray], np.ndarray],
    made_of: Callable[..., PreparedData],
) -> None:
    """Bytes in, float64 numbers out; the reference goes over all pairs."""
    x = scale(PIXELS.astype(np.float64))[:64]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(64, dtype=bool)]
    found = input_statistics(made_of(torch.from_numpy(PIXELS), scaling), 64)
    assert found.mean_square == pytest.approx((x**2).mean(), rel=1e-13)
    assert found.cosine == pytest.approx(cosines.mean(), rel=1e-11)


def test_standardised_inputs_have_mean_square_1(made_of: Callable[..., PreparedData]) -> None:
    found = input_statistics(made_of(torch.from_numpy(PIXELS), "standard"), len(PIXELS))
    assert found.mean_square == pytest.approx(1, rel=1e-13)


def test_the_number_of_threads_changes_no_bit(made_of: Callable[..., PreparedData]) -> None:
    data = made_of(torch.from_numpy(PIXELS), "unit")
    alone = input_statistics(data, 300)
    torch.set_num_threads(4)
    try:
        assert input_statistics(data, 300) == alone
    finally:
        torch.set_num_threads(1)
