"""What a data set is, whichever kind of files it comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fathom.data.arrays import Extent, RawData
from fathom.data.config import Source
from fathom.data.fetch import Collection

Load = Callable[[Source, Sequence[Path]], RawData]
Measure = Callable[[Source, Sequence[Path]], Extent]
AtHand = Callable[[Source, Sequence[Path]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One data set.

    Attributes:
        name: Name in the registry.
        extent: None when it depends on what is loaded.
        load: `load(source, folders)` finds, verifies and reads it.
        collection: Its files, where they are published; None for what needs none.
        measure: `measure(source, folders)` tells the extent without reading every sample; None
            where it is known beforehand, or only loading tells.
        at_hand: `at_hand(source, folders)` tells whether loading needs neither the network nor
            minutes; None where the collection's files alone decide.
        takes: Settings of `Source` that mean something to it.
        needs_path: What its path must name, in words; empty where a path is not needed.
    """

    name: str
    extent: Extent | None
    load: Load
    collection: Collection | None = None
    measure: Measure | None = None
    at_hand: AtHand | None = None
    takes: tuple[str, ...] = ()
    needs_path: str = ""
