"""A study that records units and surfaces, from its file to tables, CSV and the page."""

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from fathom import Results, Study
from fathom.data.datasets import measure
from fathom.data.splits import prepare
from fathom.errors import FathomError
from fathom.plan import make_plan
from fathom.records import UNIT_COLUMNS
from fathom.unit_life import count_states, lives

RATE = 1e10


def make(**record: object) -> Study:
    return Study(
        name="seen",
        data="half_moons",
        activation=["relu", "tanh"],
        seeds=2,
        model={"hidden": [10, 8]},
        train={"epochs": 4, "lr": 0.1},
        record={"probe_size": 32, **record},
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    out = tmp_path_factory.mktemp("seen")
    return make(units="ends", surfaces=3).run(out, workers=1, executor="inline", progress=False)


def test_units_are_a_table_over_all_runs(results: Results) -> None:
    units = results.units
    assert units.columns == [column.name for column in UNIT_COLUMNS]
    assert units.height == 4 * 2 * (10 + 8)
    assert {*units["run_id"]} == {*results.runs["run_id"]}
    assert {*units["epoch"]} == {0, 4}
    assert units["samples"].unique().to_list() == [1440]  # 72 % of 2,000
    names = dict(results.runs.select("run_id", "activation").iter_rows())
    is_tanh = units["run_id"].replace_strict(names) == "tanh"
    assert (units["low_share"].is_nan() == ~is_tanh).all()
    assert results.frames.units.collect().equals(units)
    assert count_states(units)["count"].sum() == units.height
    assert lives(units).height == 4 * (10 + 8)


def test_surfaces_are_by_run(results: Results) -> None:
    surfaces = results.surfaces()
    assert {*surfaces} == {*results.runs["run_id"]}
    for run_id, surface in surfaces.items():
        assert surface.run_id == run_id
        assert surface.epochs.tolist() == [0, 2, 4]
        np.testing.assert_allclose(surface.shares.sum(-1), 1, atol=1e-6)
        assert len(surface.points) == len(surface.labels) == 400
    again = Results.open(results.folder).surfaces()
    for run_id, surface in surfaces.items():
        np.testing.assert_array_equal(again[run_id].shares, surface.shares)


def test_the_last_frame_is_the_kept_network(results: Results) -> None:
    """The weights that were kept, rebuilt, answer at the grid's points as the surface says."""
    for run_id, surface in results.surfaces().items():
        network = results.network(run_id, "last")
        inputs = np.stack(np.meshgrid(surface.across, surface.up), -1).reshape(-1, 2)
        # `unit` scaling, fitted on the training part, is not kept: two numbers tell it.
        low, high = unit_range(results)
        x = torch.from_numpy((inputs - low) / (high - low)).float()
        with torch.no_grad():
            shares = torch.softmax(network(x), 1).view(64, 64, 2).numpy()
        np.testing.assert_allclose(surface.shares[-1], shares, atol=1e-5)


def unit_range(results: Results) -> tuple[float, float]:
    run = make(units="ends", surfaces=3).runs()[0]
    assert run.id in {*results.runs["run_id"]}
    inputs = prepare(run.data).train.inputs
    return float(inputs.min()), float(inputs.max())


def test_csv_has_units_and_their_lives(results: Results, tmp_path: Path) -> None:
    folder = results.export_csv(tmp_path / "csv")
    with (folder / "units.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == results.units.height
    assert [row["state"] for row in rows] == results.units["state"].to_list()
    assert len((folder / "unit_lives.csv").read_text().splitlines()) == 1 + 4 * (10 + 8)


def test_nothing_asked_for_is_nothing_kept(tmp_path: Path) -> None:
    results = make().run(tmp_path, workers=1, executor="inline", progress=False)
    assert results.units.is_empty()
    assert results.surfaces() == {}
    files = {path.name for path in tmp_path.rglob("cohorts/*/*")}
    assert not files & {"units.parquet", "surfaces.safetensors"}
    assert not list(results.export_csv().glob("unit*.csv"))


def test_what_is_recorded_changes_no_number(results: Results, tmp_path: Path) -> None:
    plain = make().run(tmp_path, workers=1, executor="inline", progress=False)
    for table in ("epochs", "layers"):
        mine, other = (
            getattr(each, table)
            .join(each.runs.select("run_id", "activation", "seed"), on="run_id")
            .drop("run_id", "epoch_time_s", strict=False)
            .sort(pl.all())
            for each in (results, plain)
        )
        assert mine.equals(other)


class Mixed(nn.Module):
    """A network of a user's own, with an activation of torch's beside one of the study's."""

    def __init__(
        self, shape: tuple[int, int, int], num_classes: int, act: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(math.prod(shape), 12), nn.Linear(12, num_classes)
        self.relu, self.phi = nn.ReLU(), act()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.phi(self.relu(self.first(x.flatten(1)))))  # type: ignore[no-any-return]


def test_units_of_a_users_own_network_are_seen(tmp_path: Path) -> None:
    study = Study(
        data={"name": "digits", "limit": 100},
        activation="tanh",
        engine="single",
        init="torch_default",
        model={"name": Mixed},
        train={"epochs": 1},
        record={"units": "ends", "probe_size": 16},
    )
    results = study.run(tmp_path, workers=1, executor="inline", progress=False)
    places = results.units.unique("layer").sort("layer").select("layer", "place").rows()
    # tanh reads no map by itself here: relu has read it.
    assert [layer for layer, _ in places] == [1, 2]
    assert places[0][1] == "relu 1"
    assert results.units.height == 2 * 2 * 12


def test_the_plan_counts_what_is_seen() -> None:
    def plan(**record: object) -> tuple[float, float]:
        made = make_plan(make(**record).runs(), measure, workers=1, rate=RATE)
        return made.estimated_s, made.memory_mb

    (least_s, least_mb), *more = (
        plan(**asked)
        for asked in ({}, {"units": "ends"}, {"units": "every"}, {"units": "every", "surfaces": 4})
    )
    times, sizes = [least_s, *(s for s, _ in more)], [least_mb, *(mb for _, mb in more)]
    assert times == sorted({*times})
    assert sizes == sorted({*sizes})
    # Every epoch and the start: five observations, against two.
    assert times[2] - times[0] == pytest.approx((times[1] - times[0]) * 5 / 2)


def test_arrays_of_more_features_are_refused_before_anything_is_spent(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = tmp_path / "mine.npz"
    np.savez(arrays, x=rng.normal(size=(60, 3)), y=np.arange(60) % 2)
    study = Study(
        data={"name": "arrays", "path": str(arrays)},
        activation="relu",
        train={"epochs": 1},
        record={"surfaces": 2},
    )
    with pytest.raises(FathomError, match="a sample of 'arrays' has 3 numbers"):
        study.run(tmp_path / "out", workers=1, executor="inline", progress=False)
    assert not list(tmp_path.rglob("*.parquet"))
