"""Nothing in the package can turn a stranger's bytes into running code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

# Documented exceptions: path below src and the construct, such as "fathom/x.py: pickle".
# Messages between the nodes of a Ray cluster are packed so: they never touch a disk, and whoever
# can send one to a node can run code there anyway, which is why Ray asks every node for its token.
EXCEPTIONS = frozenset({"fathom/execution/ray.py: pickle", "fathom/execution/node.py: pickle"})

FORBIDDEN_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "yaml.load", "os.system", "os.popen"}
FORBIDDEN_METHODS = {"extractall"}
FORBIDDEN_SETTINGS = {"allow_pickle", "shell"}  # unless they are plainly False


def dotted(node: ast.expr) -> str:
    """Write `torch.load` for the function of a call; other forms are empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{name.name}" for name in node.names)
    else:
        yield from (name.name for name in node.names)


def called(node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    if name in FORBIDDEN_CALLS:
        yield name
    if isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS:
        yield node.func.attr
    for keyword in node.keywords:
        is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in FORBIDDEN_SETTINGS and not is_off:
            yield str(keyword.arg)


def dangers(text: str) -> list[str]:
    """Name every forbidden construct in a source text."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [*imported(node)]
            found += [name for name in names if name in FORBIDDEN_CALLS]
            found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.Call):
            found += called(node)
    return found


def test_the_package_has_none() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 10
    found = {
        f"{f.relative_to(SOURCE)}: {danger}" for f in files for danger in dangers(f.read_text())
    }
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    ("text", "danger"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from pickle import loads", "pickle.loads"),
        ("import joblib as j", "joblib"),
        ("from torch import load", "torch.load"),
        ("torch.load(path, weights_only=True)", "torch.load"),
        ("yaml.load(text)", "yaml.load"),
        ("np.load(path, allow_pickle=True)", "allow_pickle"),
        ("np.load(path, allow_pickle=flag)", "allow_pickle"),
        ("eval(text)", "eval"),
        ("x = [exec(t) for t in texts]", "exec"),
        ("tarfile.open(path).extractall(folder)", "extractall"),
        ("subprocess.run(text, shell=True)", "shell"),
        ("os.system(text)", "os.system"),
    ],
)
def test_a_planted_danger_is_named(text: str, danger: str) -> None:
    assert dangers(text) == [danger]


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        '"""Never pickle, never eval()."""',
        "np.load(p, allow_pickle=False)",
        "re.compile(x)",
    ],
)
def test_harmless_code_passes(text: str) -> None:
    assert dangers(text) == []
