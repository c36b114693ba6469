"""Which data a run sees: the part of a run's settings that the data package understands."""

from dataclasses import dataclass
from typing import Literal

Scaling = Literal["unit", "symmetric", "standard", "per_image", "none"]
Protocol = Literal["holdout", "test_as_validation", "train_test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """One data set, cut and scaled in one way.

    Attributes:
        name: Name in the registry of data sets, or `arrays` for the user's own.
        path: For `arrays`: an `.npz` file with `x` and `y` (or `x_train`, `y_train`, `x_test`,
            `y_test`).
        scaling: `unit` [0, 1]; `symmetric` [-1, 1]; `standard` subtracts the mean and divides by
            the standard deviation of the training part; `per_image` does so with each sample's
            own; `none`.
        protocol: `holdout` cuts a validation part from the training part and never selects on the
            test part; `test_as_validation` uses the test part for selection, as studies 000 and
            001 do; `train_test` has no validation part at all.
        validation_share: Share of the training part that `holdout` sets aside, in (0, 1).
        test_share: Share set aside for testing where a data set has no official test part.
        limit: Largest number of samples of each part (train, validation, test); None for all.
        seed: Keys the split and the order of batches.
    """

    name: str
    path: str | None
    scaling: Scaling
    protocol: Protocol
    validation_share: float
    test_share: float
    limit: int | None
    seed: int
