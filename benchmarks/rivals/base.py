"""What a rival offers to the measurement.

No file of this package imports torch or JAX before a rival is prepared: each is imported in the
process of its rival only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.setting import Samples, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Networks that are ready to be trained.

    Attributes:
        train: `train(steps)` trains every network for so many steps and returns when that is done.
        losses: Each network's mean loss on the last batch, before the update; those of equal
            activations side by side, in the order of `Setting.kinds`.
        networks: How many are trained.
        multiple_of: `steps` must be a multiple of this.
    """

    train: Callable[[int], None]
    losses: Callable[[], list[float]]
    networks: int
    multiple_of: int = 1


class Rival(ABC):
    """One way to train networks; a frozen record, small enough to be sent to a process.

    Attributes:
        family: Its name; the best variant of a family counts.
        threads: The cores that it occupies.
    """

    family: ClassVar[str]
    threads: int

    @property
    @abstractmethod
    def variant(self) -> str:
        """What sets it apart from others of its family."""

    @abstractmethod
    def prepare(self, setting: Setting, samples: Samples) -> Training:
        """Make the networks of a setting and whatever else is done once."""

    def takes(self, setting: Setting) -> bool:
        """Tell whether this variant is a different one from its siblings in a setting."""
        del setting
        return True

    def missing(self) -> str | None:
        """Say in a few words what it lacks to run; None when it can."""
        return None
