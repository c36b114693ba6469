"""Studies written out: they load back, their digests ignore form, differences are told."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.registry import Choice
from fathom.spec.load import builtin_studies, load_study
from fathom.spec.reader import read_yaml
from fathom.spec.resolved import difference
from fathom.spec.study import Study

RICH: dict[str, Any] = {
    "name": "no",
    "description": "true: 'quoted' #1\nand \U0001f600",
    "seeds": [0, 7],
    "data": {"name": ["mnist", "digits"], "limit": [None, 512], "validation_share": 1 / 6},
    "activation": [
        "relu",
        {"name": "leaky_relu", "slope": [0.01, 0.3]},
        {"name": "spline_sigmoid", "knots": [[-3, 0, 3], [-2, -1, 1, 2]], "outer_slope": None},
        {"per_layer": ["tanh", {"name": "leaky_relu", "slope": 0.5}]},
    ],
    "init": {"name": "he_normal", "factor": [0.5, 2], "mode": ["fan_in", "fan_avg"]},
    "model": {"hidden": [[64, 32], [16, 16]]},
    "train": {"lr": [1e-3, 1e-5, 3e20 / 1e18], "clip_norm": [None, 1.0], "optimizer": "adamw"},
    "exclude": [
        {"activation": "leaky_relu", "lr": 1e-3},
        {"init": {"name": "he_normal", "factor": 2, "mode": "fan_in"}, "hidden": [64, 32]},
    ],
    "overrides": [{"where": {"data": "digits"}, "set": {"schedule": "cosine", "batch_size": 8}}],
}


def load_back(study: Study) -> Study:
    return Study.from_node(read_yaml(study.resolved_yaml(), "resolved"), "resolved")


def assert_same(one: Study, other: Study) -> None:
    assert other == one
    assert other.digest == one.digest
    assert [(run.id, run.name) for run in other.runs()] == [(r.id, r.name) for r in one.runs()]
    assert other.resolved_yaml() == one.resolved_yaml()


def test_a_rich_study_loads_back() -> None:
    assert_same(Study(**RICH), load_back(Study(**RICH)))


@pytest.mark.parametrize("name", builtin_studies())
def test_a_built_in_study_loads_back(name: str) -> None:
    study = load_study(name)
    assert_same(study, load_back(study))


PRINTABLE = st.characters(exclude_categories=("Cc", "Cs"))


@settings(deadline=None, max_examples=100)
@given(st.text(PRINTABLE, min_size=1, max_size=200).filter(str.strip), st.text(PRINTABLE))
def test_any_text_loads_back(name: str, description: str) -> None:
    study = Study(data="digits", activation="relu", name=name, description=description)
    assert_same(study, load_back(study))


# Without subnormal numbers, which the tests flush to zero as workers do.
POSITIVE = st.floats(1e-300, 1e6, allow_subnormal=False)
SLOPE = st.floats(-1e6, 1e6, allow_subnormal=False)


@settings(deadline=None, max_examples=100)
@given(st.lists(POSITIVE, min_size=1, max_size=5, unique=True), SLOPE)
def test_any_number_loads_back(lr: list[float], slope: float) -> None:
    activation = Choice("leaky_relu", (("slope", slope),))
    study = Study(data="digits", activation=activation, train={"lr": lr})
    assert_same(study, load_back(study))


def test_a_resolved_study_names_every_default() -> None:
    plain = read_yaml(Study(data="digits", activation="relu").resolved_yaml(), "").plain()
    assert plain["train"]["optimizer"] == {
        "name": "sgd",
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
    }
    assert plain["data"]["seed"] == 42
    assert plain["init"]["factor"] == 2.0
    assert plain["model"] == {
        "name": "mlp",
        "depth": 5,
        "width": 128,
        "norm": "none",
        "skip": "none",
    }


def test_the_digest_ignores_form() -> None:
    forms = [
        "data: digits\nactivation: [relu, tanh]\ntrain: {lr: 0.01}\n",
        "activation: [relu, tanh]\n\n# a comment\ndata: {name: 'digits'}\n",
        "grid: {activation: [relu, tanh], data: digits, lr: 1e-2}\n",
        "data: digits\ngrid: {activation: [{name: relu}, tanh], train.lr: [0.010]}\nname: x\n",
    ]
    digests = {Study.from_node(read_yaml(text, ""), "").digest for text in forms}
    assert len(digests) == 1


def test_equal_studies_differ_in_nothing() -> None:
    study = Study(**RICH)
    assert difference(study.resolved_yaml(), load_back(study).resolved_yaml()) == []


def test_differences_are_lines() -> None:
    one = Study(data="digits", activation=["relu", "tanh"], seeds=2)
    other = Study(
        data="mnist",
        activation="relu",
        train={"lr": [0.01, 0.1], "optimizer": {"name": "sgd", "momentum": 0.9}},
        exclude=[{"lr": 0.1}],
        seeds=2,
    )
    assert difference(one.resolved_yaml(), other.resolved_yaml()) == [
        "activation: [relu, tanh] -> relu",
        "data.name: digits -> mnist",
        "train.lr: 0.01 -> [0.01, 0.1]",
        "train.optimizer.momentum: 0.0 -> 0.9",
        "exclude: [] -> [{train.lr: 0.1}]",
    ]


def test_a_setting_on_one_side_only() -> None:
    flat = Study(data="digits", activation="relu", model={"hidden": [8, 8]})
    assert difference(
        flat.resolved_yaml(), Study(data="digits", activation="relu").resolved_yaml()
    ) == [
        "model.hidden: [8, 8] -> absent",
        "model.depth: absent -> 5",
        "model.width: absent -> 128",
    ]


def test_a_damaged_study_is_a_line_too() -> None:
    (line,) = difference("a: [", Study(data="digits", activation="relu").resolved_yaml())
    assert line.startswith("one of the studies cannot be read: line 1: not valid YAML")
