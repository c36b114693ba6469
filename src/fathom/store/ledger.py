"""What the manifest's records mean: which study, which machines, which cohorts, which texts.

Kinds of records, each naming its study and the machine (the digest of the fingerprint) behind it:

* `study`: a machine began to work on the study; holds the fingerprint and the format's version.
* `text`: a text file such as `study.yaml` is about to get this hash.
* `cohort`: a cohort's files with their hashes, and a digest of each run's numbers.
* `withdrawn`: a cohort's files were found damaged; until it is committed again it is not done.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

from fathom.errors import StoreError
from fathom.store import manifest
from fathom.store.integrity import Damage
from fathom.store.manifest import Record

FORMAT: Final = 1
WEIGHTS: Final = "weights.safetensors"
SURFACES: Final = "surfaces.safetensors"
_NEEDED_FILES: Final = frozenset({"epochs.parquet", "layers.parquet", "runs.parquet"})
_FURTHER_FILES: Final = {"histograms.parquet", "scores.parquet", "units.parquet", WEIGHTS, SURFACES}
COHORT_FILES: Final = _NEEDED_FILES | _FURTHER_FILES
_COHORT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_TEXT_NAME = re.compile(r"[0-9a-z_-]{1,60}\.[a-z]{1,8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_cohort_id(text: str) -> bool:
    """Tell whether a text can be a cohort's id, and with it the name of a folder.

    >>> is_cohort_id("0123456789abcdef"), is_cohort_id("../other")
    (True, False)
    """
    return _COHORT_ID.fullmatch(text) is not None


def is_text_name(text: str) -> bool:
    """Tell whether a text can be the name of a text file of a study.

    >>> is_text_name("plan.json"), is_text_name("/etc/passwd")
    (True, False)
    """
    return _TEXT_NAME.fullmatch(text) is not None


@final
class Ledger:
    """The records of one study's manifest.

    Args:
        path: The manifest.
        study: Digest of the study, written into each record.
        machine: Digest of this machine's fingerprint, likewise.
    """

    def __init__(self, path: Path, study: str, machine: str) -> None:
        self.path = path
        self.study = study
        self.machine = machine
        self._seen: tuple[int, int, int] | None = None
        self._records: tuple[Record, ...] = ()

    def records(self) -> tuple[Record, ...]:
        """Return all records, reading the file again only when it has changed.

        Raises:
            StoreError: If the manifest cannot be read or holds forged records.
        """
        try:
            status = os.lstat(self.path)
            now = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            now = None
        if now is None or now != self._seen:
            records = manifest.read(self.path).records
            if not all(map(_well_formed, records)):
                raise StoreError(
                    f"{self.path}: has records that this version of Fathom does not write; "
                    "update Fathom, or choose another results folder"
                )
            self._records, self._seen = records, now
        return self._records

    def append(self, kind: str, **fields: Any) -> list[Damage]:  # noqa: ANN401 - JSON values
        """Add a record; returns what of the manifest was found damaged.

        Raises:
            StoreError: If it could not be written.
        """
        base = {"kind": kind, "study": self.study, "machine": self.machine}
        return manifest.append(self.path, base | fields)

    def cohorts(self) -> dict[str, Record]:
        """Return the latest record of each cohort that is not withdrawn, in order of commit."""
        found: dict[str, Record] = {}
        for record in self.records():
            if record["kind"] == "cohort":
                found[record["cohort"]] = record
            elif record["kind"] == "withdrawn":
                found.pop(record["cohort"], None)
        return found

    def past_commits(self) -> list[Record]:
        """Return every commit that this machine class made, withdrawn ones included."""
        of_cohorts = (record for record in self.records() if record["kind"] == "cohort")
        return [record for record in of_cohorts if record["machine"] == self.machine]

    def texts(self) -> dict[str, list[str]]:
        """Return the hashes that each text file has had, the latest last."""
        found: dict[str, list[str]] = {}
        for record in self.records():
            if record["kind"] == "text":
                found.setdefault(record["name"], []).append(record["sha256"])
        return found

    def studies(self) -> set[str]:
        """Return the digests of the studies that records name; one, unless something is wrong."""
        return {record["study"] for record in self.records()}

    def machines(self) -> dict[str, Record]:
        """Return the fingerprint of each machine by its digest; empty where its record is lost."""
        found: dict[str, Record] = {record["machine"]: {} for record in self.records()}
        for record in self.records():
            if record["kind"] == "study":
                found[record["machine"]] = record["fingerprint"]
        return found


def _well_formed(record: Mapping[str, Any]) -> bool:
    """Check what later becomes a path: a stranger's manifest must not reach out of its folder."""
    texts = all(isinstance(record.get(key), str) for key in ("kind", "study", "machine"))
    return texts and record["kind"] in _CHECKS and _CHECKS[record["kind"]](record)


def _is_study(record: Mapping[str, Any]) -> bool:
    fingerprint = record.get("fingerprint")
    has_bits = isinstance(fingerprint, dict) and isinstance(fingerprint.get("bits"), dict)
    return has_bits and record.get("format") == FORMAT


def _is_text(record: Mapping[str, Any]) -> bool:
    return is_text_name(str(record.get("name"))) and _is_sha256(record.get("sha256"))


def _is_cohort(record: Mapping[str, Any]) -> bool:
    files, runs = record.get("files"), record.get("runs")
    return (
        _is_withdrawn(record)
        and isinstance(files, dict)
        and isinstance(runs, dict)
        and _NEEDED_FILES <= set(files) <= COHORT_FILES
        and all(
            isinstance(entry, dict) and _is_sha256(entry.get("sha256")) for entry in files.values()
        )
    )


def _is_withdrawn(record: Mapping[str, Any]) -> bool:
    return is_cohort_id(str(record.get("cohort")))


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


_CHECKS: Final = {
    "study": _is_study,
    "text": _is_text,
    "cohort": _is_cohort,
    "withdrawn": _is_withdrawn,
}
