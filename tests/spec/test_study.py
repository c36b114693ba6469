"""A study: expansion to runs, identities, rules, what Python users hold."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from fathom.errors import StudyError
from fathom.registry import Choice
from fathom.spec.grid import to_plain
from fathom.spec.keys import LEAVES
from fathom.spec.load import load_study
from fathom.spec.study import Study


def make(**settings: Any) -> Study:
    return Study(**{"data": "digits", "activation": "relu", **settings})


def cells(study: Study, *paths: str) -> list[tuple[str, ...]]:
    return [tuple(dict(run.cell)[path] for path in paths) for run in study.runs()]


def test_the_product_of_all_axes_with_replicates_innermost() -> None:
    study = make(activation=["relu", "tanh"], model={"depth": [2, 5]}, seeds=3)
    runs = study.runs()
    assert study.num_runs == len(runs) == 2 * 2 * 3
    assert [run.seed for run in runs] == [0, 1, 2] * 4
    assert [dict(run.cell)["model.depth"] for run in runs[::3]] == ["2", "5", "2", "5"]


def test_equal_activations_are_neighbours() -> None:
    study = make(activation=["relu", "tanh", "gelu"], init=["zero", "he_normal"], seeds=2)
    names = [run.model.activation[0].name for run in study.runs()]
    assert [name for name, _ in groupby(names)] == ["relu", "tanh", "gelu"]


def test_defaults_reach_the_runs() -> None:
    (run,) = make().runs()
    assert run.model.hidden == (128,) * 5
    assert run.model.activation == (Choice("relu"),) * 5
    assert run.model.init == Choice("he_normal")
    assert (run.train.lr, run.train.epochs, run.train.batch_size) == (0.01, 5, 128)
    assert (run.data.protocol, run.data.scaling, run.data.limit) == ("holdout", "unit", None)
    assert run.cell == ()


def test_the_order_of_data_follows_the_seed_of_the_study() -> None:
    assert make(seed=7).runs()[0].data.seed == 7
    assert make(seed=7, data={"name": "digits", "seed": 3}).runs()[0].data.seed == 3


def test_a_parameter_is_swept_and_written_for_all_of_its_kind() -> None:
    study = make(init=[{"name": "he_normal", "factor": [1, 2]}, "zero"])
    assert cells(study, "init") == [("he_normal(factor=1)",), ("he_normal(factor=2)",), ("zero",)]
    # 2 is the default: as a choice it is the plain name, so that both ways to write it are one run.
    assert study.runs()[1].model.init == Choice("he_normal")
    assert study.runs()[1].id == make(init="he_normal").runs()[0].id
    assert study.runs()[1].id == make(init={"name": "he_normal", "factor": 2.0}).runs()[0].id


def test_two_parameters_make_all_combinations() -> None:
    optimizer = {"name": "adam", "beta1": [0.8, 0.9], "weight_decay": [0, 0.1, 0.2]}
    assert make(train={"optimizer": optimizer}).num_runs == 6


def test_a_parameter_that_is_a_list_is_swept_by_lists() -> None:
    one = {"name": "spline_sigmoid", "knots": [-3, 0, 3]}
    two = {"name": "spline_sigmoid", "knots": [[-3, 0, 3], [-2, 0, 2]]}
    assert make(activation=one).num_runs == 1
    assert [dict(run.cell)["activation"] for run in make(activation=two).runs()] == [
        "spline_sigmoid(knots=[-3, 0, 3])",
        "spline_sigmoid(knots=[-2, 0, 2])",
    ]


def test_widths_are_a_list_and_swept_by_lists() -> None:
    assert make(model={"hidden": [64, 32]}).runs()[0].model.hidden == (64, 32)
    swept = make(model={"hidden": [[64, 32], [16]]})
    assert [run.model.hidden for run in swept.runs()] == [(64, 32), (16,)]
    assert cells(swept, "model.hidden") == [("64-32",), ("16",)]


def test_an_activation_for_each_layer() -> None:
    mixed = {"per_layer": ["tanh", "tanh", {"name": "leaky_relu", "slope": 0.2}]}
    study = make(activation=["relu", mixed], model={"depth": 3})
    run = study.runs()[1]
    assert run.model.activation == (
        Choice("tanh"),
        Choice("tanh"),
        Choice("leaky_relu", (("slope", 0.2),)),
    )
    assert dict(run.cell)["activation"] == "tanh*2+leaky_relu(slope=0.2)"


def test_an_alias_is_the_component_itself() -> None:
    assert make(activation="swish").runs()[0].id == make(activation="silu").runs()[0].id


def test_a_choice_from_python() -> None:
    choice = Choice("leaky_relu", (("slope", 0.3),))
    assert make(activation=[choice]).runs()[0].model.activation[0] == choice
    spline = Choice("spline_sigmoid", (("knots", (-3.0, 0.0, 3.0)),))
    assert make(activation=spline).runs()[0].model.activation[0] == spline


def test_numpy_values_and_tuples_from_python() -> None:
    study = make(train={"lr": np.array([0.1, 0.2])}, seed=np.int64(3), model={"depth": (2, 4)})
    assert [run.train.lr for run in study.runs()[::2]] == [0.1, 0.1]
    assert [run.study_seed for run in study.runs()] == [3] * 4


@pytest.mark.parametrize(
    ("seeds", "replicates"), [(1, [0]), (3, [0, 1, 2]), ([0, 7], [0, 7]), ([0, 1], [0, 1])]
)
def test_replicates(seeds: Any, replicates: list[int]) -> None:
    assert [run.seed for run in make(seeds=seeds).runs()] == replicates


def test_a_list_of_the_first_replicates_is_their_number() -> None:
    assert make(seeds=[0, 1, 2]).digest == make(seeds=3).digest


# Rules


GRID = {"activation": ["relu", "sigmoid"], "model": {"depth": [5, 10, 20]}}


def test_excluded_cells_are_left_out() -> None:
    study = make(**GRID, exclude=[{"activation": "sigmoid", "depth": [10, 20]}])
    assert cells(study, "activation", "model.depth") == [
        ("relu", "5"),
        ("relu", "10"),
        ("relu", "20"),
        ("sigmoid", "5"),
    ]
    assert study.num_runs == 4


def test_a_name_in_a_rule_means_all_its_parameters_and_a_mapping_those_it_gives() -> None:
    init = [{"name": "he_normal", "factor": [1, 2], "mode": ["fan_in", "fan_out"]}, "zero"]
    by_name = make(init=init, exclude=[{"init": "he_normal"}])
    assert cells(by_name, "init") == [("zero",)]
    by_default = make(init=init, exclude=[{"init": {"name": "he_normal", "factor": 2}}])
    assert cells(by_default, "init") == [
        ("he_normal(factor=1, mode=fan_in)",),
        ("he_normal(factor=1, mode=fan_out)",),
        ("zero",),
    ]


def test_overrides_apply_after_the_product_in_their_order() -> None:
    study = make(
        **GRID,
        overrides=[
            {"where": {"activation": "relu"}, "set": {"init": "he_uniform", "train.lr": 0.001}},
            {"where": {"activation": "relu", "depth": 20}, "set": {"lr": 0.1}},
        ],
    )
    got = {run.cell: (run.model.init.name, run.train.lr) for run in study.runs()}
    assert [*got.values()] == [
        ("he_uniform", 0.001),
        ("he_uniform", 0.001),
        ("he_uniform", 0.1),
        *[("he_normal", 0.01)] * 3,
    ]
    # What an override sets is a setting in which runs differ, so every run shows it.
    assert {path for cell in got for path, _ in cell} == {
        "activation",
        "init",
        "model.depth",
        "train.lr",
    }


def test_a_where_sees_the_grid_not_other_overrides() -> None:
    rules = [
        {"where": {"depth": 5}, "set": {"depth": 6}},
        {"where": {"depth": 5}, "set": {"lr": 0.5}},
    ]
    runs = make(**GRID, overrides=rules).runs()
    assert [run.train.lr for run in runs if run.model.depth == 6] == [0.5, 0.5]


# Size


def test_more_runs_need_the_users_word() -> None:
    lr = [i / 1000 for i in range(1, 1001)]
    study = make(train={"lr": lr, "batch_size": [16, 32]}, seeds=51)
    assert study.num_runs == 102_000
    with pytest.raises(StudyError, match=r"the grid has 102,000 runs .* add --yes-run 102000"):
        study.runs()
    with pytest.raises(StudyError, match="add --yes-run 102000"):
        study.runs(allow_runs=101_999)


def test_the_users_word_lifts_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.spec.expand.MAX_RUNS", 5)
    study = make(**GRID)
    with pytest.raises(StudyError, match="more than 5 need"):
        study.runs()
    assert len(study.runs(allow_runs=6)) == 6


# Identity


CHANGES: dict[str, Any] = {
    "seed": 43,
    "seeds": [1],
    "engine": "single",
    "precision": "float64",
    "activation": "tanh",
    "init": "zero",
    "loss": "mse",
    "data.name": "mnist",
    "data.scaling": "none",
    "data.protocol": "test_as_validation",
    "data.validation_share": 0.2,
    "data.test_share": 0.3,
    "data.limit": 100,
    "data.seed": 1,
    "data.augment": "flip",
    "model.depth": 6,
    "model.width": 129,
    "model.hidden": [128] * 4,
    "model.norm": "layer_norm",
    "model.skip": "residual",
    "train.epochs": 6,
    "train.batch_size": 64,
    "train.lr": 0.02,
    "train.optimizer": {"name": "sgd", "momentum": 0.1},
    "train.schedule": "cosine",
    "train.clip_norm": 1.0,
    "train.patience": 3,
    "train.monitor": "validation_loss",
    "train.drop_last": True,
    "record.probe_size": 128,
    "record.histograms": True,
    "record.scores": True,
    "record.weights": "last",
    "record.units": "ends",
}


def changed(path: str, value: Any) -> Study:
    part, _, name = path.rpartition(".")
    if part == "data":
        return make(data={"name": "digits"} | {name: value})
    return make(**{part: {name: value}} if part else {path: value})


def test_every_setting_changes_the_run_and_the_study() -> None:
    # Other architectures need another engine; some settings belong to some data sets alone.
    unchanged = {"name", "description", "model.name"}
    unchanged |= {"data.path", "data.image_size", "data.classes", "record.surfaces"}
    assert {*CHANGES} == {*LEAVES} - unchanged
    studies = [make(), *(changed(path, value) for path, value in CHANGES.items())]
    for identity in ([study.runs()[0].id for study in studies], [s.digest for s in studies]):
        assert {key for key, count in Counter(identity).items() if count > 1} == set()


def test_frames_of_a_surface_change_the_run_and_the_study() -> None:
    studies = [make(data="half_moons", record={"surfaces": n}) for n in (None, 2, 3)]
    assert len({study.runs()[0].id for study in studies}) == 3
    assert len({study.digest for study in studies}) == 3


def test_surfaces_are_judged_by_the_runs_that_there_are() -> None:
    both = {"data": {"name": ["half_moons", "digits"]}, "record": {"surfaces": 3}}
    with pytest.raises(StudyError, match="a sample of 'digits' has 64; leave it out"):
        make(**both).runs()
    (run,) = make(**both, exclude=[{"data.name": "digits"}]).runs()
    assert run.data.name == "half_moons"
    rule = {"where": {"data.name": "digits", "activation": "relu"}, "set": {"data.name": "arrays"}}
    one, other = make(
        data={"name": ["half_moons", "digits"], "path": "plane.npz"},
        record={"surfaces": 3},
        overrides=[rule],
    ).runs()
    assert (one.data.name, other.data.name) == ("half_moons", "arrays")


def test_settings_that_came_later_leave_older_ids_as_they_were() -> None:
    """An id is the hash of all settings, and those that nobody asked for were not there."""
    run = make(data="half_moons").runs()[0]
    plain = {key: value for key, value in to_plain(run).items() if key not in ("name", "cell")}
    assert (plain["record"].pop("units"), plain["record"].pop("surfaces")) == ("none", None)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert run.id == hashlib.sha256(text.encode()).hexdigest()[:16]
    asked = make(data="half_moons", record={"units": "none", "surfaces": None})
    assert (asked.runs()[0].id, asked.digest) == (run.id, make(data="half_moons").digest)


def test_architectures_and_their_parameters_are_different_runs() -> None:
    names = ["lenet", "resnet18", {"name": "vit", "scale": [True, False]}]
    study = make(engine="single", model={"name": names})
    assert len({run.id for run in study.runs()}) == 4
    assert {run.model.hidden for run in study.runs()} == {()}


@pytest.mark.parametrize("name", ["sort", "permute"])
def test_image_networks_have_no_layers_whose_units_move(name: str) -> None:
    settings = {"engine": "single", "model": {"name": "lenet"}, "activation": ["relu", name]}
    with pytest.raises(StudyError, match=f"{name} moves a layer's units, .* give lenet an elem"):
        make(**settings).runs()


def test_a_path_changes_the_run() -> None:
    first, second = (
        make(data={"name": "arrays", "path": path}).runs()[0] for path in ("a.npz", "b.npz")
    )
    assert first.id != second.id


def test_name_and_description_change_neither() -> None:
    plain, named = make(), make(name="other", description="something")
    assert plain.digest == named.digest
    assert plain.runs()[0].id == named.runs()[0].id


def test_the_rest_of_the_grid_does_not_change_a_run() -> None:
    assert make().runs()[0].id == make(activation=["relu", "tanh"], seeds=2).runs()[0].id


def test_ids_are_the_same_in_another_process() -> None:
    code = (
        "from fathom.spec.load import load_study\n"
        "study = load_study('digits')\n"
        "print(study.digest, *(run.id for run in study.runs()))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    study = load_study("digits")
    assert there == [study.digest, *(run.id for run in study.runs())]
    assert len({*there}) == 33


def test_runs_have_readable_unique_names() -> None:
    study = make(init=[{"name": "he_normal", "factor": [1, 2]}], model={"depth": [5, 50]}, seeds=2)
    names = [run.name for run in study.runs()]
    assert [name[:-6] for name in names[:3]] == [
        "he_normal_factor_1-depth5-s0-",
        "he_normal_factor_1-depth5-s1-",
        "he_normal_factor_1-depth50-s0-",
    ]
    assert all(name.endswith(run.id[:6]) for name, run in zip(names, study.runs(), strict=True))
    assert len({*names}) == len(names)


def test_a_run_without_axes_has_a_name() -> None:
    (run,) = make().runs()
    assert run.name == f"run-{run.id[:6]}"


def test_studies_are_equal_when_their_settings_are() -> None:
    assert make() == make(train={"lr": 0.01}, init={"name": "he_normal", "factor": 2})
    assert make() != make(train={"lr": 0.02})
