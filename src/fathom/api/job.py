"""A study on its way to results: planned, then its folder opened, then trained."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import final

from rich.console import Console

from fathom.api.description import describe_plan, describe_runs, read_grouping
from fathom.api.results import Results
from fathom.data.datasets import measure
from fathom.data.npz import npz_name
from fathom.execution.progress import Display, choose_display
from fathom.execution.session import Conditions, carry_out, require_data, tasks_of
from fathom.execution.worker import fingerprint, finished_runs
from fathom.plan import Plan, make_plan
from fathom.spec import study as spec
from fathom.spec.grid import Run
from fathom.spec.resolved import difference
from fathom.store.commit import commit
from fathom.store.results import StudyFolder


@final
@dataclass(slots=True, kw_only=True)
class Job:
    """What it takes to train a study; made by `Study.prepare`.

    The steps are apart so that of several studies none is trained before all are known to be good.

    Attributes:
        study: The study as it was checked.
        arrays: Content of the `.npz` file with the user's arrays, if any.
        runs: All runs.
        plan: Their cohorts.
        path: The results folder.
        allow_mixed: Whether results from another machine may be gone on with.
        conditions: Where and how it is trained.
    """

    study: spec.Study
    arrays: bytes | None
    runs: tuple[Run, ...]
    plan: Plan
    path: Path
    allow_mixed: bool
    conditions: Conditions
    _folder: StudyFolder | None = field(default=None, init=False)

    def open(self) -> None:
        """Make or open the results folder, and check the data; nothing is trained.

        Raises:
            FathomError: If the folder or the data cannot be used.
        """
        folder = StudyFolder.open(
            self.path,
            study_yaml=self.study.resolved_yaml(),
            study_digest=self.study.digest,
            fingerprint=fingerprint(self.conditions.device),
            allow_mixed=self.allow_mixed,
            describe_difference=difference,
        )
        if self.arrays is not None:
            commit(folder.path / npz_name(self.arrays), self.arrays)
        folder.write_text("runs.json", describe_runs(self.study.name, self.runs))
        self._group_as_before(folder)
        require_data(
            tasks_of(self.plan, finished_runs(folder), folder.path, self.conditions), folder
        )
        self._folder = folder

    def train(self, progress: bool | Display) -> Results:
        """Train every run that has no result yet; the folder is open.

        Args:
            progress: Whether to show a bar, or what shows the progress.

        Raises:
            FathomError: If the data or the folder cannot be used.
        """
        assert self._folder is not None, "the folder was not opened"
        if isinstance(progress, bool):
            progress = choose_display(Console(stderr=True), quiet=not progress)
        carry_out(self.plan, self._folder, self.conditions, progress)
        return Results.open(self._folder.path)

    def _group_as_before(self, folder: StudyFolder) -> None:
        """Keep to the first plan's cohorts: by them, states are found and work is shared."""
        ours = json.dumps(describe_plan(self.plan), indent=1)
        first = folder.first_text("plan.json", ours)
        if first != ours:
            self.plan = make_plan(
                self.runs,
                partial(measure, folders=self.conditions.data_folders),
                workers=self.plan.workers,
                rate=self.plan.rate,
                device_bytes=self.plan.device_bytes,
                grouping=read_grouping(first),
            )
