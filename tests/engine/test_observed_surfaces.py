"""Decision surfaces while networks train: in closed form, and those of the recorded network.

Shapes: G points of a side of the grid, K classes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from observation_cases import on_moons, record, seen_of

from fathom.data.splits import PreparedData, prepare
from fathom.engine.observations import (
    GRID_SIDE,
    surfaces_of,
)
from fathom.engine.run import CohortTraining, train_cohort
from fathom.errors import FathomError
from fathom.models.build import rebuilt_network
from fathom.spec.grid import Run


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


@pytest.fixture(scope="module")
def moons(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(on_moons(make_run).data, [])


@pytest.mark.parametrize("scaling", ["none", "unit", "symmetric", "standard"])
@pytest.mark.parametrize("slopes", [(3.0, 0.0), (0.0, -2.0), (1.5, 4.0)], ids=str)
def test_a_linear_network_has_a_sigmoid_of_its_plane(
    slopes: tuple[float, float], scaling: Any, make_run: Callable[..., Run]
) -> None:
    """softmax of two logits is the sigmoid of their difference, here a x + b y + 0.5."""
    plain = on_moons(make_run, hidden=(), precision="float64")
    run = replace(plain, data=replace(plain.data, scaling=scaling))
    data = prepare(run.data, [])
    weight = torch.tensor([[0.0, 0.0], slopes], dtype=torch.float64)
    bias = torch.tensor([0.25, 0.75], dtype=torch.float64)
    weights = {"layers.0.weight": weight, "layers.0.bias": bias}
    surface = surfaces_of([run], seen_of(run, weights, data), data)[run.id]
    inputs = data.train.inputs.double().numpy()
    shift, divisor = {
        "none": (0.0, 1.0),
        "unit": (inputs.min(), np.ptp(inputs)),
        "symmetric": (inputs.min() + np.ptp(inputs) / 2, np.ptp(inputs) / 2),
        "standard": (inputs.mean(), inputs.std()),
    }[scaling]
    across, up = ((side - shift) / divisor for side in (surface.across, surface.up))
    logit = slopes[0] * across[None, :] + slopes[1] * up[:, None] + 0.5
    np.testing.assert_allclose(surface.shares[0, :, :, 1], 1 / (1 + np.exp(-logit)), atol=1e-6)
    np.testing.assert_allclose(surface.shares.sum(-1), 1, atol=1e-6)
    if slopes[1] == 0:  # a border that depends on the first feature alone stands upright
        assert (surface.shares[0] == surface.shares[0, :1]).all()
        assert (np.diff(surface.shares[0, 0, :, 1]) > 0).all()


def test_the_grid_reaches_a_fifth_beyond_the_data(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    run = on_moons(make_run, epochs=1)
    (surface,) = train_cohort([run], moons).surfaces.values()
    points = moons.train.inputs.double().numpy()
    low, high = points.min(0), points.max(0)
    for side, start, end in zip((surface.across, surface.up), low, high, strict=True):
        expected = np.linspace(start - 0.2 * (end - start), end + 0.2 * (end - start), GRID_SIDE)
        np.testing.assert_allclose(side, expected, rtol=1e-12)
    np.testing.assert_array_equal(surface.points, moons.test.inputs.numpy())
    np.testing.assert_array_equal(surface.labels, moons.test.targets.numpy())


def test_a_surface_is_the_recorded_network(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    """The nearest point of the last frame answers as the network that scored the test part."""
    run = on_moons(make_run, optimizer="adam", lr=0.02, epochs=30)
    result = train_cohort([run], moons)
    (surface,) = result.surfaces.values()
    column = np.abs(surface.across[:, None] - surface.points[:, 0]).argmin(0)
    row = np.abs(surface.up[:, None] - surface.points[:, 1]).argmin(0)
    answers = surface.shares[-1, row, column].argmax(-1)
    accuracy = result.epochs["test_accuracy"][-1]
    assert accuracy > 0.8, "the case must learn"
    # A few test points at most lie nearer to the border than half a cell.
    assert (answers == surface.labels).mean() == pytest.approx(accuracy, abs=0.03)


def test_a_normalised_network_is_drawn_in_evaluation(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    """By the running statistics of its last weights, and not by those of the grid's points."""
    run = on_moons(make_run, norm="batch_norm", precision="float64", lr=0.2)
    result = train_cohort([run], moons)
    surface = result.surfaces[run.id]
    prefix = f"{run.id}/last/"
    own = {name.removeprefix(prefix): tensor for name, tensor in result.weights.items()}
    shape, seeds = moons.sample_shape, (run.study_seed, run.seed)
    network = rebuilt_network(run.model, own, shape, 2, torch.float64, seeds=seeds)
    points = np.stack(np.meshgrid(surface.across, surface.up), -1).reshape(-1, 2)
    with torch.no_grad():
        logits = network(moons.scale(torch.from_numpy(points), torch.float64))
    shares = torch.softmax(logits, 1).view(GRID_SIDE, GRID_SIDE, 2).numpy()
    np.testing.assert_allclose(surface.shares[-1], shares, atol=1e-6)


def test_surfaces_need_points_of_a_plane(
    make_run: Callable[..., Run], data: PreparedData, moons: PreparedData
) -> None:
    with pytest.raises(FathomError, match=r"a sample of 'digits' has 64 numbers\. Leave it out"):
        train_cohort([make_run(record=record(surfaces=2))], data)
    hot = torch.nn.functional.one_hot(moons.train.targets, 2).float()
    several = replace(moons, train=replace(moons.train, targets=hot))
    with pytest.raises(FathomError, match="'half_moons' has several labels"):
        CohortTraining([on_moons(make_run, engine="single", loss="bce")], several)
