"""One data set, ready for training: found, verified, cut into parts, its scaling fitted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from fathom.data import scaling
from fathom.data.arrays import Samples
from fathom.data.config import DataConfig
from fathom.data.datasets import count_parts, find
from fathom.data.scaling import Scale
from fathom.seeds import generator


@dataclass(frozen=True, slots=True)
class Part:
    """Samples for one purpose.

    Attributes:
        inputs: `[N, I]`, contiguous, in storage type (uint8 until used, float32 or float64).
        targets: `[N]`, int64 labels from 0 on.
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
        sample_shape: Shape of one sample before it was flattened.
        config: What was asked for.
        digest: sha256 over the content of all parts and the settings (not over the path).
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


def prepare(config: DataConfig, folders: Sequence[Path] = ()) -> PreparedData:
    """Load a data set and cut it.

    One permutation of the training samples, keyed by `(seed, "split")`, is cut from its start into
    a test part (only where there is no official one), a validation part (only under `holdout`) and
    the training part; classes are not balanced. `limit` keeps the first so many of each; of an
    official test part it keeps as many that are chosen by chance, in their order.

    Args:
        config: What to load and how to cut it.
        folders: The user's data folders, in order of preference.

    Raises:
        ComponentError: If there is no such data set.
        DataError: If it cannot be found, is damaged or too small for the cut.
    """
    dataset = find(config)
    raw = dataset.load(config.path, folders)
    extent = raw.extent
    counts = count_parts(config, extent)
    chance = generator(config.seed, "split")
    order_N = torch.randperm(extent.num_train, generator=chance)
    if raw.test is None:
        test = _take(raw.train, order_N[: counts.test][: config.limit])
        order_N = order_N[counts.test :]
    else:
        chosen_N = torch.randperm(counts.test, generator=chance)[: config.limit]
        test = _take(raw.test, chosen_N.sort().values)
    validation = test if config.protocol == "test_as_validation" else None
    if counts.validation:
        validation = _take(raw.train, order_N[: counts.validation][: config.limit])
    train = _take(raw.train, order_N[counts.validation :][: config.limit])
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
    )


def _take(samples: Samples, chosen_N: Tensor) -> Part:
    chosen = chosen_N.numpy()
    return Part(
        inputs=torch.from_numpy(samples.inputs[chosen].reshape(len(chosen), -1)),
        targets=torch.from_numpy(samples.labels[chosen]),
    )


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
