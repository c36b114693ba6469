"""A study's folder: what is committed in it, who works on what, and how it is read.

    <out>/<study>/  study.yaml  plan.json  training.log  manifest  lock  quarantine/
                    cohorts/<id>/  epochs.parquet  layers.parquet  runs.parquet  histograms.parquet
                                   scores.parquet  units.parquet  weights.safetensors
                                   surfaces.safetensors  lock  state  state.previous

Only what the manifest lists exists. A cohort is committed once, all its files first, its record
last, and not changed again. Every file is compared with its hash before anything parses it; one
that is damaged goes to the quarantine, and its cohort is to be computed anew.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self, final

import polars as pl
from torch import Tensor

from fathom.errors import StoreError, suggestion
from fathom.store import manifest, opening, tables, tensors, texts
from fathom.store.cohorts import Cohorts
from fathom.store.commit import write_all
from fathom.store.fingerprint import Fingerprint, bits_digest
from fathom.store.integrity import Damage
from fathom.store.ledger import WEIGHTS, Ledger
from fathom.store.locks import wait_for_lock
from fathom.store.manifest import Record
from fathom.store.tables import TableName
from fathom.surfaces import Surface

NO_SURFACES: Final[Mapping[str, Surface]] = MappingProxyType({})
_MANIFEST = "manifest"


@final
class StudyFolder:
    """The results of one study on disk; made by `open`, `join` or `read_only`.

    Any number of processes may hold one for the same folder.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, ledger: Ledger, *, writable: bool) -> None:
        self.path = path
        self._ledger = ledger
        self._cohorts = Cohorts(path, ledger, writable=writable)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        study_yaml: str,
        study_digest: str,
        fingerprint: Fingerprint,
        allow_mixed: bool = False,
        describe_difference: opening.Describe = opening.line_difference,
    ) -> Self:
        """Create a study's folder, or open it to go on.

        Args:
            path: The folder; made with its parents when missing.
            study_yaml: The resolved study as text.
            study_digest: Digest of what the study means; a folder holds one study.
            fingerprint: From `fingerprint.machine_fingerprint`.
            allow_mixed: Go on even if results come from a machine where other bits may come out.
            describe_difference: Tells what differs between two studies' texts, old and new.

        Returns:
            The folder; its `damages` tell what had to be set aside.

        Raises:
            StoreError: If the folder belongs to another study or machine, holds something else, or
                cannot be written; or if the file system has no locks.
        """
        ledger = Ledger(path / _MANIFEST, study_digest, bits_digest(fingerprint))
        folder = cls(path, ledger, writable=True)
        with opening.prepared(path, ledger):
            note = folder._cohorts.note
            note(*opening.set_aside_odd_manifest(path, ledger))
            opening.require_same_study(path, ledger, study_yaml, describe_difference)
            if not allow_mixed:
                opening.require_same_machine(path, ledger, fingerprint)
            note(*manifest.mend(ledger.path))
            note(*opening.sign(ledger, fingerprint))
            note(*texts.put_text(path, ledger, opening.STUDY_FILE, study_yaml))
            opening.tidy(path, ledger)
        return folder

    @classmethod
    def join(cls, path: Path, *, fingerprint: Fingerprint) -> Self:
        """Open for writing a folder that `open` has prepared for this machine, as a worker does.

        Raises:
            StoreError: If the folder was not opened for a machine with this fingerprint.
        """
        study = cls.read_only(path).study_digest
        ledger = Ledger(path / _MANIFEST, study, bits_digest(fingerprint))
        if ledger.machine not in ledger.machines():
            raise StoreError(f"{path}: was not opened for a machine like this one")
        return cls(path, ledger, writable=True)

    @classmethod
    def read_only(cls, path: Path) -> Self:
        """Open a folder for reading; nothing is written, and runners may be at work in it.

        Raises:
            StoreError: If it is no results folder.
        """
        ledger = Ledger(path / _MANIFEST, "", "")
        studies = [] if path.is_file() else sorted(ledger.studies())
        if len(studies) != 1:
            raise StoreError(
                f"{path}: is not a results folder: it has no readable manifest of one study; "
                "give the folder that `fathom run` wrote, the one with study.yaml in it"
            )
        ledger.study = studies[0]
        return cls(path, ledger, writable=False)

    @property
    def study_digest(self) -> str:
        """Digest of the study that the folder belongs to."""
        return self._ledger.study

    @property
    def fingerprints(self) -> dict[str, Record]:
        """Fingerprints, by the digest that each cohort's record has under `machine`."""
        return self._ledger.machines()

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What this object has found damaged so far, each thing once."""
        return tuple(self._cohorts.damages)

    @contextmanager
    def claim(self, cohort_id: str) -> Iterator[bool]:
        """Try to own a cohort until the end of the block.

        Ask `committed` again inside: another process may have finished it a moment before.

        Args:
            cohort_id: The cohort.

        Yields:
            True when it is ours; False when another process, or another block, has it.

        Raises:
            StoreError: If its folder cannot be made or locked.
        """
        with self._cohorts.claim(cohort_id) as mine:
            yield mine

    def commit_cohort(
        self,
        cohort_id: str,
        frames: Mapping[TableName, pl.DataFrame],
        weights: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        surfaces: Mapping[str, Surface] = NO_SURFACES,
    ) -> None:
        """Make a claimed cohort's results permanent, then drop its checkpoints.

        Committing the same numbers again changes nothing.

        Args:
            cohort_id: The cohort, claimed by this object.
            frames: `epochs`, `layers`, `runs` and, if recorded, `histograms`, `scores`, `units`.
            weights: Named `<run_id>/<best|last>/<name>`, see `models.mlp.MLP`; may be empty.
            meta: Anything else to remember, as JSON values.
            surfaces: Decision surfaces by run id, of runs on the same data; may be empty.

        Raises:
            StoreError: If it cannot be written, or a run was committed before with other numbers.
            ValueError: If a table is not of its schema.
        """
        self._cohorts.commit(cohort_id, frames, weights, meta, surfaces)
        self.drop_state(cohort_id)

    def save_state(self, cohort_id: str, state: Mapping[str, Tensor], *, data: str) -> None:
        """Save a checkpoint of a claimed cohort; the one before it is kept too.

        Args:
            cohort_id: The cohort.
            state: Everything from which training goes on.
            data: Digest of the data that it was computed from.

        Raises:
            StoreError: If it cannot be written.
        """
        folder = self._cohorts.held_folder(cohort_id)
        tensors.save_checkpoint(folder, cohort_id, self._ledger.machine, data, state)

    def load_state(self, cohort_id: str, *, data: str) -> dict[str, Tensor] | None:
        """Load a claimed cohort's newest whole checkpoint that a machine like this made.

        Args:
            cohort_id: The cohort.
            data: Digest of the data that it must have been computed from.

        Raises:
            StoreError: If a damaged checkpoint cannot be set aside.
        """
        folder = self._cohorts.held_folder(cohort_id)
        machine = self._ledger.machine
        state, damages = tensors.load_checkpoint(self.path, folder, cohort_id, machine, data)
        self._cohorts.note(*damages)
        return state

    def state_data(self, cohort_id: str) -> set[str]:
        """Return digests of the data that a cohort's whole checkpoints were computed from.

        Nobody needs to have claimed the cohort.
        """
        return tensors.checkpoint_data(self._cohorts.folder(cohort_id), cohort_id)

    def drop_state(self, cohort_id: str) -> None:
        """Forget the checkpoints of a claimed cohort."""
        tensors.drop_checkpoints(self._cohorts.held_folder(cohort_id))

    def write_text(self, name: str, text: str) -> None:
        """Put a text file such as `plan.json` beside the study, listed with its hash.

        Raises:
            StoreError: If it cannot be written.
            ValueError: If the name is not a plain file name.
        """
        with wait_for_lock(self.path / opening.LOCK):
            self._cohorts.note(*texts.put_text(self.path, self._ledger, name, text))

    def first_text(self, name: str, text: str) -> str:
        """Put a text file unless there is a whole one, and return what it holds now.

        Raises:
            StoreError: If it cannot be written.
            ValueError: If the name is not a plain file name.
        """
        with wait_for_lock(self.path / opening.LOCK):
            kept = self.read_text(name)
            if kept is None:
                self._cohorts.note(*texts.put_text(self.path, self._ledger, name, text))
        return text if kept is None else kept

    def read_text(self, name: str) -> str | None:
        """Return a text file that `write_text` put, or None when it is missing or damaged.

        Raises:
            StoreError: If the manifest cannot be read.
        """
        return texts.read_text(self.path, self._ledger, name)

    def log(self, line: str) -> None:
        """Add a line to `training.log`; a log that cannot be written stops nothing."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with suppress(OSError):
            descriptor = os.open(self.path / "training.log", flags | os.O_CLOEXEC, 0o666)
            try:
                write_all(descriptor, f"{line.rstrip()}\n".encode())
            finally:
                os.close(descriptor)

    def committed(self) -> dict[str, Record]:
        """Return the record of each cohort that is done: listed, and all its files as they were.

        A damaged cohort is set aside (by a writer), noted in `damages`, and left out.

        Returns:
            Records by cohort id, in order of commit; each has `runs`, `files`, `machine`, `meta`.

        Raises:
            StoreError: If the manifest cannot be read, or a damaged file cannot be moved.
        """
        return self._cohorts.committed()

    def table(self, name: TableName) -> pl.DataFrame:
        """Return one table over all cohorts, sorted by run, epoch and layer.

        Raises:
            StoreError: If the manifest or a file cannot be used.
        """
        return self.tables(name)[name]

    def tables(self, *names: TableName) -> dict[TableName, pl.DataFrame]:
        """Return several tables over the same runs, each file hashed before it is parsed.

        A run that two cohorts hold is taken from the one that was committed first.

        Raises:
            StoreError: If the manifest or a file cannot be used.
        """
        return self._cohorts.tables(names)

    def surfaces(self, runs: Collection[str] | None = None) -> dict[str, Surface]:
        """Return the decision surfaces that were kept, by run id; each file hashed first.

        Args:
            runs: Ids of the runs that are wanted; all when omitted.

        Raises:
            StoreError: If the manifest or a file cannot be used.
        """
        return self._cohorts.surfaces(runs)

    def weights(self, run_id: str, which: Literal["best", "last"]) -> dict[str, Tensor]:
        """Return one run's weights, reading no other run's.

        Args:
            run_id: The run.
            which: Of which epoch.

        Returns:
            `layers.<l>.weight` and the like, as `models.mlp.MLP` names and lays them out.

        Raises:
            StoreError: If the run is not done or its weights were not kept.
        """
        known: set[str] = set()
        for cohort_id, record in self.committed().items():
            known |= record["runs"].keys()
            if run_id in record["runs"] and WEIGHTS in record["files"]:
                path = self._cohorts.folder(cohort_id) / WEIGHTS
                if found := tensors.read_member(path, f"{run_id}/{which}/"):
                    return found
        if run_id in known:
            raise StoreError(f"{self.path}: the {which} weights of run {run_id} were not kept")
        hint = suggestion(run_id, known)
        raise StoreError(f"{self.path}: has no finished run '{run_id[:80]}'.{hint}")

    def verify(self) -> list[Damage]:
        """Hash everything that the manifest lists, change nothing, and return what is damaged.

        Raises:
            StoreError: If the manifest cannot be read.
        """
        damages = [
            Damage(path=_MANIFEST, problem=f"damaged record ({len(piece)} bytes)")
            for piece in manifest.read(self._ledger.path).damages
        ]
        problems = texts.text_problems(self.path, self._ledger)
        damages += [Damage(path=name, problem=problem) for name, problem in problems.items()]
        for cohort_id, record in self._ledger.cohorts().items():
            damages += self._cohorts.broken(cohort_id, record, again=True)
        return damages

    def canonical_digest(self) -> str:
        """Hash all numbers that a repetition must give again, bit for bit.

        Independent of which runs were trained together, of the order of commits, and of times.

        Returns:
            A sha256 over the rows of `epochs`, `layers` and `runs`.

        Raises:
            StoreError: If the manifest or a file cannot be used.
        """
        return tables.study_digest_of(tables.run_digests(self.tables(*tables.CANONICAL)))
