"""A digest of code changes when the function does, and only then."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType

import pytest
import torch

from fathom.activations import ACTIVATIONS, Activation
from fathom.code_digest import digest_code
from fathom.initializers import INITIALIZERS, Initializer
from fathom.registry import Choice

BASE = """
import math, torch
FACTOR = 2.0
SHIFT = 1.5
def helper(h):
    return torch.sin(h)
def outer():
    inside = 3.0
    def phi(h, power=2):
        # as it was
        if FACTOR in {1.0, "a", "b", "c"}:
            return h
        return FACTOR * helper(h) ** power + (lambda x: x + SHIFT - 0.25)(h) * inside
    return phi
phi = outer()
"""


def phi_of(text: str) -> FunctionType:
    namespace: dict[str, object] = {"__name__": "user_module"}
    exec(text, namespace)
    found = namespace["phi"]
    assert isinstance(found, FunctionType)
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FACTOR = 2.0", "FACTOR = 2.5"),
        ("FACTOR = 2.0", "FACTOR = torch.tensor(2.0)"),
        ("torch.sin", "torch.cos"),
        ("inside = 3.0", "inside = 3"),
        ("power=2", "power=3"),
        ("SHIFT = 1.5", "SHIFT = 2.5"),
        ("- 0.25", "- 0.75"),
        ("- 0.25", "+ 0.25"),
        ('"c"', '"d"'),
        ("return h\n", "return -h\n"),
        ("phi = outer()", "import functools\ndef phi(h, f=functools.partial(outer, 1)): pass"),
    ],
)
def test_any_change_changes_it(old: str, new: str) -> None:
    assert old in BASE
    assert digest_code(phi_of(BASE)) != digest_code(phi_of(BASE.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# as it was", "# said otherwise\n"),
        ("inside", "within"),
        ("import math, torch", "\n\nimport torch, math\nOTHER = 1"),
    ],
)
def test_no_change_of_meaning_keeps_it(old: str, new: str) -> None:
    assert digest_code(phi_of(BASE)) == digest_code(phi_of(BASE.replace(old, new)))


def test_it_is_the_same_in_another_process(tmp_path: Path) -> None:
    """Sets among the constants are ordered by hashes, which differ from process to process."""
    (tmp_path / "user_module.py").write_text(BASE)
    code = (
        "from user_module import phi\n"
        "from fathom.code_digest import digest_code\n"
        "print(digest_code(phi))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest_code(phi_of(BASE))


def test_state_of_objects_counts() -> None:
    steep, flat = torch.nn.LeakyReLU(0.1), torch.nn.LeakyReLU(0.2)
    assert digest_code(steep) != digest_code(flat)
    assert digest_code(steep) == digest_code(torch.nn.LeakyReLU(0.1))
    assert digest_code(torch.sin) != digest_code(torch.cos)


def test_functions_that_call_each_other_come_to_an_end() -> None:
    text = "def phi(h): return other(h)\ndef other(h): return phi(h)"
    assert digest_code(phi_of(text)) == digest_code(phi_of(text))
    assert digest_code(phi_of(text)) != digest_code(phi_of(text.replace("return phi(h)", "1")))


WITH_CLASS = """
import torch
class Base:
    def rate(self): return 1
class Part(torch.nn.Module, Base):
    size = 4
    def __init__(self):
        super().__init__()
    @staticmethod
    def fixed(): return 5
    @property
    def wide(self): return 6
    def forward(self, x): return Part.fixed() * x
def phi(h): return Part()(h)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 1", "return 2"),
        ("size = 4", "size = 3"),
        ("return 5", "return 7"),
        ("return 6", "return 7"),
        ("* x", "+ x"),
        ("torch.nn.Module, Base", "torch.nn.Module"),
        ("super().__init__()", "super().__init__(); self.new = 1"),
    ],
)
def test_a_class_counts_by_what_it_holds(old: str, new: str) -> None:
    assert old in WITH_CLASS
    changed = WITH_CLASS.replace(old, new, 1)
    assert digest_code(phi_of(WITH_CLASS)) != digest_code(phi_of(changed))
    told = WITH_CLASS.replace("size = 4", "# a comment\n    size = 4")
    assert digest_code(phi_of(WITH_CLASS)) == digest_code(phi_of(told))


@dataclass(frozen=True)
class Mode:
    kind: str


def test_components_count_by_what_they_compute() -> None:
    def normal(**params: float) -> Initializer:
        return INITIALIZERS.build(Choice("normal", tuple(params.items())))

    def leaky(slope: float) -> Activation:
        return ACTIVATIONS.build(Choice("leaky_relu", (("slope", slope),)))

    assert digest_code(normal(std=3.0)) != digest_code(normal(std=4.0))
    assert digest_code(leaky(0.1)) != digest_code(leaky(0.2))
    assert digest_code(leaky(0.1)) == digest_code(replace(leaky(0.1), formula="other words"))
    assert digest_code(Mode("a")) != digest_code(Mode("b"))  # a user's texts may decide
