"""Finds and reads study files: the user's own by path, the built-in ones by name."""

import stat
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, NoReturn

from fathom.errors import Problem, StudyError, suggestion
from fathom.spec.nodes import Node, listed, printable
from fathom.spec.reader import MAX_BYTES, decode, read_yaml
from fathom.spec.study import Study

SUFFIXES: Final = (".yaml", ".yml")


def load_study(source: str | Path, *, sets: Sequence[str] = (), smoke: bool = False) -> Study:
    """Read and check a study; nothing is imported, trained or written.

    Args:
        source: Path of a study file, or the name of a built-in study.
        sets: Texts such as `train.lr=[1e-3,1e-2]` that replace what the file says.
        smoke: Make it small, to see whether it runs at all: one epoch, 512 training samples.

    Raises:
        StudyError: If there is no such study or something is wrong in it; all problems at once.
    """
    name = str(source)
    built_in = _built_in().get(name) if isinstance(source, str) else None
    raw = _read_file(source) if built_in is None else built_in.read_bytes()
    root = read_yaml(decode(raw, name), name)
    if root.is_mapping and "name" not in root.value:
        root.value["name"] = Node(Path(name).stem[:200], "name")
    study = Study.from_node(root, name, sets)
    return study.smoke() if smoke else study


def builtin_studies() -> dict[str, str]:
    """Return the names of the built-in studies with their descriptions."""
    found = {}
    for name, file in _built_in().items():
        root = read_yaml(file.read_text(encoding="utf-8"), name).plain()
        found[name] = " ".join(root.get("description", "").split())
    return found


def _built_in() -> dict[str, Traversable]:
    entries = (files("fathom") / "studies").iterdir()
    found = ((e.name.removesuffix(".yaml"), e) for e in entries if e.name.endswith(".yaml"))
    return dict(sorted(found))


def _read_file(source: str | Path) -> bytes:
    path = Path(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            _fail(source, "is a folder; give the study file in it")
        if not stat.S_ISREG(mode):
            _fail(source, "is not a file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _fail_missing(source)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        _fail(source, f"cannot be read: {reason}")


def _fail_missing(source: str | Path) -> NoReturn:
    path, built_in = Path(source), listed(_built_in())
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        near = [p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES]
        hint = suggestion(path.name, near)
        _fail(source, f"no such file.{hint} Built-in studies: {built_in}")
    hint = suggestion(path.name, _built_in())
    _fail(source, f"no such file and no built-in study of this name.{hint} Built in: {built_in}")


def _fail(source: str | Path, message: str) -> NoReturn:
    problem = Problem(key="", message=printable(message))
    raise StudyError(printable(str(source)), [problem]) from None
