"""Samples and labels as arrays: what they must look like, whoever made them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fathom.errors import DataError

PAIR: Final = ("x", "y")
QUARTET: Final = ("x_train", "y_train", "x_test", "y_test")
_MAX_FLOAT32: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large a data set is before it is cut.

    Attributes:
        num_train: Samples for training (and validation).
        num_test: Samples of the official test part; None when a test part is to be cut.
        sample_shape: Shape of one sample.
        num_classes: Labels run from 0 to `num_classes - 1`.
        item_size: Bytes of one stored number.
        num_validation: Samples of the official validation part; None where there is none.
        class_names: One for each label; empty where unknown.
        multi_label: Whether a sample may have several labels, or none.
    """

    num_train: int
    num_test: int | None
    sample_shape: tuple[int, ...]
    num_classes: int
    item_size: int
    num_validation: int | None = None
    class_names: tuple[str, ...] = ()
    multi_label: bool = False

    @property
    def num_features(self) -> int:
        """Numbers in one sample."""
        return math.prod(self.sample_shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Checked samples with their labels.

    Attributes:
        inputs: `[N, ...]`, uint8, float32 or float64; finite. Images in colour are `[N, 3, H, W]`.
            May be a memory map.
        labels: `[N]`, int64, from 0 on; or `[N, K]`, uint8, 1 for each label that a sample has.
    """

    inputs: npt.NDArray[Any]
    labels: npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawData:
    """A data set as it was found.

    Attributes:
        train: Samples for training and for the parts that are cut from them.
        test: The official test part; None where there is none.
        validation: The official validation part; None where there is none.
        class_names: One for each label; empty where unknown.
    """

    train: Samples
    test: Samples | None
    validation: Samples | None = None
    class_names: tuple[str, ...] = ()

    @property
    def extent(self) -> Extent:
        """Count samples and classes."""
        return Extent(
            num_train=len(self.train.labels),
            num_test=None if self.test is None else len(self.test.labels),
            sample_shape=self.train.inputs.shape[1:],
            num_classes=self._count_classes(),
            item_size=self.train.inputs.itemsize,
            num_validation=None if self.validation is None else len(self.validation.labels),
            class_names=self.class_names,
            multi_label=self.train.labels.ndim == 2,
        )

    def _count_classes(self) -> int:
        if self.class_names:
            return len(self.class_names)
        if self.train.labels.ndim == 2:
            return int(self.train.labels.shape[1])
        parts = (part for part in (self.train, self.validation, self.test) if part is not None)
        return 1 + max(int(part.labels.max()) for part in parts)


def check_arrays(arrays: dict[str, npt.NDArray[Any]], source: Path | str) -> RawData:
    """Check a user's arrays and bring them into storage form.

    uint8 and float32 inputs are kept, every other number becomes float64.

    Args:
        arrays: Under the keys of `PAIR` or of `QUARTET`.
        source: File or description, for messages.

    Raises:
        DataError: If types, shapes, values or labels are not as `Samples` promises, or if the
            labels of all parts together are not 0, 1, ..., K-1 with K >= 2.
    """
    parts = []
    for x, y in (PAIR,) if "x" in arrays else (QUARTET[:2], QUARTET[2:]):
        inputs, labels = _check_inputs(arrays[x], f"{source}: {x}"), arrays[y]
        labels = _check_labels(labels, f"{source}: {y}")
        if len(inputs) != len(labels):
            raise DataError(
                f"{source}: {x} has {len(inputs):,} samples and {y} has {len(labels):,} labels; "
                "must be as many"
            )
        parts.append(Samples(inputs=inputs, labels=labels))
    train, test = parts[0], parts[1] if len(parts) == 2 else None
    if test is not None:
        _check_alike(train.inputs, test.inputs, source)
    _check_classes(np.unique(np.concatenate([part.labels for part in parts])), source)
    return RawData(train=train, test=test)


def _check_inputs(x: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where} has type {x.dtype}; must be numbers (integers or floats)")
    if x.ndim < 2 or x.size == 0:
        hint = "; for one feature per sample use x.reshape(-1, 1)" if x.ndim == 1 else ""
        raise DataError(
            f"{where} has shape {x.shape}; must be [samples, features...], none of them 0{hint}"
        )
    if x.dtype not in {np.dtype(np.uint8), np.dtype(np.float32)}:
        x = x.astype(np.float64)
    if x.dtype != np.uint8:
        # NaN fails the comparison too; beyond float32 a sample would turn into inf in training.
        bad = ~(np.abs(x) <= _MAX_FLOAT32)
        if bad.any():
            place = [int(i) for i in np.argwhere(bad)[0]]
            raise DataError(
                f"{where}{place} is {x[tuple(place)]} ({int(bad.sum()):,} such values); "
                "must be finite and fit into float32. Fill in or leave out these samples"
            )
    return x


def _check_labels(y: npt.NDArray[Any], where: str) -> npt.NDArray[np.int64]:
    if y.dtype.kind not in "biu":
        raise DataError(
            f"{where} has type {y.dtype}; class labels must be whole numbers from 0 on, "
            "such as y.astype(numpy.int64)"
        )
    if y.ndim != 1 or y.size == 0:
        raise DataError(f"{where} has shape {y.shape}; must be [samples]: one label for each")
    if int(y.min()) < 0:
        raise DataError(f"{where} holds the label {int(y.min())}; labels must count from 0")
    if int(y.max()) >= 2**63:
        raise DataError(f"{where} holds the label {int(y.max())}; labels must count from 0")
    return y.astype(np.int64)


def _check_alike(train: npt.NDArray[Any], test: npt.NDArray[Any], source: Path | str) -> None:
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{source}: samples of x_train have shape {train.shape[1:]}, of x_test "
            f"{test.shape[1:]}; must be the same"
        )
    if train.dtype != test.dtype:
        raise DataError(
            f"{source}: x_train has type {train.dtype}, x_test {test.dtype}; must be the same, "
            "since only uint8 is taken for pixels from 0 to 255"
        )


def _check_classes(labels: npt.NDArray[np.int64], source: Path | str) -> None:
    if len(labels) < 2:
        raise DataError(f"{source}: has one class only (label {labels[0]}); must have at least 2")
    missing = np.flatnonzero(labels != np.arange(len(labels)))
    if missing.size:
        raise DataError(
            f"{source}: labels run up to {labels[-1]} but no sample has label {missing[0]}; must "
            "be 0, 1, ..., K-1 without a gap; numpy.unique(y, return_inverse=True)[1] renumbers"
        )
