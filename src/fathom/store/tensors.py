"""Tensors on disk: weights that anybody may open, and checkpoints that only resuming reads.

Both are safetensors, which hold no code. A checkpoint carries one line before them,
`<cohort> <machine> <data> <sha256>`, so that it is compared with its hash, and with whose it must
be, before anything parses it.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load, save
from torch import Tensor

from fathom.errors import StoreError
from fathom.store.commit import commit, read_file, writing
from fathom.store.integrity import Damage, read_problem, set_aside

_NEWEST, _BEFORE = "state", "state.previous"


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Write tensors as safetensors; equal tensors give equal bytes."""
    return save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})


def array_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays as safetensors; equal arrays give equal bytes."""
    return save_arrays(dict(arrays))


def read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Read arrays; the caller has compared the hash of `data`.

    Raises:
        ValueError: If it is no safetensors file.
    """
    try:
        return load_arrays(data)
    except SafetensorError as error:
        raise ValueError(f"cannot be read as arrays: {error}") from error


def read_member(path: Path, prefix: str) -> dict[str, Tensor]:
    """Read only the tensors whose names begin with `prefix`, and leave it off their names.

    Raises:
        StoreError: If the file is no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path}: cannot be read as weights: {error}") from error


def save_checkpoint(
    folder: Path, cohort_id: str, machine: str, data: str, tensors: Mapping[str, Tensor]
) -> None:
    """Save a checkpoint and keep the one before it.

    Args:
        folder: The cohort's folder, whose lock the caller holds.
        cohort_id: Whose checkpoint it is.
        machine: Digest of the fingerprint under which it was computed.
        data: Digest of the data that it was computed from.
        tensors: Everything from which training goes on.

    Raises:
        StoreError: If it cannot be written; then the one before still serves.
    """
    payload = tensor_bytes(tensors)
    owner = f"{cohort_id} {machine} {data}"
    if os.path.lexists(folder / _NEWEST):
        with writing(folder / _BEFORE):
            os.replace(folder / _NEWEST, folder / _BEFORE)
    commit(folder / _NEWEST, f"{owner} {_digest(owner, payload)}\n".encode(), payload)


def load_checkpoint(
    root: Path, folder: Path, cohort_id: str, machine: str, data: str
) -> tuple[dict[str, Tensor] | None, list[Damage]]:
    """Load the newest checkpoint that is whole.

    One of another machine or of other data is passed over, so that no run is computed half here,
    half there.

    Args:
        root: The study's folder, for the quarantine.
        folder: The cohort's folder, whose lock the caller holds.
        cohort_id: Whose checkpoint it must be.
        machine: Digest of the fingerprint under which it must have been computed.
        data: Digest of the data that it must have been computed from.

    Returns:
        The tensors, or None when there is no good checkpoint, and what was damaged.

    Raises:
        StoreError: If a damaged checkpoint cannot be set aside.
    """
    damages = []
    for path in (folder / _NEWEST, folder / _BEFORE):
        if not os.path.lexists(path):
            continue
        try:
            owner, tensors = _open_checkpoint(path, cohort_id)
        except ValueError as error:
            damages.append(set_aside(root, path, str(error)))
            continue
        if owner == f"{cohort_id} {machine} {data}":
            return tensors, damages
    return None, damages


def checkpoint_data(folder: Path, cohort_id: str) -> set[str]:
    """Return the digests of the data that a cohort's whole checkpoints were computed from."""
    found = set()
    for path in (folder / _NEWEST, folder / _BEFORE):
        with suppress(ValueError):
            owner, _ = _open_checkpoint(path, cohort_id)
            found.add(owner.rpartition(" ")[2])
    return found


def _open_checkpoint(path: Path, cohort_id: str) -> tuple[str, dict[str, Tensor]]:
    try:
        data = read_file(path)
    except OSError as error:
        raise ValueError(read_problem(path, error)) from error
    head, _, payload = data.partition(b"\n")
    owner, _, digest = head.decode("ascii", errors="replace").rpartition(" ")
    if _digest(owner, payload) != digest:
        raise ValueError("the checkpoint does not have the hash that it carries")
    if not owner.startswith(f"{cohort_id} "):
        raise ValueError(f"the checkpoint belongs to another cohort than {cohort_id}")
    try:
        return owner, load(payload)
    except SafetensorError as error:  # only a forged checkpoint has its hash and is no safetensors
        raise ValueError(f"the checkpoint cannot be read: {error}") from error


def drop_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a cohort, whose lock the caller holds."""
    for name in (_NEWEST, _BEFORE):
        with suppress(OSError):
            os.unlink(folder / name)


def _digest(owner: str, payload: bytes) -> str:
    digest = hashlib.sha256(owner.encode() + b"\n")
    digest.update(payload)
    return digest.hexdigest()
