"""A study from Python: planned, then trained into a folder."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Self, final

import polars as pl
import torch

from fathom.api.job import Job
from fathom.api.loss_steps import planned_steps
from fathom.api.own import with_choices, without_arrays
from fathom.api.predicted_runs import predict_runs
from fathom.api.results import Results
from fathom.data.datasets import measure
from fathom.data.npz import npz_name
from fathom.engine.precision import require_precision
from fathom.errors import DataError, FathomError
from fathom.execution.base import DeviceName
from fathom.execution.progress import Display
from fathom.execution.session import (
    Conditions,
    ExecutorName,
    free_device_bytes,
    num_cores,
    workplace,
)
from fathom.losses import LossStep
from fathom.plan import Plan, make_plan
from fathom.spec import own_modules
from fathom.spec import study as spec
from fathom.spec.grid import Run
from fathom.spec.load import load_study

Folder = str | PathLike[str]
Folders = Folder | Sequence[Folder]


@final
class Study:
    """A grid of networks to train: every setting is a value, or a list to sweep over.

    Args:
        settings: What a study file has, by keyword. Beyond a file, `activation` may hold functions
            of a tensor, and `data` may be arrays: `(x, y)`, `(x_train, y_train, x_test, y_test)`
            or, with more settings, `{"arrays": (x, y), "scaling": "standard"}`.

    Attributes:
        spec: The study as it was checked.

    Raises:
        FathomError: If something is wrong; the text lists all problems.

    >>> study = Study(data="digits", activation=["relu", "tanh"], model={"depth": [2, 5]}, seeds=3)
    >>> study.num_runs
    12
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - whatever a study file can say
        settings, self._arrays = without_arrays(settings)
        self.spec = spec.Study(**with_choices(settings))

    @classmethod
    def load(
        cls,
        source: Folder,
        *,
        set: Mapping[str, Any] | Sequence[str] = (),
        smoke: bool = False,
    ) -> Self:
        """Read a study file, or a study that comes with the package.

        Args:
            source: Path of a file, or the name of a built-in study.
            set: Settings that replace what the file says: `{"train.lr": [0.01, 0.1]}` or texts
                such as `train.lr=[0.01, 0.1]`.
            smoke: Make it small, to see whether it runs at all: one epoch, 512 training samples.

        Raises:
            FathomError: If there is no such study or something is wrong in it.
        """
        if isinstance(set, Mapping):
            set = [f"{key}={json.dumps(value)}" for key, value in set.items()]
        where = source if isinstance(source, str) else Path(source)
        study = cls.__new__(cls)
        study._arrays = None
        study.spec = load_study(where, sets=set, smoke=smoke)
        return study

    @property
    def name(self) -> str:
        """What the study is called."""
        return self.spec.name

    @property
    def num_runs(self) -> int:
        """Number of networks to train."""
        return self.spec.num_runs

    def runs(self, *, allow_runs: int | None = None) -> tuple[Run, ...]:
        """Return every run with all its settings.

        Args:
            allow_runs: Largest number of runs that you agree to, when more than 100,000.

        Raises:
            FathomError: If there are none or too many, or one makes no sense.
        """
        return self.spec.runs(allow_runs)

    def plan(
        self,
        *,
        workers: int | None = None,
        data_dir: Folders = (),
        allow_runs: int | None = None,
    ) -> Plan:
        """Group the runs into cohorts and estimate memory and time; nothing is trained.

        Args:
            workers: Processes to plan for; one for each core when omitted.
            data_dir: Folder or folders where data sets are looked for.
            allow_runs: Largest number of runs that you agree to, when more than 100,000.

        Raises:
            FathomError: If the study, its data or a folder cannot be used.
        """
        with self._data_folders(data_dir) as folders:
            return _plan(self.runs(allow_runs=allow_runs), workers, folders)

    def predict(self, *, data_dir: Folders = (), allow_runs: int | None = None) -> pl.DataFrame:
        """Predict every run before training: gradient span with its spread, verdict, and why.

        Data that are not on this machine are not downloaded; a standardised input is assumed then.

        Args:
            data_dir: Folder or folders where data sets are looked for.
            allow_runs: Largest number of runs that you agree to, when more than 100,000.

        Returns:
            One row for each run, see `fathom.api.predicted_runs.predict_runs`.

        Raises:
            FathomError: If the study, its data or a folder cannot be used.
        """
        with self._data_folders(data_dir) as folders:
            return predict_runs(self.runs(allow_runs=allow_runs), folders)

    def loss_steps(
        self, *, data_dir: Folders = (), allow_runs: int | None = None
    ) -> tuple[LossStep, ...]:
        """Tell how far each loss steps at its rate, by which losses at one rate differ.

        Args:
            data_dir: Folder or folders where data sets are looked for.
            allow_runs: Largest number of runs that you agree to, when more than 100,000.

        Raises:
            FathomError: If the study, its data or a folder cannot be used.
        """
        with self._data_folders(data_dir) as folders:
            return planned_steps(self.runs(allow_runs=allow_runs), folders)

    def run(
        self,
        out: Folder = "results",
        *,
        workers: int | None = None,
        data_dir: Folders = (),
        progress: bool | Display = True,
        executor: ExecutorName = "auto",
        address: str | None = None,
        device: DeviceName = "cpu",
        allow_runs: int | None = None,
        allow_mixed: bool = False,
        checkpoint_every_s: float = 30.0,
    ) -> Results:
        """Train every run that has no result yet, measure every layer, and keep it all in a folder.

        Interrupted, or called again, it goes on where it stopped.

        Args:
            out: The results go to a folder of the study's name in this folder.
            workers: Processes; one for each core when omitted.
            data_dir: Folder or folders where data sets are looked for.
            progress: Whether to show a bar, or what shows the progress.
            executor: Where networks are trained; `auto` chooses, `ray` is many machines.
            address: Of the Ray cluster for executor `ray`, as `host:port` or `auto`; it starts one
                of its own on this machine when omitted.
            device: Where to compute: `cpu`, or `cuda` for one GPU with as many runs at once as its
                memory holds.
            allow_runs: Largest number of runs that you agree to, when more than 100,000.
            allow_mixed: Go on with results from another machine, where the last digits may differ.
            checkpoint_every_s: Least time between two saved states; 0 saves after every epoch.

        Returns:
            The results; `missing` names runs that could not be computed.

        Raises:
            FathomError: If the study, its data or a folder cannot be used.
        """
        with self.prepare(
            out,
            workers=workers,
            data_dir=data_dir,
            executor=executor,
            address=address,
            device=device,
            allow_runs=allow_runs,
            allow_mixed=allow_mixed,
            checkpoint_every_s=checkpoint_every_s,
        ) as job:
            job.open()
            return job.train(progress)

    @contextmanager
    def prepare(
        self,
        out: Folder,
        *,
        workers: int | None,
        data_dir: Folders,
        executor: ExecutorName,
        address: str | None,
        device: DeviceName,
        allow_runs: int | None,
        allow_mixed: bool,
        checkpoint_every_s: float,
    ) -> Iterator[Job]:
        """Plan the study, to be trained within the block; the arguments are those of `run`.

        Raises:
            FathomError: If the study, its data or a folder cannot be used.
        """
        runs = self.runs(allow_runs=allow_runs)
        with (
            self._data_folders(data_dir) as folders,
            workplace(executor, address, workers, device) as num_workers,
        ):
            yield Job(
                study=self.spec,
                arrays=self._arrays,
                runs=runs,
                plan=_plan(runs, num_workers, folders, device),
                path=Path(out) / self.spec.slug,
                allow_mixed=allow_mixed,
                conditions=Conditions(
                    data_folders=folders,
                    allowed_modules=own_modules.allowed(),
                    executor=executor,
                    address=address,
                    num_workers=workers,
                    device=device,
                    checkpoint_every_s=checkpoint_every_s,
                ),
            )

    @contextmanager
    def _data_folders(self, given: Folders) -> Iterator[tuple[Path, ...]]:
        """Check the user's folders, and add one for the study's arrays while it is used.

        Raises:
            DataError: If a folder is none.
        """
        listed = [given] if isinstance(given, str | PathLike) else given
        folders = tuple(Path(folder) for folder in listed)
        for folder in folders:
            if not folder.is_dir():
                raise DataError(
                    f"{folder}: no such folder; --data-dir names one that holds data sets"
                )
        if self._arrays is None:
            yield folders
            return
        with tempfile.TemporaryDirectory(prefix="fathom-") as scratch:
            (Path(scratch) / npz_name(self._arrays)).write_bytes(self._arrays)
            yield (Path(scratch), *folders)


def allow(module: str) -> None:
    """Let studies take activations, initializers and networks from a module: `module:function`.

    Only you can say this, a study file cannot: importing a module runs its code.

    Args:
        module: Its full name, such as `my_package.activations`.
    """
    own_modules.allow(module)


def _plan(
    runs: Sequence[Run],
    workers: int | None,
    folders: Sequence[Path],
    device: DeviceName = "cpu",
) -> Plan:
    count = num_cores() if workers is None else workers
    if count < 1:
        raise FathomError(f"workers: got {workers}; must be an integer >= 1")
    for precision in {run.precision for run in runs}:
        require_precision(precision, torch.device(device))
    device_bytes = free_device_bytes() if device == "cuda" else None
    sizes = partial(measure, folders=folders)
    return make_plan(runs, sizes, workers=count, device_bytes=device_bytes)
