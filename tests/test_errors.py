"""Messages and suggestions."""

import string
from collections.abc import Iterator
from functools import cache

import pytest

from fathom.activations import ACTIVATIONS
from fathom.errors import (
    ComponentError,
    DataError,
    FathomError,
    Problem,
    StoreError,
    StudyError,
    edit_distance,
    suggestion,
)

NAMES = ACTIVATIONS.names()


@cache
def distance(a: str, b: str) -> int:
    """Optimal string alignment by its recursion, from the ends of the words."""
    if not a or not b:
        return len(a) + len(b)
    options = [
        distance(a[:-1], b) + 1,
        distance(a, b[:-1]) + 1,
        distance(a[:-1], b[:-1]) + (a[-1] != b[-1]),
    ]
    if len(a) > 1 and len(b) > 1 and a[-1] == b[-2] and a[-2] == b[-1]:
        options.append(distance(a[:-2], b[:-2]) + 1)
    return min(options)


def typos(name: str) -> Iterator[str]:
    """Make every word that is one edit away; of letters to insert, a few."""
    for i in range(len(name) + 1):
        head, tail = name[:i], name[i:]
        yield from (head + letter + tail for letter in "aexz_6")
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in "aexz_6")
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]


@pytest.mark.parametrize("name", NAMES)
def test_one_typo_finds_a_nearest_name(name: str) -> None:
    for typo in set(typos(name)) - set(NAMES):
        found = suggestion(typo, NAMES).removeprefix(" Did you mean '").removesuffix("'?")
        assert found in NAMES, typo
        nearest = min(distance(typo, known) for known in NAMES)
        assert distance(typo, found) == nearest <= 1, typo


@pytest.mark.parametrize("a", ["", "relu", "rleu", "hardswish", "abab", "ca"])
@pytest.mark.parametrize("b", ["", "elu", "relu6", "swish", "baba", "abc"])
def test_edit_distance_is_that_of_the_recursion(a: str, b: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == distance(a, b)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("RELU", " Did you mean 'relu'?"),
        ("leakyrelu", " Did you mean 'leaky_relu'?"),
        ("hard_swish", " Did you mean 'hardswish'?"),
        ("sigmoidal", " Did you mean 'sigmoid'?"),
        ("banana", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_suggestions_are_near_or_none(given: str, expected: str) -> None:
    assert suggestion(given, NAMES) == expected


def test_nothing_known_nothing_suggested() -> None:
    assert suggestion("relu", []) == ""


@pytest.mark.parametrize("letter", string.punctuation)
def test_a_name_of_one_odd_letter_is_harmless(letter: str) -> None:
    assert suggestion(letter, ["relu", "tanh"]) == ""


# Problems --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(key="train.lr", message="got 0", line=7, column=3), "line 7, train.lr: got 0"),
        (Problem(key="train.lr", message="got 0"), "train.lr: got 0"),
        (Problem(key="", message="is empty", line=1), "line 1: is empty"),
        (Problem(key="", message="is empty"), "is empty"),
    ],
)
def test_a_problem_names_its_place(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_study_error_lists_all_problems_in_the_order_of_the_file() -> None:
    late = Problem(key="b", message="late", line=12, column=1)
    early = Problem(key="a", message="early", line=7, column=9)
    first = Problem(key="a", message="first", line=7, column=2)
    error = StudyError("study.yaml", [late, early, first])
    assert error.problems == (first, early, late)
    assert str(error) == (
        "study.yaml: 3 problems\n  line 7, a: first\n  line 7, a: early\n  line 12, b: late"
    )
    assert str(StudyError("study", [late])).startswith("study: 1 problem\n")


@pytest.mark.parametrize("kind", [ComponentError, DataError, StoreError, StudyError])
def test_all_errors_of_users_are_of_one_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, FathomError)
    assert not issubclass(kind, (ValueError, OSError, KeyError))
