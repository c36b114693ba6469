"""Study files: forms in which they are written, settings from the command line, smoke runs."""

import os
from pathlib import Path

import pytest

from fathom.spec.keys import SHORT, SHORTHANDS
from fathom.spec.load import builtin_studies, load_study
from fathom.spec.reader import resolve_scalar
from fathom.spec.study import Study

BASE = "data: mnist\nactivation: relu\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(folder: Path, text: str, *sets: str, smoke: bool = False) -> Study:
    (folder / "a study.yaml").write_text(text, encoding="utf-8")
    return load_study("a study.yaml", sets=sets, smoke=smoke)


def test_the_name_is_the_files_stem(folder: Path) -> None:
    assert load(folder, BASE).name == "a study"
    assert load(folder, BASE).slug.startswith("a-study-")
    assert load(folder, BASE + "name: mine\n").name == "mine"


def test_a_path_object_is_a_file_and_never_a_built_in(folder: Path) -> None:
    (folder / "digits").write_text(BASE)
    assert load_study("digits").data.name == ("digits",)
    assert load_study(Path("digits")).data.name == ("mnist",)


def test_a_byte_order_mark_and_foreign_line_ends(folder: Path) -> None:
    (folder / "study.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_study("study.yaml").data.name == ("mnist",)


def test_json_is_yaml(folder: Path) -> None:
    assert load(folder, '{"data": "mnist", "activation": ["relu", "tanh"]}').num_runs == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("010", 10),
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("0o17", "0o17"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("True", True),
        ("Null", None),
        ("-.inf", float("-inf")),
        ("${HOME}", "${HOME}"),
        ("9" * 401, "9" * 401),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = resolve_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_a_grid_is_the_same_as_lists_in_place(folder: Path) -> None:
    inline = load(folder, "data: mnist\nactivation: [relu, tanh]\ntrain: {lr: [0.1, 0.2]}\n")
    grid = load(folder, "grid: {data: [mnist], activation: [relu, tanh], train.lr: [0.1, 0.2]}\n")
    assert grid == inline


@pytest.mark.parametrize("short", [*SHORT, *SHORTHANDS])
def test_short_names_do_not_collide_with_keys_of_the_file(short: str) -> None:
    assert short in {*SHORTHANDS} or SHORT[short].rpartition(".")[2] == short
    assert short not in {"name", "seed"}  # of a study, of its data, of its model


def test_settings_from_the_command_line_replace_those_of_the_file(folder: Path) -> None:
    text = BASE + "train: {lr: 0.5}\ngrid: {depth: [5, 10], batch_size: [8, 16]}\n"
    study = load(folder, text, "train.lr=[1e-3, 1e-2]", "depth=3", "name=other", "seeds=2")
    assert study.train.lr == (0.001, 0.01)
    assert study.model.depth == (3,)
    assert study.train.batch_size == (8, 16)
    assert (study.name, study.num_runs) == ("other", 8)


def test_a_part_from_the_command_line(folder: Path) -> None:
    text = "data: {name: mnist, scaling: none}\nactivation: relu\ngrid: {limit: [5, 6]}\n"
    renamed = load(folder, text, "data=digits").data
    assert (renamed.name, renamed.scaling, renamed.limit) == (("digits",), ("none",), (5, 6))
    replaced = load(folder, text, "data={name: digits}").data
    assert (replaced.name, replaced.scaling, replaced.limit) == (("digits",), ("unit",), (None,))


def test_components_and_rules_from_the_command_line(folder: Path) -> None:
    study = load(
        folder,
        BASE,
        "optimizer={name: sgd, momentum: 0.9}",
        "activation=[relu, tanh]",
        "exclude=[{activation: tanh}]",
    )
    assert [run.model.activation[0].name for run in study.runs()] == ["relu"]
    assert study.runs()[0].train.optimizer.params == (("momentum", 0.9),)


def test_smoke_makes_a_study_small(folder: Path) -> None:
    text = BASE + (
        "train: {epochs: [50, 100]}\n"
        "exclude: [{epochs: 50}]\n"
        "overrides:\n"
        "  - {where: {activation: relu}, set: {epochs: 200, lr: 0.3}}\n"
        "  - {where: {activation: relu}, set: {limit: 9}}\n"
        "  - {where: {epochs: 100}, set: {lr: 0.4}}\n"
    )
    study = load(folder, text, smoke=True)
    (run,) = study.runs()
    assert study.name == "a study-smoke"
    assert (run.train.epochs, run.data.limit, run.train.lr) == (1, 512, 0.3)
    assert study.digest != load(folder, text).digest
    (folder / "resolved.yaml").write_text(study.resolved_yaml())
    assert load_study("resolved.yaml") == study


def test_loading_writes_nothing_and_reads_only_the_file(folder: Path) -> None:
    load(folder, "data: {name: arrays, path: /nowhere/at/all.npz}\nactivation: relu\n").runs()
    assert os.listdir(folder) == ["a study.yaml"]


def test_built_in_studies_describe_themselves() -> None:
    described = builtin_studies()
    assert [*described] == sorted(described)
    assert all(20 < len(text) < 120 for text in described.values())
