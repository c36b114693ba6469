"""A study as users hold it: a grid of runs, checked before anything is spent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from pydantic import PrivateAttr, ValidationError

from fathom.errors import StudyError
from fathom.spec.arrange import apply_sets, merge_grid, spell_out
from fathom.spec.checks import Wrong
from fathom.spec.consistency import inconsistencies
from fathom.spec.expand import MAX_RUNS, expand
from fathom.spec.grid import Run
from fathom.spec.model import StudyModel
from fathom.spec.names import slug
from fathom.spec.nodes import Node, Plain, from_plain, show
from fathom.spec.problems import explain
from fathom.spec.resolved import study_digest, write_yaml
from fathom.spec.rules import Override

SMOKE: Final = {"train.epochs": 1, "data.limit": 512}


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a study came from, for messages; studies of different origin can be equal."""

    source: str = field(default="study", compare=False)
    root: Node = field(default_factory=lambda: Node({}), compare=False)


class Study(StudyModel):
    """A grid of runs.

    Args:
        settings: What a study file has, by keyword: `data="digits", activation=["relu"]`.

    Raises:
        StudyError: If something is wrong; the error lists all problems.

    >>> study = Study(data="digits", activation=["relu", "tanh"], model={"depth": [2, 5]}, seeds=3)
    >>> study.num_runs
    12
    """

    _origin: _Origin = PrivateAttr(default_factory=_Origin)

    def __init__(self, **settings: Plain) -> None:
        self._fill(from_plain(settings), "study")

    @classmethod
    def from_node(cls, root: Node, source: str, sets: Iterable[str] = ()) -> Self:
        """Check a study as it was written.

        Args:
            root: What was written.
            source: Where, for messages.
            sets: Texts such as `train.lr=0.1` that replace what was written.

        Raises:
            StudyError: If something is wrong; the error lists all problems.
        """
        study = cls.__new__(cls)
        study._fill(root, source, sets)
        return study

    @property
    def slug(self) -> str:
        """The study's name as the name of a folder."""
        return slug(self.name)

    @property
    def digest(self) -> str:
        """Content hash: 16 hexadecimal digits over everything that runs depend on."""
        return study_digest(self)

    @property
    def num_runs(self) -> int:
        """Number of runs; of a grid of more than 100,000, before exclusion."""
        count = self.num_grid_runs
        return count if count > MAX_RUNS or not self.exclude else len(self.runs())

    def runs(self, allow_runs: int | None = None) -> tuple[Run, ...]:
        """Make all runs: cells in the order of their axes, replicates innermost.

        Args:
            allow_runs: Largest number of runs that the user agreed to, when more than 100,000.

        Raises:
            StudyError: If there are none or too many, or two are the same, or one makes no sense.
        """
        try:
            return expand(self, allow_runs)
        except Wrong as wrong:
            origin = self._origin
            raise StudyError(
                origin.source, [origin.root.find(loc).problem(text) for loc, text in wrong.faults]
            ) from None

    def resolved_yaml(self) -> str:
        """Return the complete study as YAML 1.2 that loads back to the same study."""
        return write_yaml(self)

    def smoke(self) -> Self:
        """Return the same study made small: one epoch, 512 training samples, another name."""
        small = {
            "name": f"{self.name[:190]}-smoke",
            "train": self.train.model_copy(update={"epochs": (SMOKE["train.epochs"],)}),
            "data": self.data.model_copy(update={"limit": (SMOKE["data.limit"],)}),
            # Rules about epochs or the limit mean runs that are no longer there.
            "exclude": tuple(rule for rule in self.exclude if not rule.keys() & SMOKE.keys()),
            "overrides": tuple(_shrunk(self.overrides)),
        }
        return self.model_copy(update=small)

    def _fill(self, root: Node, source: str, sets: Iterable[str] = ()) -> None:
        if not root.is_mapping:
            what = "the file is empty" if root.value is None else f"got {show(root.plain())}"
            message = f"{what}; a study is a mapping of settings such as data: digits"
            raise StudyError(source, [root.problem(message)])
        problems = apply_sets(root, sets)
        spell_out(root)
        problems += merge_grid(root)
        try:
            self.__pydantic_validator__.validate_python(root.plain(), self_instance=self)
        except ValidationError as error:
            problems += explain(error, root, type(self))
        else:
            if not self.data.seed:  # frozen for users, not for the one who fills it
                self.__dict__["data"] = self.data.model_copy(update={"seed": (self.seed,)})
            problems += inconsistencies(self, root)
        if problems:
            raise StudyError(source, problems)
        self._origin = _Origin(source, root)


def _shrunk(overrides: Iterable[Override]) -> Iterable[Override]:
    for rule in overrides:
        settings = {path: value for path, value in rule.set.items() if path not in SMOKE}
        if settings and not rule.where.keys() & SMOKE.keys():
            yield Override(where=rule.where, set=settings)
