"""Components that a user adds: parameters without annotations, required ones, functions by path."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fathom.activations import register_callable
from fathom.registry import Choice, Registry
from fathom.spec.checks import Wrong
from fathom.spec.components import Component
from fathom.spec.own_modules import allow, allowed
from fathom.spec.reader import read_yaml
from fathom.spec.study import Study


def needs(size: int, bias=0.5, *, name: str = "x") -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Need a size."""
    return f"{size} {bias} {name}"


THINGS = Component(Registry("thing", (needs,)))


def test_a_required_parameter() -> None:
    assert THINGS.many({"name": "needs", "size": 3}) == (Choice("needs", (("size", 3),)),)
    with pytest.raises(Wrong, match="thing 'needs' needs size"):
        THINGS.many("needs")
    with pytest.raises(Wrong, match="must be an integer"):
        THINGS.many({"name": "needs", "size": 3.0})


def test_a_parameter_without_annotation_takes_anything_plain() -> None:
    found = THINGS.many({"name": "needs", "size": 1, "bias": [1, 0.5, "a", True]})
    assert [dict(choice.params).get("bias") for choice in found if isinstance(choice, Choice)] == [
        1,
        None,  # the default is not written
        "a",
        True,
    ]
    with pytest.raises(
        Wrong, match="got an empty mapping; must be true or false or an integer or a"
    ):
        THINGS.many({"name": "needs", "size": 1, "bias": {}})


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # both versions come in one second
    yield tmp_path / "my_functions.py"
    sys.modules.pop("my_functions", None)


def run_id(module: Path, body: str, **settings: str) -> str:
    sys.modules.pop("my_functions", None)
    module.write_text(
        "import torch\n"
        f"def phi(h):\n    return torch.tanh(h) * {body}\n"
        f"def fill(tensor, generator):\n    tensor.fill_(1 / {body})\n"
    )
    study = Study(data="digits", **{"activation": "relu", **settings})
    assert Study.from_node(read_yaml(study.resolved_yaml(), "again"), "again") == study
    return study.runs()[0].id


OWN = pytest.mark.parametrize(("kind", "name"), [("activation", "phi"), ("init", "fill")])
COMMENTED = "(2  # a comment\n    )"


@OWN
def test_an_allowed_path_is_a_run_of_its_code(module: Path, kind: str, name: str) -> None:
    allow("my_functions")
    assert allowed() == ("my_functions",)
    own = {kind: f"my_functions:{name}"}
    first = run_id(module, "2", **own)
    assert first == run_id(module, COMMENTED, **own)
    assert first != run_id(module, "3", **own)


@OWN
def test_an_installed_component_is_a_run_of_its_code(
    module: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    groups = {"activation": "fathom.activations", "init": "fathom.initializers"}
    point = EntryPoint("installed", f"my_functions:{name}", groups[kind])
    monkeypatch.setattr(
        "fathom.registry.entry_points", lambda group: [point] if group == point.group else []
    )
    first = run_id(module, "2", **{kind: "installed"})
    assert first == run_id(module, COMMENTED, **{kind: "installed"})
    assert first != run_id(module, "3", **{kind: "installed"})


def test_a_function_from_python_is_a_run_of_its_code() -> None:
    def twice(h: Tensor) -> Tensor:
        return 2 * torch.sin(h)

    choice = register_callable(twice, name="spec_test_twice")
    study = Study(data="digits", activation=["relu", choice])
    run = study.runs()[1]
    assert run.model.activation[0] == choice
    assert dict(run.cell)["activation"] == "spec_test_twice"
    assert Study.from_node(read_yaml(study.resolved_yaml(), "again"), "again") == study
