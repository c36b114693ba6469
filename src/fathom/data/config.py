"""Which data a run sees: the part of a run's settings that the data package understands."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Scaling = Literal["unit", "symmetric", "standard", "per_image", "none"]
Protocol = Literal["holdout", "test_as_validation", "train_test"]
Augment = Literal["none", "flip", "crop", "flip_crop"]


class Source(NamedTuple):
    """What decides which samples a data set loads, beside its name.

    Attributes:
        path: As in `DataConfig`.
        image_size: As in `DataConfig`.
        classes: As in `DataConfig`.
    """

    path: str | None = None
    image_size: int | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """One data set, cut and scaled in one way.

    Attributes:
        name: Name in the registry of data sets, or `arrays` for the user's own.
        path: For `arrays`: an `.npz` file with `x` and `y` (or `x_train`, `y_train`, `x_test`,
            `y_test`). For `image_folder`, `tiny_imagenet` and `voc`: the folder.
        scaling: `unit` [0, 1]; `symmetric` [-1, 1]; `standard` subtracts the mean and divides by
            the standard deviation of the training part; `per_image` does so with each sample's
            own; `none`.
        protocol: `holdout` selects on the official validation part where there is one, on a part
            cut from the training part otherwise, and never on the test part; `test_as_validation`
            uses the test part for selection, as `spline-vgp` and `deep-mlp` do; `train_test` has no
            validation part at all.
        validation_share: Share of the training part that `holdout` sets aside, in (0, 1).
        test_share: Share set aside for testing where a data set has no official test part.
        limit: Largest number of samples of each part (train, validation, test); None for all.
        seed: Keys the split and the order of batches.
        image_size: Height and width to which decoded images are resized; None to take them as they
            are, or in the data set's usual size.
        augment: What is done by chance to each training image: `flip` it left to right, `crop` it
            after padding, or both.
        classes: For `voc`: which classes are labels, in this order; empty for the usual five.
    """

    name: str
    path: str | None
    scaling: Scaling
    protocol: Protocol
    validation_share: float
    test_share: float
    limit: int | None
    seed: int
    image_size: int | None = None  # what a description by an earlier version means
    augment: Augment = "none"
    classes: tuple[str, ...] = ()

    @property
    def source(self) -> Source:
        """What the data set needs to know to load its samples."""
        return Source(self.path, self.image_size, self.classes)
