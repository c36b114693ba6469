"""One data set, ready for training: found, verified, cut into parts, its scaling fitted.

Parts of up to `IN_MEMORY` bytes are copied into memory. Larger ones stay on disk, mapped: an
official part that is taken whole as it is, anything else in an unnamed file of the cache.

Shapes: N samples, I numbers of a sample, K classes.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fathom.data import scaling
from fathom.data.arrays import Samples
from fathom.data.config import DataConfig
from fathom.data.datasets import check_augment, count_parts, find
from fathom.data.decoded import decoded_folder
from fathom.data.scaling import Scale
from fathom.errors import DataError
from fathom.seeds import generator

IN_MEMORY: Final = 2 * 2**30  # bytes of one part; all of Tiny-ImageNet has 1.2 GiB
_ROWS_AT_A_TIME: Final = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Samples for one purpose.

    Attributes:
        inputs: `[N, I]`, contiguous, in storage type (uint8 until used, float32 or float64); may be
            a memory map.
        targets: `[N]`, int64 labels from 0 on; or, multi-label, `[N, K]`, float32, 1 for each label
            that a sample has and 0 for the others.
    """

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """What the engines train on.

    Attributes:
        train: Training part in an order fixed by the seed, so that its first samples are a mixture.
        validation: What early stopping and the best weights go by; None under `train_test`, and the
            test part itself under `test_as_validation`.
        test: Test part.
        scale: `scale(inputs, dtype)` gives floating-point inputs; fitted on `train`.
        num_features: Numbers in one sample, I.
        num_classes: Labels run from 0 to `num_classes - 1`.
        sample_shape: Shape of one sample before it was flattened; images are `[H, W]` or, in
            colour, `[3, H, W]`.
        config: What was asked for.
        digest: sha256 over the content of all parts and the settings (not over the path).
        class_names: One for each label; empty where unknown.
    """

    train: Part
    validation: Part | None
    test: Part
    scale: Scale
    num_features: int
    num_classes: int
    sample_shape: tuple[int, ...]
    config: DataConfig
    digest: str
    class_names: tuple[str, ...] = ()

    @property
    def multi_label(self) -> bool:
        """Whether a sample may have several labels."""
        return self.train.targets.dim() == 2


def prepare(config: DataConfig, folders: Sequence[Path] = ()) -> PreparedData:
    """Load a data set and cut it.

    One permutation of the training samples, keyed by `(seed, "split")`, is cut from its start into
    a test part (only where there is no official one), a validation part (only under `holdout`, and
    where there is no official one) and the training part; classes are not balanced. `limit` keeps
    the first so many of each; of an official part it keeps as many that are chosen by chance, in
    their order.

    Args:
        config: What to load and how to cut it.
        folders: The user's data folders, in order of preference.

    Raises:
        ComponentError: If there is no such data set.
        DataError: If it cannot be found, is damaged or too small for the cut.
    """
    dataset = find(config)
    raw = dataset.load(config.source, folders)
    extent = raw.extent
    check_augment(config, extent)
    counts = count_parts(config, extent)
    chance = generator(config.seed, "split")
    order_N = torch.randperm(extent.num_train, generator=chance)
    if raw.test is None:
        test = _take(raw.train, order_N[: counts.test][: config.limit])
        order_N = order_N[counts.test :]
    else:
        test = _take_official(raw.test, config, chance)
    validation = test if config.protocol == "test_as_validation" else None
    if counts.validation and raw.validation is not None:
        validation = _take_official(raw.validation, config, chance)
    elif counts.validation:
        validation = _take(raw.train, order_N[: counts.validation][: config.limit])
        order_N = order_N[counts.validation :]
    train = _take(raw.train, order_N[: config.limit])
    return PreparedData(
        train=train,
        validation=validation,
        test=test,
        scale=scaling.fit(config.scaling, train.inputs),
        num_features=extent.num_features,
        num_classes=extent.num_classes,
        sample_shape=extent.sample_shape,
        config=config,
        digest=_digest(config, train, validation, test),
        class_names=extent.class_names,
    )


def _take_official(samples: Samples, config: DataConfig, chance: torch.Generator) -> Part:
    chosen_N = torch.randperm(len(samples.labels), generator=chance)[: config.limit]
    return _take(samples, chosen_N.sort().values)


def _take(samples: Samples, chosen_N: Tensor) -> Part:
    chosen = chosen_N.numpy()
    labels = samples.labels[chosen]
    return Part(
        inputs=torch.from_numpy(_rows(samples.inputs, chosen)),
        targets=torch.from_numpy(labels.astype(np.float32) if labels.ndim == 2 else labels),
    )


def _rows(inputs: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Take samples in an order, flat: copied if they fit well into memory, mapped if not.

    Raises:
        DataError: If the disk has no room for what does not fit into memory.
    """
    num_features = inputs[0].size
    if len(chosen) * num_features * inputs.itemsize <= IN_MEMORY:
        return inputs[chosen].reshape(len(chosen), num_features)
    is_whole = len(chosen) == len(inputs) and bool((chosen == np.arange(len(chosen))).all())
    if is_whole and isinstance(inputs, np.memmap) and inputs.flags.c_contiguous:
        return inputs.reshape(len(chosen), num_features)
    return _spool(inputs, chosen)


def _spool(inputs: npt.NDArray[Any], chosen: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Copy samples into a file without a name, which goes when nobody uses it any more.

    Raises:
        DataError: If the disk has no room for it.
    """
    folder = decoded_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as stream:
            for start in range(0, len(chosen), _ROWS_AT_A_TIME):
                rows = inputs[chosen[start : start + _ROWS_AT_A_TIME]]
                stream.write(np.ascontiguousarray(rows).data)
            stream.flush()
            shape = (len(chosen), inputs[0].size)
            return np.memmap(stream, inputs.dtype, mode="c", shape=shape)
    except OSError as error:
        raise DataError(
            f"{folder}: no room for the samples in the order of this study, which do not fit into "
            f"memory ({error.strerror or error}). Free some space, or lower data.limit"
        ) from error


def _digest(config: DataConfig, *parts: Part | None) -> str:
    settings = [(f.name, getattr(config, f.name)) for f in fields(config) if f.name != "path"]
    total = hashlib.sha256(repr(settings).encode())
    for part in parts:
        if part is None:
            total.update(b"none")
            continue
        for tensor in (part.inputs, part.targets):
            total.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            total.update(tensor.numpy().data)
    return total.hexdigest()
