"""When networks are looked at, and that going on after an interruption sees the same."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from observation_cases import ENDS, ENGINES, EVERY, on_moons, record, units
from safetensors.torch import load
from torch import Tensor

from fathom.data.splits import PreparedData, prepare
from fathom.engine.observations import (
    GRID_SIDE,
    Seen,
    observe,
    surface_epochs,
    unit_epochs,
)
from fathom.engine.run import State, train_cohort
from fathom.engine.stacked import CPU
from fathom.spec.grid import Run
from fathom.store.tensors import tensor_bytes


@pytest.fixture(scope="module")
def data(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(make_run().data, [])


@pytest.fixture(scope="module")
def moons(make_run: Callable[..., Run]) -> PreparedData:
    return prepare(on_moons(make_run).data, [])


def test_ends_are_the_first_and_the_last_epoch_of_each_run(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    """A run with rate 0 stops after 1 + 3 epochs; its sibling goes on to the tenth."""
    settings = {"patience": 3, "epochs": 10, "activation": "tanh", "record": ENDS}
    frozen = make_run(lr=1e-30, **settings)
    learning = make_run(lr=0.1, **settings)
    result = train_cohort([frozen, learning], data)
    ends = dict(
        zip(result.runs["run_id"].tolist(), result.runs["epochs_run"].tolist(), strict=True)
    )
    assert ends[frozen.id] == 4 < ends[learning.id]
    table = units(result)
    for run_id, end in ends.items():
        epochs = table.filter(pl.col("run_id") == run_id)["epoch"].unique().sort()
        assert epochs.to_list() == [0, end]


def test_frames_lie_evenly_and_a_run_that_stops_keeps_its_last(
    make_run: Callable[..., Run], moons: PreparedData
) -> None:
    settings = {"patience": 4, "epochs": 12, "record": record(surfaces=4)}
    frozen = on_moons(make_run, lr=1e-30, **settings)
    learning = on_moons(make_run, lr=0.5, hidden=(12, 10), **settings | {"patience": 12})
    for run, expected_end in ((frozen, 5), (learning, 12)):
        result = train_cohort([run], moons)
        (surface,) = result.surfaces.values()
        end = int(result.runs["epochs_run"][0])
        assert end == expected_end
        assert surface.epochs.tolist() == sorted({0, 4, 8, 12} & {*range(end + 1)} | {end})
        assert surface.shares.shape == (len(surface.epochs), GRID_SIDE, GRID_SIDE, 2)
    assert surface_epochs(frozen) == {0, 4, 8, 12}


@pytest.mark.parametrize(
    ("frames", "epochs", "expected"),
    [
        (2, 7, [0, 7]),
        (3, 7, [0, 4, 7]),
        (5, 8, [0, 2, 4, 6, 8]),
        (100, 3, [0, 1, 2, 3]),
        (2, 1, [0, 1]),
    ],
)
def test_frames_are_spread_from_the_first_epoch_to_the_last(
    frames: int, epochs: int, expected: list[int], make_run: Callable[..., Run]
) -> None:
    run = on_moons(make_run, epochs=epochs, record=record(surfaces=frames))
    assert sorted(surface_epochs(run)) == expected
    assert [*unit_epochs(run)] == []
    assert [*unit_epochs(replace(run, record=ENDS))] == [0, epochs]
    assert [*unit_epochs(replace(run, record=EVERY))] == [*range(epochs + 1)]


@pytest.mark.parametrize(("asked", "epochs"), [("none", []), ("ends", [0]), ("every", [0])])
def test_a_run_without_epochs_has_one_state(
    asked: Any, epochs: list[int], make_run: Callable[..., Run]
) -> None:
    assert [*unit_epochs(make_run(epochs=0, record=record(units=asked)))] == epochs


def test_the_time_of_an_epoch_has_that_of_looking(
    make_run: Callable[..., Run], data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which nothing takes time but looking: 8 s for each cohort."""
    now_s = 0.0

    def look(*args: object, **options: object) -> None:
        nonlocal now_s
        now_s += 8.0

    clock = SimpleNamespace(perf_counter=lambda: now_s)
    monkeypatch.setattr("fathom.engine.run.time", clock)
    monkeypatch.setattr("fathom.engine.run.observe", look)
    runs = [make_run(seed=seed, record=EVERY) for seed in range(2)]
    result = train_cohort(runs, data)
    assert result.epochs["epoch_time_s"].tolist() == [4.0] * 2 * 3
    assert result.runs["elapsed_s"].tolist() == [12.0] * 2


def test_nothing_is_done_where_nothing_is_asked_for(
    make_run: Callable[..., Run], data: PreparedData
) -> None:
    def never() -> Mapping[str, Tensor]:
        raise AssertionError("weights were asked for")

    seen: Seen = {}
    both = torch.tensor([True])
    for asked, epoch in ((record(), 0), (record(), 2), (ENDS, 1)):
        run = make_run(record=asked)
        observe(seen, epoch, [run], never, data, going=both, ended=both & (epoch == 2), device=CPU)
    assert seen == {}
    states: list[State] = []
    result = train_cohort([make_run()], data, save_state=lambda make: states.append(make()))
    assert not any("seen" in name for name in states[0])
    assert (result.units, result.surfaces) == ({}, {})


@pytest.mark.parametrize("engine", ENGINES)
def test_going_on_gives_the_same_bits(
    engine: str, make_run: Callable[..., Run], moons: PreparedData
) -> None:
    runs = [
        on_moons(
            make_run,
            engine=engine,
            precision="float64",
            activation=activation,
            patience=3,
            epochs=5,
            lr=lr,
            record=record(units="every", surfaces=3),
        )
        for activation, lr in (("relu", 0.1), ("square", 100.0), ("tanh", 1e-30))
    ]
    saved: list[State] = []
    whole = train_cohort(runs, moons, save_state=lambda make: saved.append(make()))
    assert set(whole.runs["outcome"]) == {"completed", "diverged", "stopped_early"}
    assert len(saved) == 4
    for state in saved:
        kept = load(tensor_bytes(state))  # as a checkpoint keeps it
        again = train_cohort(runs, moons, state=kept)
        for name, column in whole.units.items():
            np.testing.assert_array_equal(again.units[name], column)
        for run_id, surface in whole.surfaces.items():
            np.testing.assert_array_equal(again.surfaces[run_id].shares, surface.shares)
            np.testing.assert_array_equal(again.surfaces[run_id].epochs, surface.epochs)
