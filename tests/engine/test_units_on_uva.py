"""Units before training on all of the real Fashion-MNIST: the UvA tutorial's networks, twice.

The tutorial asks how many neurons of its ReLU networks are dead before and after training, at
torch's default initialization and pixels in [-1, 1]. Its own counts are not known here; what is
compared is Fathom's streaming count with a slow one in plain NumPy.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch

from fathom import Study
from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import CohortTraining
from fathom.engine.tables import collect_result
from fathom.spec.grid import Run
from fathom.store.tables import make_table
from fathom.unit_life import count_states, lives

NETWORKS = {"tutorial": [512, 256, 256, 128], "ten layers": [256] * 5 + [128] * 5}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

pytestmark = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="install Debian's dataset-fashion-mnist to count on real images"
)


def run_of(hidden: list[int], **settings: Any) -> Run:
    given: dict[str, Any] = {"init": "torch_default", "scaling": "symmetric", "seeds": [0]}
    given |= settings
    data = {"name": "fashion_mnist", "scaling": given.pop("scaling"), "protocol": "train_test"}
    study = Study(
        data=data,
        activation="relu",
        model={"hidden": hidden},
        train={"epochs": 1, "batch_size": 256},
        record={"units": "ends", "weights": "last", "probe_size": 16},
        **given,
    )
    (run,) = study.runs()
    return run


@pytest.fixture(scope="module")
def images() -> PreparedData:
    data = prepare(run_of([1]).data, [])
    assert len(data.train.inputs) == 60_000
    return data


def before_training(run: Run, data: PreparedData) -> tuple[pl.DataFrame, dict[str, torch.Tensor]]:
    """Return the unit table of epoch 0 and the weights that it is of."""
    training = CohortTraining([run], data)
    training.start()
    weights = {name: tensor[0] for name, tensor in training.engine.weights().items()}
    training.progress.last_epoch[:] = 0  # as if the run had ended here
    return make_table("units", collect_result([run], training.progress, data).units), weights


def slow_counts(
    weights: dict[str, torch.Tensor], pixels: npt.NDArray[np.uint8]
) -> list[npt.NDArray[np.int64]]:
    """Pass images by NumPy in float64, a thousand at a time: samples above 0 of each unit."""
    depth = len(weights) // 2 - 1
    layers = [
        tuple(weights[f"layers.{i}.{kind}"].double().numpy() for kind in ("weight", "bias"))
        for i in range(depth)
    ]
    active = [np.zeros(len(bias), np.int64) for _, bias in layers]
    for start in range(0, len(pixels), 1000):
        x = pixels[start : start + 1000].astype(np.float64) / 255 * 2 - 1
        for (weight, bias), count in zip(layers, active, strict=True):
            h = x @ weight.T + bias
            count += (h > 0).sum(0)
            x = h * (h > 0)
    return active


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_dead_units_of_the_tutorials_networks_are_those_of_a_slow_count(
    name: str, images: PreparedData
) -> None:
    """Within one unit per layer: a float32 argument within rounding of 0 may be on either side."""
    table, weights = before_training(run_of(NETWORKS[name]), images)
    slow = slow_counts(weights, images.train.inputs.numpy())
    counted = count_states(table).filter(pl.col("state") == "dead")
    dead = dict(counted.select("layer", "count").iter_rows())
    expected = [int((count == 0).sum()) for count in slow]
    found = [dead.get(layer + 1, 0) for layer in range(len(slow))]
    print(f"dead of {NETWORKS[name]}: {found}, slowly {expected}")
    assert np.abs(np.subtract(found, expected)).max() <= 1
    for layer, count in enumerate(slow, 1):
        mine = table.filter(pl.col("layer") == layer).sort("unit")["active_share"].to_numpy()
        np.testing.assert_allclose(mine, count / 60_000, atol=1e-3)
    assert lives(table)["born_dead"].sum() == sum(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_he_network_has_no_dead_unit(seed: int, images: PreparedData) -> None:
    run = run_of([128, 128], init="he_normal", scaling="standard", seeds=[seed])
    table, _ = before_training(run, prepare(run.data, []))
    assert table.height == 2 * 128
    assert not {"dead", "constant", "no number"} & {*table["state"]}
    assert table["active_share"].mean() == pytest.approx(0.5, abs=0.05)
