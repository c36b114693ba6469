"""What only a whole study can get wrong: contradictions, and rules that match nothing."""

from collections.abc import Iterator

from fathom.data.config import Source
from fathom.data.datasets import takers
from fathom.errors import Problem
from fathom.spec.keys import resolve_axis
from fathom.spec.model import StudyModel
from fathom.spec.names import labels
from fathom.spec.nodes import Node, Plain, listed
from fathom.spec.rules import Condition, meant_values

MAX_SHOWN = 12


def inconsistencies(study: StudyModel, root: Node) -> Iterator[Problem]:
    """Look for contradictions in a study whose settings are right one by one.

    Args:
        study: The study.
        root: The same as it was written, for places.
    """
    yield from _shape(study, root)
    yield from _source(study, root)
    yield from _precision(study, root)
    for index, condition in enumerate(study.exclude):
        yield from _unmatched(study, condition, root.find(("exclude", index)))
    for index, override in enumerate(study.overrides):
        rule = root.find(("overrides", index))
        yield from _unmatched(study, override.where, rule.find(("where",)))
        yield from _unused(study, override.set, rule.find(("set",)))


def _shape(study: StudyModel, root: Node) -> Iterator[Problem]:
    given = study.model.model_fields_set
    if "hidden" in given and given & {"depth", "width"}:
        yield root.find(("model", "hidden")).problem("give hidden, or depth and width, not both")


def _source(study: StudyModel, root: Node) -> Iterator[Problem]:
    """Find settings that mean nothing to any data set of the study."""
    names = {*study.data.name, *(rule.set.get("data.name") for rule in study.overrides)}
    for setting in Source._fields:
        able = takers(setting)
        if getattr(study.data, setting) and not names & {*able}:
            plural = "s" if len(able) > 1 else ""
            those = f"data set{plural} {listed(map(repr, able))} take{'' if plural else 's'}"
            message = f"only {those} {setting}, not {listed(study.data.name)}"
            yield root.find(("data", setting)).problem(message)


def _precision(study: StudyModel, root: Node) -> Iterator[Problem]:
    if study.engine == "reference" and study.precision != "float64":
        written = "precision" if "precision" in study.model_fields_set else "engine"
        message = "engine reference computes in float64; set precision: float64"
        yield root.find((written,)).problem(message)


def _unmatched(study: StudyModel, condition: Condition, rule: Node) -> Iterator[Problem]:
    """Find values in a condition that no run has."""
    axes = study.axes()
    for key, node in rule.value.items():
        path = resolve_axis(key)
        values = axes.get(path, ())
        idle = [p for p in condition[path] if not meant_values(path, (p,), values)]
        if idle:
            yield node.problem(f"{_written(path, idle)} matches no run; {_has(path, values)}")


def _unused(study: StudyModel, settings: dict[str, Plain], rule: Node) -> Iterator[Problem]:
    """Find settings of the other way to give the network's shape."""
    axes = study.axes()
    for key, node in rule.value.items():
        if resolve_axis(key) not in axes:
            way = "hidden" if study.model.hidden else "depth and width"
            yield node.problem(f"has no effect: the study gives {way}")


def _has(path: str, values: tuple[Plain, ...]) -> str:
    if not values:
        return f"the study does not use {path}"
    more = f" and {len(values) - MAX_SHOWN} more" if len(values) > MAX_SHOWN else ""
    return f"the study has {_written(path, list(values[:MAX_SHOWN]))}{more}"


def _written(path: str, values: list[Plain]) -> str:
    return listed(labels(path, values).values())
