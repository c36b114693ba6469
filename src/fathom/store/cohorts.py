"""Cohorts on disk: who owns one, how it is committed, whether it is still as it was, its tables."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import polars as pl
from torch import Tensor

from fathom.errors import StoreError
from fathom.store.commit import commit, make_folder, read_file, remove_leftovers
from fathom.store.integrity import Checker, Damage, set_aside
from fathom.store.ledger import SURFACES, WEIGHTS, Ledger, is_cohort_id
from fathom.store.locks import try_lock
from fathom.store.manifest import Record
from fathom.store.opening import COHORTS, LOCK
from fathom.store.tables import (
    TableName,
    check_table,
    from_parquet,
    join_tables,
    run_digests,
    to_parquet,
)
from fathom.store.tensors import array_bytes, read_arrays, tensor_bytes
from fathom.surfaces import Surface, pack, unpack


@final
class Cohorts:
    """The cohorts of one study's folder.

    Args:
        root: The study's folder.
        ledger: Its manifest.
        writable: Whether damaged files may be moved.

    Attributes:
        damages: What was found damaged, each thing once.
    """

    def __init__(self, root: Path, ledger: Ledger, *, writable: bool) -> None:
        self.root = root
        self.damages: list[Damage] = []
        self._ledger = ledger
        self._writable = writable
        self._checker = Checker()
        self._held: set[str] = set()

    def folder(self, cohort_id: str) -> Path:
        """Return a cohort's folder.

        Raises:
            ValueError: If the id cannot name one.
        """
        if not is_cohort_id(cohort_id):
            raise ValueError(f"{cohort_id!r} cannot be a cohort's id")
        return self.root / COHORTS / cohort_id

    def held_folder(self, cohort_id: str) -> Path:
        """Return the folder of a cohort that this object has claimed."""
        assert self._writable, "the folder was opened for reading"
        assert cohort_id in self._held, f"cohort {cohort_id} was not claimed"
        return self.folder(cohort_id)

    @contextmanager
    def claim(self, cohort_id: str) -> Iterator[bool]:
        """Try to own a cohort until the end of the block.

        Yields:
            True when it is ours.

        Raises:
            StoreError: If its folder cannot be made or locked.
        """
        folder = self.folder(cohort_id)
        make_folder(folder)
        with try_lock(folder / LOCK) as mine:
            if not mine:
                yield False
                return
            remove_leftovers(folder)
            self._held.add(cohort_id)
            try:
                yield True
            finally:
                self._held.discard(cohort_id)

    def commit(
        self,
        cohort_id: str,
        frames: Mapping[TableName, pl.DataFrame],
        weights: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        surfaces: Mapping[str, Surface],
    ) -> None:
        """Make a claimed cohort's results permanent: the files first, their record last.

        Args:
            cohort_id: The cohort.
            frames: Its tables.
            weights: Its weights by name; may be empty.
            meta: Anything else to remember.
            surfaces: Its decision surfaces by run id; may be empty.

        Raises:
            StoreError: If it cannot be written, or a run was committed before with other numbers.
            ValueError: If a table is not of its schema.
        """
        folder = self.held_folder(cohort_id)
        for name, frame in frames.items():
            check_table(name, frame)
        runs = run_digests(frames)
        parts = {f"{name}.parquet": to_parquet(frame) for name, frame in frames.items()}
        if weights:
            parts[WEIGHTS] = tensor_bytes(weights)
        if surfaces:
            parts[SURFACES] = array_bytes(pack(surfaces))
        self._require_same_numbers(cohort_id, runs, parts.get(WEIGHTS, b""))
        if cohort_id in self.committed():
            return
        files = {
            name: {"sha256": commit(folder / name, data), "size": len(data)}
            for name, data in parts.items()
        }
        fields = {"cohort": cohort_id, "files": files, "runs": runs, "meta": dict(meta)}
        self.note(*self._ledger.append("cohort", **fields))

    def _require_same_numbers(
        self, cohort_id: str, runs: Mapping[str, str], weights: bytes
    ) -> None:
        weights_hash = hashlib.sha256(weights).hexdigest() if weights else None
        for past in self._ledger.past_commits():
            both = runs.keys() & past["runs"].keys()
            changed = [f"run {run_id}" for run_id in both if runs[run_id] != past["runs"][run_id]]
            same_cohort = past["cohort"] == cohort_id and past["runs"].keys() == runs.keys()
            if same_cohort and past["files"].get(WEIGHTS, {}).get("sha256") != weights_hash:
                changed.append("the weights")
            if changed:
                raise StoreError(
                    f"{self.root}: cohort {cohort_id}: {min(changed)} came out other than what a "
                    "machine like this one committed before; nothing was changed. Numbers that do "
                    "not repeat point to faulty memory or a changed program: run into a new folder "
                    "and compare"
                )

    def committed(self) -> dict[str, Record]:
        """Return the record of each cohort that is listed and whose files are as they were.

        Raises:
            StoreError: If the manifest cannot be read, or a damaged file cannot be moved.
        """
        done = {}
        for cohort_id, record in self._ledger.cohorts().items():
            if self.broken(cohort_id, record):
                self._reject(cohort_id, record)
            else:
                done[cohort_id] = record
        return done

    def tables(self, names: Sequence[TableName]) -> dict[TableName, pl.DataFrame]:
        """Return tables over the same runs, sorted by their keys.

        Raises:
            StoreError: If the manifest or a file cannot be used.
        """
        parts: dict[TableName, list[pl.DataFrame]] = {name: [] for name in names}
        seen: set[str] = set()
        for cohort_id, record in self.committed().items():
            loaded = self._load(cohort_id, record, names)
            new = record["runs"].keys() - seen
            seen |= new if loaded else set()
            for name, frame in loaded.items():
                parts[name].append(frame.filter(pl.col("run_id").is_in(list(new))))
        return {name: join_tables(name, frames) for name, frames in parts.items()}

    def surfaces(self, runs: Collection[str] | None = None) -> dict[str, Surface]:
        """Return the decision surfaces that were kept, by run id.

        Args:
            runs: Ids of the runs that are wanted; all when omitted. No other cohort's file is read.

        Raises:
            StoreError: If the manifest or a file cannot be used.
        """
        found: dict[str, Surface] = {}
        for cohort_id, record in self.committed().items():
            wanted = record["runs"].keys() & (record["runs"] if runs is None else {*runs})
            wanted -= found.keys()  # the first commit of a run counts
            data = self._whole(cohort_id, record, SURFACES) if wanted else None
            if data is not None:
                with _told(self.folder(cohort_id) / SURFACES):
                    found |= unpack(read_arrays(data), wanted)
        return found

    def broken(self, cohort_id: str, record: Record, *, again: bool = False) -> list[Damage]:
        """Compare a cohort's files with their hashes.

        Args:
            cohort_id: The cohort.
            record: Its record.
            again: Hash files even if they look unchanged since they were hashed last.

        Returns:
            What is damaged or missing.

        Raises:
            StoreError: If this process cannot read at all.
        """
        folder = self.folder(cohort_id)
        problems = {
            folder / name: self._checker.problem(folder / name, entry["sha256"], again=again)
            for name, entry in record["files"].items()
        }
        return [
            Damage(path=path.relative_to(self.root).as_posix(), problem=problem)
            for path, problem in problems.items()
            if problem
        ]

    def _load(
        self, cohort_id: str, record: Record, names: Sequence[TableName]
    ) -> dict[TableName, pl.DataFrame]:
        """Read those of a cohort's tables that it has; none at all if one of them is damaged.

        Raises:
            StoreError: If a file has its hash and yet is no such table.
        """
        loaded = {}
        for name in names:
            file = f"{name}.parquet"
            if file not in record["files"]:
                continue
            data = self._whole(cohort_id, record, file)
            if data is None:
                return {}
            with _told(self.folder(cohort_id) / file):
                loaded[name] = from_parquet(name, data)
        return loaded

    def _whole(self, cohort_id: str, record: Record, file: str) -> bytes | None:
        """Read one of a cohort's files if it is as it was; otherwise the cohort is rejected."""
        if file not in record["files"]:
            return None
        data = _bytes_with_hash(self.folder(cohort_id) / file, record["files"][file]["sha256"])
        if data is None:
            self._reject(cohort_id, record)
        return data

    def note(self, *damages: Damage) -> None:
        """Remember damages, each one once."""
        self.damages += [damage for damage in damages if damage not in self.damages]

    def _reject(self, cohort_id: str, record: Record) -> None:
        """Note what is damaged; a writer also moves it away, so that it is computed anew."""
        if not self._writable:
            if self._ledger.cohorts().get(cohort_id) == record:
                self.note(*self.broken(cohort_id, record, again=True))
        elif cohort_id in self._held:
            self._withdraw(cohort_id)
        else:
            with self.claim(cohort_id) as mine:
                if mine:  # otherwise its owner is at work on it
                    self._withdraw(cohort_id)

    def _withdraw(self, cohort_id: str) -> None:
        record = self._ledger.cohorts().get(cohort_id)  # it may have been committed anew meanwhile
        broken = self.broken(cohort_id, record, again=True) if record else []
        for damage in broken:
            self.note(set_aside(self.root, self.root / damage.path, damage.problem))
        if broken:
            self.note(*self._ledger.append("withdrawn", cohort=cohort_id))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name a file that has its hash and yet is not what it should be.

    Raises:
        StoreError: In place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise StoreError(f"{path}: {error}") from error


def _bytes_with_hash(path: Path, sha256: str) -> bytes | None:
    try:
        data = read_file(path)
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None
