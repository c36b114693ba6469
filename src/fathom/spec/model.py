"""The whole of a study as validated data: settings, axes and rules."""

import math
from collections.abc import Sequence
from typing import Annotated

from fathom.spec.keys import AXES
from fathom.spec.nodes import Plain
from fathom.spec.rules import BySetting, Condition, Override, OverrideCheck, Several
from fathom.spec.settings import StudySettings


class StudyModel(StudySettings):
    """Settings common to all runs, axes, and the rules that make exceptions."""

    exclude: Annotated[tuple[Condition, ...], Several(BySetting(single=False))] = ()
    """Cells to leave out; each rule names settings with the value or values that are meant."""
    overrides: Annotated[tuple[Override, ...], Several(OverrideCheck())] = ()
    """Other settings for some cells; each rule has where and set."""

    @property
    def replicates(self) -> Sequence[int]:
        """Numbers of the replicates of every cell."""
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds

    def axes(self) -> dict[str, tuple[Plain, ...]]:
        """Return the values of every setting that runs may differ in, by dotted path.

        Of `hidden` and the pair of `depth` and `width`, only what is in use.
        """
        unused = {"model.depth", "model.width"} if self.model.hidden else {"model.hidden"}
        return {path: self._values(path) for path in AXES if path not in unused}

    @property
    def num_grid_runs(self) -> int:
        """Runs of the whole grid, replicates included, before anything is excluded."""
        return math.prod(map(len, self.axes().values())) * len(self.replicates)

    def _values(self, path: str) -> tuple[Plain, ...]:
        part, _, name = path.rpartition(".")
        values: tuple[Plain, ...] = getattr(getattr(self, part) if part else self, name)
        return values
