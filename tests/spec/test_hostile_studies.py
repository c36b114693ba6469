"""Texts that nobody wrote by hand: whatever comes, there is a study or a message; and typos."""

import random
import re
import string
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.errors import FathomError, StudyError
from fathom.spec.keys import LEAVES, SHORT, part_model
from fathom.spec.model import StudyModel
from fathom.spec.reader import read_yaml
from fathom.spec.study import Study

STUDIES = [
    entry.read_text()
    for entry in (files("fathom") / "studies").iterdir()
    if entry.name.endswith(".yaml")
]
modest = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def survive(text: str) -> None:
    """Load a text; what loads must load back, what does not must have a printable message."""
    try:
        study = Study.from_node(read_yaml(text, "study.yaml"), "study.yaml")
        if study.num_grid_runs < 1_000:
            study.runs()
    except FathomError as error:
        str(error).encode()
        return
    again = Study.from_node(read_yaml(study.resolved_yaml(), "resolved"), "resolved")
    assert again == study


@modest
@given(st.text())
def test_any_text(text: str) -> None:
    survive(text)


@modest
@given(st.text(alphabet="[]{}:,-?!&*#|>'\"%@`\\ \n\tab01.~<=xU"))
def test_any_marks_of_yaml(text: str) -> None:
    survive(text)


PIECES = [
    *["", "[", "]", "{", "}", ":", ": ", "- ", "\n", "\n  ", "'", '"', "&a ", "*a", "!t ", "# "],
    *["0", "-1", "1e999", ".nan", "null", "true", "[]", "{}", "[1, 2]", "relu", "depth", "seed"],
    *["\u0435", "\U0001f600", "\u2028", "\x85"],
]
Edit = tuple[int, int, str]
EDITS = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(0, 12), st.sampled_from(PIECES)),
    min_size=1,
    max_size=4,
)


@modest
@given(st.sampled_from(STUDIES), EDITS)
def test_any_damage_to_a_study(text: str, edits: list[Edit]) -> None:
    for place, length, piece in edits:
        start = place % len(text)
        text = text[:start] + piece + text[start + length :]
    survive(text)


WORDS = ["relu", "leaky_relu", "spline_sigmoid", "he_normal", "sgd", "adam", "mnist", "arrays"]
KEYS = st.sampled_from([
    *[*LEAVES, *SHORT, "grid", "exclude", "overrides", "where", "set", "data", "model", "train"],
    *["record", "name", "per_layer", "factor", "slope", "knots", "momentum", "code", "outer_slope"],
])
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-3, 1_000)
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=4)
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@modest
@given(st.dictionaries(KEYS, TREE, max_size=5))
def test_any_settings_from_python(extra: dict[str, Any]) -> None:
    try:
        study = Study(**({"data": "digits", "activation": "relu"} | extra))
        if study.num_grid_runs < 1_000:
            study.runs()
    except FathomError as error:
        str(error).encode()


def typos(word: str) -> Iterator[str]:
    """Yield everything that one edit makes of a word."""
    letters = string.ascii_lowercase + "_"
    for i in range(len(word) + 1):
        head, tail = word[:i], word[i:]
        yield from (head + letter + tail for letter in letters)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in letters)
            yield head + tail[1:2] + tail[0] + tail[2:]


def test_the_right_key_is_suggested_for_a_typo() -> None:
    top = {*StudyModel.model_fields, "grid"}
    sections: list[tuple[str, set[str]]] = [("", top)]
    for part in top:
        model = part_model(part)
        if model is not None:
            sections.append((part, {*model.model_fields}))
    cases = [
        (part, key, typo)
        for part, keys in sorted(sections)
        for key in sorted(keys)
        for typo in sorted({*typos(key)} - keys - {""})
    ]
    sample = random.Random(0).sample(cases, 2_000)
    right = sum(suggested(part, typo) == key for part, key, typo in sample)
    assert right >= 0.95 * len(sample)


def suggested(part: str, typo: str) -> str:
    settings: dict[str, Any] = {"data": {"name": "digits"}, "activation": "relu"}
    (settings.setdefault(part, {}) if part else settings)[typo] = 1
    try:
        Study(**settings)
    except StudyError as error:
        found = re.search(r"Did you mean '(\w+)'\?", str(error))
        return found[1] if found else ""
    raise AssertionError(f"{part}.{typo} is taken for a key")
