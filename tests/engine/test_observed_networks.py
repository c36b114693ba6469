"""Units of networks that are no plain mlp: normalised ones, images, and users' own modules."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
import torch
from observation_cases import DEAD, ENDS, seen_units, units
from torch import Tensor, nn

from fathom.architectures import Act, register_callable
from fathom.architectures.base import ImageShape
from fathom.data.splits import PreparedData, prepare
from fathom.engine.run import train_cohort
from fathom.errors import ComponentError
from fathom.models.build import initial_network
from fathom.registry import Choice
from fathom.spec.grid import Run


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


def test_batch_norm_is_seen_by_its_running_statistics(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """Before training these are 0 and 1, so that ReLUs are active where they are without it."""
    found = []
    for norm in ("none", "batch_norm"):
        run = make_run(norm=norm, precision="float64", record=ENDS, init="torch_default")
        table = units(train_cohort([run], data)).filter(pl.col("epoch") == 0)
        found.append(table["active_share"].to_list())
    plain, normalised = found
    # A first layer without bias would do; with one, only signs within 1e-5 of it could differ.
    assert plain == normalised


def test_channels_of_images_are_units(make_run: Callable[..., Run], data: PreparedData) -> None:
    run = make_run(engine="single", hidden=(), activation=["relu"], record=ENDS)
    model = replace(run.model, name=Choice("lenet"), activation=(Choice("relu"),))
    run = replace(run, model=model)
    images = replace(
        data,
        sample_shape=(28, 28),
        num_features=28 * 28,
        train=replace(data.train, inputs=torch.rand(300, 28 * 28, dtype=torch.float64)),
    )
    network = initial_network(run, images.sample_shape, images.num_classes, torch.float32)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = network.measured()[0].name
    weights[f"{first}.bias"][[1, 4]] = DEAD
    table = seen_units(run, weights, images)
    channels = table.filter(pl.col("layer") == 1)
    assert set(channels["place"]) == {first}
    assert channels.filter(pl.col("state") == "dead")["unit"].to_list() == [1, 4]
    positions = channels["samples"].unique().item() / 300
    assert positions == int(positions) > 1
    places = table.unique("layer").sort("layer")["place"].to_list()
    assert places == [layer.name for layer in network.measured()[:-1]]
    dense = table.filter(pl.col("layer") == table["layer"].max())
    assert set(dense["samples"]) == {300}


class Written(nn.Module):
    """An activation that is written out, which nobody can see."""

    def __init__(self, shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(64, 16), nn.Linear(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x.flatten(1))
        return self.output(h * (h > 0))  # type: ignore[no-any-return]


class Heads(Written):
    """An activation of units that are cut into heads."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x.flatten(1)).view(-1, 2, 2, 4)
        return self.output(torch.relu(h).flatten(1))  # type: ignore[no-any-return]


def own_run(make_run: Callable[..., Run], module: type[nn.Module]) -> Run:
    run = make_run(engine="single", record=ENDS)
    model = replace(
        run.model, name=register_callable(module), hidden=(), activation=(Choice("relu"),)
    )
    return replace(run, model=model)


@pytest.mark.parametrize(
    ("module", "reason"),
    [(Written, "no activation was seen in it"), (Heads, r"which axis of \[256, 2, 2, 4\]")],
    ids=["written out", "cut into heads"],
)
def test_units_that_cannot_be_counted_are_refused_before_training(
    module: type[nn.Module], reason: str, make_run: Callable[..., Run], data: PreparedData
) -> None:
    run = own_run(make_run, module)
    told: list[object] = []
    sentence = rf"^model '{module.__name__}': {reason}.*, or set record\.units: none$"
    with pytest.raises(ComponentError, match=sentence):
        train_cohort([run], data, on_epoch=told.append)
    assert told == []


class Lined(nn.Module):
    """A layer with a line break in its name, which torch allows."""

    def __init__(self, shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> None:
        super().__init__()
        first, second = nn.Linear(64, 6), nn.Linear(6, 5)
        self.hidden = nn.Sequential(
            OrderedDict({"a\nb": first, "c": act(), "d": second, "e": act()})
        )
        self.output = nn.Linear(5, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(x.flatten(1)))  # type: ignore[no-any-return]


def test_a_place_keeps_its_name_whatever_it_is(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    table = units(train_cohort([own_run(make_run, Lined)], data))
    places = table.filter(pl.col("epoch") == 0).group_by("layer", "place").len().sort("layer")
    assert places.rows() == [(1, "net.hidden.a\nb", 6), (2, "net.hidden.d", 5)]
