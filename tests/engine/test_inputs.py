"""What runs record of their inputs: closed forms, and what the first layer really sees."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fathom.data.scaling import fit
from fathom.data.splits import Part, PreparedData, prepare
from fathom.engine.inputs import InputStatistics, input_statistics
from fathom.engine.run import train_cohort
from fathom.spec.grid import RecordConfig, Run

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


@pytest.mark.parametrize("probe_size", [40, 10_000])
@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_the_first_layer_sees_these_inputs(
    engine: str, probe_size: int, make_run: Callable[..., Run], digits: PreparedData
) -> None:
    """A square orthogonal first layer keeps lengths and angles, so its own columns show them."""
    run = make_run(
        engine=engine,
        init="orthogonal",
        hidden=(digits.num_features, 8),
        precision="float64",
        record=RecordConfig(probe_size=probe_size, histograms=False, weights="none"),
    )
    result = train_cohort([run, replace(run, seed=1)], digits)
    first = (result.layers["epoch"] == 0) & (result.layers["layer"] == 1)
    recorded = result.runs
    np.testing.assert_allclose(
        recorded["input_mean_square"], result.layers["pre_rms"][first] ** 2, rtol=1e-12
    )
    np.testing.assert_allclose(
        recorded["input_cosine"], result.layers["pre_cosine"][first], rtol=1e-12
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_all_runs_of_both_engines_record_the_same_bits(
    precision: str, make_run: Callable[..., Run], digits: PreparedData
) -> None:
    found = set()
    for engine in ("stacked", "single"):
        phis = ("relu", "tanh", "square")
        runs = [make_run(engine=engine, activation=phi, precision=precision) for phi in phis]
        table = train_cohort(runs, digits).runs
        found |= {*zip(table["input_mean_square"], table["input_cosine"], strict=True)}
    assert found == {input_statistics(digits, 64)}
