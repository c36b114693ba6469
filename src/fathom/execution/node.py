"""The other end of `ray.py`: what a machine of a cluster does with an order."""

import functools
import hashlib
import io
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from socket import gethostname
from typing import Any, Final

import torch

from fathom.data.splits import PreparedData
from fathom.errors import FathomError
from fathom.execution.base import DeviceName
from fathom.execution.child import Aborted
from fathom.execution.training import Work
from fathom.execution.worker import fingerprint
from fathom.store.fingerprint import bits_difference

REPORT_EVERY_S: Final = 0.2  # epochs of small networks take milliseconds; a message costs one

Reports = queue.SimpleQueue[bytes | BaseException | None]


def unlike(expected: Mapping[str, str]) -> str:
    """Say in what this machine differs from that of the command; nothing if they are alike.

    Args:
        expected: What `identity` returned there.
    """
    device: DeviceName = "cuda" if "device" in expected else "cpu"
    differences = bits_difference({"bits": identity(device)}, {"bits": expected})
    if not differences:
        return ""
    return (
        f"node {gethostname()} of the Ray cluster is not like the machine of this command "
        f"('here'), so that other bits may come out: {'; '.join(differences)}. Use nodes with the "
        "same software and the same kind of processor, and start the command on one of them"
    )


@functools.cache
def identity(device: DeviceName = "cpu") -> dict[str, str]:
    """Return what decides bits on a device here, and a digest of this copy of Fathom's code."""
    total = hashlib.sha256()
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("*.py")):
        total.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes())
    return fingerprint(device)["bits"] | {"fathom_code": total.hexdigest()[:16]}


def reports_of(work: bytes, data: Callable[[], PreparedData]) -> Iterator[list[bytes]]:
    """Do an order in a thread of its own, and pass on what it reports as it comes.

    Args:
        work: Of the order, packed.
        data: Returns what it computes from.

    Yields:
        Packed reports of a moment; last of all `Aborted` if no order can succeed.
    """
    reports: Reports = queue.SimpleQueue()

    def act() -> None:
        try:
            do: Work = pickle.loads(work)
            # Packed at once: training goes on, and changes tensors in place.
            do(data(), lambda report: reports.put(pack(report)))
        except FathomError as error:
            reports.put(pack(Aborted(message=str(error))))
        except BaseException as error:
            reports.put(error)
        reports.put(None)

    threading.Thread(target=act, daemon=True).start()
    yield from _batches(reports)


def _batches(reports: Reports) -> Iterator[list[bytes]]:
    """Collect reports for a moment; raise what the thread raised.

    Raises:
        BaseException: Out of the thread.
    """
    report: bytes | BaseException | None = b""
    while report is not None:
        batch: list[bytes] = []
        end_s = time.monotonic() + REPORT_EVERY_S
        while (left_s := end_s - time.monotonic()) > 0 or not batch:
            try:
                report = reports.get(timeout=left_s if batch else None)
            except queue.Empty:
                break
            if isinstance(report, BaseException):
                raise report
            if report is None:
                break
            batch.append(report)
        if batch:
            yield batch


class _Pickler(pickle.Pickler):
    """Writes of a tensor its own numbers: by itself, torch would write all that it is a view of."""

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 - pickle's own contract
        if type(value) is torch.Tensor:
            return torch.from_numpy, (value.detach().cpu().contiguous().numpy(),)
        return NotImplemented


def pack(value: object) -> bytes:
    """Pickle a value whose tensors may be views of larger ones."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()
