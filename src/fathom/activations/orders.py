"""Activations of a whole layer: its units put in another order, sample by sample.

Nothing bends a number here: what is not linear is the order, which depends on the sample.
"""

from dataclasses import replace

from fathom.activations.base import Activation
from fathom.activations.powers import identity


def sort() -> Activation:
    """Each sample's units in ascending order: a layer, not an elementwise function."""
    return replace(
        identity(),
        name="sort",
        order="own",
        formula="h, each sample's units in ascending order",
        source="Anil et al. 2019, arXiv:1811.05381, sec. 4 (FullSort)",
    )


def permute() -> Activation:
    """Each sample's units in the order that sorts the layer's inputs, if it has as many of both."""
    return replace(
        identity(),
        name="permute",
        order="input",
        formula="h, each sample's units in the order that sorts the layer's inputs",
        source="gather(h, argsort(x)), where h = W x + b",
    )


FACTORIES = (sort, permute)
