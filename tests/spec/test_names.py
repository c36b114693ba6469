"""Names of folders, runs and values."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.registry import Choice
from fathom.spec.names import labels, run_names, slug, text_of

HOSTILE = [
    "../../etc/passwd",
    "/absolute",
    "a\0b",
    "%2e%2e",
    "．．／",
    "CON",
    "nul.txt",
    "com1",
    "trailing. ",
    ".hidden",
    "-option",
    "x" * 300,
    "new\nline",
    "\u202eright-to-left",
    "",
    " ",
    "\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_becomes_a_harmless_folder(name: str) -> None:
    folder = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", folder)
    assert len(folder) <= 80
    assert not re.fullmatch(r"(con|nul|com1)(\..*)?", folder, re.IGNORECASE)


def test_a_harmless_name_stays_as_it_is() -> None:
    assert slug("he-factor_2.5") == "he-factor_2.5"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("study", "Study"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("a b", "a-b"),
        ("x" * 90, "x" * 91),
    ],
)
def test_twins_stay_apart_even_where_case_is_ignored(one: str, other: str) -> None:
    assert slug(one).lower() != slug(other).lower()


@given(st.text(max_size=100))
def test_slugs_are_safe_and_stable(name: str) -> None:
    folder = slug(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", folder)
    assert slug(folder) == folder


@given(st.lists(st.floats(allow_nan=False, allow_subnormal=False), max_size=20))
def test_different_numbers_read_differently(values: list[float]) -> None:
    different = {*values}
    assert len({text_of(value) for value in different}) == len(different)


def test_near_numbers_read_differently() -> None:
    assert (text_of(0.1), text_of(0.1 + 1e-12)) == ("0.1", repr(0.1 + 1e-12))


def test_labels_show_what_differs_and_what_is_not_the_default() -> None:
    small, large = Choice("leaky_relu", (("slope", 0.1),)), Choice("leaky_relu")
    assert labels("activation", [small, Choice("relu")]) == {
        small: "leaky_relu(slope=0.1)",
        Choice("relu"): "relu",
    }
    assert labels("activation", [small, large])[large] == "leaky_relu(slope=0.01)"


def test_long_names_of_runs_are_cut_and_stay_unique() -> None:
    cells = [[("activation", "x" * 100)], [("activation", "x" * 100)]]
    # The first six digits are the same: the rest must tell the two apart.
    names = run_names(cells, [0, 0], ["aaaaaa0000000000", "aaaaaa1111111111"])
    assert len({*names}) == 2
    assert all(len(name) <= 80 for name in names)


@given(st.text(max_size=120))
def test_names_of_runs_are_safe(text: str) -> None:
    (name,) = run_names([[("activation", text), ("train.lr", text)]], [0], ["0123456789abcdef"])
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name)
