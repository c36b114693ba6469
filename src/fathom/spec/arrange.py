"""Brings a study into one form before it is checked: resolves shorthands, `grid` and `--set`."""

import itertools
from collections.abc import Iterable, Iterator

from fathom.errors import Problem, StudyError
from fathom.spec.checks import Wrong
from fathom.spec.keys import LEAVES, PARTS, SHORTHANDS, resolve_axis, resolve_key, unknown_key
from fathom.spec.nodes import MAX_PROBLEMS, Node, show
from fathom.spec.reader import read_yaml

GRID = "grid"
RULES = ("exclude", "overrides")


def apply_sets(root: Node, sets: Iterable[str]) -> list[Problem]:
    """Put `--set key=value` into a study, replacing what the file says.

    Args:
        root: The study as it was written; changed in place.
        sets: Texts such as `train.lr=[1e-3,1e-2]`; a value is read as YAML.

    Returns:
        What is wrong with them.
    """
    problems: list[Problem] = []
    for text in sets:
        key, equals, value = text.partition("=")
        option = f"--set {key.strip()[:60]}"
        path = resolve_key(key.strip()) or key.strip()
        if not equals:
            message = "must be key=value, such as --set train.lr=0.1"
            problems.append(Node(None, option).problem(message))
        elif path not in {*LEAVES, *PARTS, *RULES}:
            message = unknown_key(path, [*LEAVES, *PARTS, *RULES])
            problems.append(Node(None, option).problem(message))
        else:
            try:
                node = read_yaml(value, "--set", path=option, places=False)
            except StudyError as error:
                problems += [Node(None, option).problem(p.message) for p in error.problems]
            else:
                whole = node.is_mapping and key.strip() in PARTS  # not the data set's name alone
                _replace(root, key.strip() if whole else path, node)
    return problems


def _replace(root: Node, path: str, node: Node) -> None:
    """Set one setting or part, and forget what the grid says about it."""
    grid = root.value.get(GRID)
    if grid is not None and grid.is_mapping:
        for key in list(grid.value):
            meant = resolve_key(key) or key
            if meant == path or meant.startswith(f"{path}."):
                del grid.value[key]
    spell_out(root)
    _put(root, path, node)


def spell_out(root: Node) -> None:
    """Turn `data: mnist` into a mapping with a name, and the same for other parts that allow it."""
    for part, path in SHORTHANDS.items():
        node = root.value.get(part)
        if node is not None and not node.is_mapping:
            name = Node(node.value, node.path, node.line, node.column)
            root.value[part] = Node(
                {path.partition(".")[2]: name}, node.path, node.line, node.column
            )


def merge_grid(root: Node) -> list[Problem]:
    """Move the entries of `grid` to the settings that they mean.

    Args:
        root: The study with its parts spelled out; changed in place.

    Returns:
        What is wrong with the grid.
    """
    grid = root.value.pop(GRID, None)
    if grid is None:
        return []
    if not grid.is_mapping:
        return [grid.problem(f"got {show(grid.value)}; must be a mapping such as depth: [5, 10]")]
    return list(itertools.islice(_merge(root, grid), MAX_PROBLEMS))


def _merge(root: Node, grid: Node) -> Iterator[Problem]:
    for key, node in grid.value.items():
        try:
            path = resolve_axis(key)
        except Wrong as wrong:
            yield node.problem(wrong.faults[0][1])
            continue
        there = _get(root, path)
        if there is None:
            _put(root, path, node)
        else:
            where = "" if there.line is None else f" in line {there.line}"
            yield node.problem(f"also given as {there.path}{where}; give it once")


def _get(root: Node, path: str) -> Node | None:
    part, _, name = path.rpartition(".")
    home = root.value.get(part) if part else root
    return home.value.get(name) if home is not None and home.is_mapping else None


def _put(root: Node, path: str, node: Node) -> None:
    """Put a setting into its part; a part that is no mapping is left for the checks to refuse."""
    part, _, name = path.rpartition(".")
    home = root.value.setdefault(part, Node({}, part, node.line, node.column)) if part else root
    if home.is_mapping:
        home.value[name] = node
