"""Everything that a user can cause, with the sentence that a user reads.

One tree: the command line prints the text of a `FathomError` and exits with 2; nothing else is
caught, so that a traceback always means a fault of ours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class FathomError(Exception):
    """A user's mistake or misfortune; the text says what was given, what is allowed, what to do."""


class DataError(FathomError):
    """A data set is missing, damaged or not of the form that was promised."""


class StoreError(FathomError):
    """A results folder cannot be used: it belongs to another study, is damaged or unwritable."""


class ComponentError(FathomError):
    """A name is not in its registry, or a component got a parameter that it cannot take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a study.

    Attributes:
        key: Dotted path as the user wrote it, such as `grid.activation[2]`; empty for the file.
        message: What was given, what is allowed, what to do.
        line: Line in the file, counted from 1; None when the study did not come from a file.
        column: Column in the line, counted from 1.
    """

    key: str
    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}"
        where = ", ".join(part for part in (place, self.key) if part)
        return f"{where}: {self.message}" if where else self.message


class StudyError(FathomError):
    """All problems of one study, found before anything ran.

    Args:
        source: The file's path as the user gave it, or a description such as `study`.
        problems: At least one.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda p: (p.line or 0, p.column or 0)))
        count = len(self.problems)
        title = f"{source}: {count} problem{'' if count == 1 else 's'}"
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))


def edit_distance(a: str, b: str) -> int:
    """Count the insertions, deletions, substitutions and swaps of neighbours from `a` to `b`.

    Source: optimal string alignment, the restricted Damerau-Levenshtein distance.

    >>> edit_distance("rellu", "relu"), edit_distance("geul", "gelu")
    (1, 1)
    """
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def suggestion(given: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, or nothing when none is near.

    Returns:
        A sentence with a leading space, such as ` Did you mean 'relu'?`, or an empty text.

    >>> suggestion("rellu", ["elu", "relu", "tanh"])
    " Did you mean 'relu'?"
    >>> suggestion("banana", ["elu", "relu", "tanh"])
    ''
    """
    given = given[:64]  # the distance is quadratic, and nobody mistypes a name of this length
    ranked = sorted((edit_distance(given.lower(), name.lower()), name) for name in known)
    if not ranked or ranked[0][0] > max(1, len(given) // 3):
        return ""
    return f" Did you mean '{ranked[0][1]}'?"
