"""One file per way to train many small networks; to add one, list its variants here."""

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.rivals import autograd, dataloader, fathom_engine, jax_scan, vmap
from benchmarks.rivals.base import Rival

# From the number of cores that may be used to what is tried; the best variant counts.
RIVALS: Final[dict[str, Callable[[int], Sequence[Rival]]]] = {
    "dataloader": dataloader.variants,
    "autograd": autograd.variants,
    "vmap": vmap.variants,
    "jax": jax_scan.variants,
    "fathom": fathom_engine.variants,
    "fathom-recording": fathom_engine.recording_variants,
}
