"""Imports point down the list in docs/architecture.md, and importing the package stays cheap."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fathom"
ARCHITECTURE = ROOT / "docs" / "architecture.md"

# Whatever the list says: what they may be imported by.
ONLY_IMPORTED_BY = {"reference": {"engine"}}
MAY_IMPORT_NOTHING = {"reference"}
# The package's own __init__ offers what api holds; nothing below may look at it.
FACE = "__init__"

HEAVY = {
    "fathom": ["ray", "matplotlib", "plotly", "sklearn"],
    "fathom.cli": ["torch", "polars", "pydantic", "matplotlib", "ray", "plotly", "sklearn"],
}


def entries(text: str) -> list[list[str]]:
    """Read the layout block, line by line, such as `[["cli.py"], ["plan.py", "figures/"]]`."""
    block = re.search(r"^## Layout\n.*?\n((?:    \S.*\n)+)", text, re.MULTILINE | re.DOTALL)
    assert block is not None, "docs/architecture.md has no layout block"
    lines = []
    for line in block[1].splitlines():
        columns = re.split(r"\s{2,}", line.strip())
        lines.append([*takewhile(re.compile(r"[a-z_]+(/|\.py)").fullmatch, columns)])
    return lines


def layout(text: str) -> dict[str, float]:
    """Rank the parts of the package by name; the smallest is the top."""
    lines = enumerate(entries(text), 1)
    ranks: dict[str, float] = {stem(entry): rank for rank, line in lines for entry in line}
    return ranks | {FACE: ranks["api"] - 0.5}


def stem(entry: str) -> str:
    return entry.removesuffix("/").removesuffix(".py")


def imported_modules(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of every import, those inside functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{name.name}") for name in node.names)


def imported_part(module: str, package: Path) -> str | None:
    """Name the part that an imported module falls under; None for other packages."""
    top, *path = module.split(".")
    if top != package.name:
        return None if top else module
    is_part = path and ((package / path[0]).is_dir() or (package / f"{path[0]}.py").exists())
    return path[0] if is_part else FACE


def problems(package: Path, ranks: dict[str, float]) -> list[str]:
    """Return a sentence for each file without a place and each import that points elsewhere."""
    found = []
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        part = stem(name.parts[0])
        if part not in ranks:
            found.append(f"{name}: '{part}' is not in the layout of docs/architecture.md")
            continue
        for line, module in imported_modules(file):
            target = imported_part(module, package)
            if target is None or (target == part and len(name.parts) > 1):
                continue
            down = target in ranks and ranks[target] > ranks[part]
            allowed = part in ONLY_IMPORTED_BY.get(target, {part})
            if not down or not allowed or part in MAY_IMPORT_NOTHING:
                found.append(f"{name}:{line}: {part} may not import {module}")
    return found


@pytest.fixture(scope="module")
def ranks() -> dict[str, float]:
    return layout(ARCHITECTURE.read_text())


def test_the_layout_is_read_from_the_document(ranks: dict[str, float]) -> None:
    assert ranks["cli"] < ranks["api"] < ranks["engine"] < ranks["spec"] < ranks["errors"]
    assert ranks["initializers"] == ranks["losses"] == ranks["schedules"]
    assert ranks["initializers"] < ranks["theory"] < ranks["activations"]
    assert "run" not in ranks  # a description, not an entry


def test_the_document_writes_parts_as_they_are() -> None:
    written = {entry for line in entries(ARCHITECTURE.read_text()) for entry in line}
    files = (path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != FACE)
    parts = {path.relative_to(PACKAGE).parts[0] for path in files}
    assert parts - {entry.removesuffix("/") for entry in written} == set()


def test_imports_point_down(ranks: dict[str, float]) -> None:
    assert problems(PACKAGE, ranks) == []


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("seeds.py", "from fathom.spec.grid import Run", "seeds may not import fathom.spec"),
        ("seeds.py", "from fathom import losses", "seeds may not import fathom.losses"),
        ("losses/base.py", "import fathom.schedules", "losses may not import fathom.schedules"),
        ("records.py", "from fathom.seeds import generator", "records may not import fathom.seeds"),
        ("errors.py", "from fathom.registry import Choice", "errors may not import fathom.regi"),
        ("seeds.py", "def f():\n    import fathom.data.config", "may not import fathom.data"),
        ("data/config.py", "from fathom.spec import grid", "data may not import fathom.spec.grid"),
        ("data/config.py", "from ..spec import grid", "data may not import ..spec.grid"),
        ("spec/grid.py", "from fathom import __version__", "may not import fathom.__version__"),
        ("spec/grid.py", "from fathom.reference import mlp", "spec may not import"),
        ("reference/mlp.py", "from fathom.errors import DataError", "reference may not import"),
        ("stray.py", "import math", "stray.py: 'stray' is not in the layout"),
        ("corner/new.py", "import math", "new.py: 'corner' is not in the layout"),
    ],
)
def test_a_planted_import_is_caught(
    ranks: dict[str, float], tmp_path: Path, file: str, line: str, told: str
) -> None:
    package = tmp_path / "fathom"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "reference").mkdir(exist_ok=True)
    before = problems(package, ranks)
    planted = package / file
    planted.parent.mkdir(exist_ok=True)
    planted.touch()
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    new = [problem for problem in problems(package, ranks) if problem not in before]
    assert len(new) == 1
    assert told in new[0]


def test_the_engine_may_import_the_reference(ranks: dict[str, float], tmp_path: Path) -> None:
    package = tmp_path / "fathom"
    (package / "reference").mkdir(parents=True)
    (package / "reference" / "mlp.py").write_text("from fathom.reference import losses\n")
    (package / "engine.py").write_text("from fathom.reference import mlp\n")
    (package / "api.py").write_text("from fathom.reference import mlp\n")
    assert problems(package, ranks) == ["api.py:1: api may not import fathom.reference.mlp"]


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in HEAVY
        if imported_part(name, PACKAGE) == name.rpartition(".")[2] or name == "fathom"
    ],
)
def test_importing_is_cheap(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert {*HEAVY[module]} & {*done.stdout.split()} == set()
