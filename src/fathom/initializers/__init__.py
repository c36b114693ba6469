"""How weights start: one record for each initializer, found by name in `INITIALIZERS`."""

from typing import Final

from fathom.initializers import critical, fixed, orthogonal, scaled, truncated
from fathom.initializers.base import Initializer, fans, layer_initializers
from fathom.initializers.custom import as_factory, custom
from fathom.registry import Registry

__all__ = ["INITIALIZERS", "Initializer", "custom", "fans", "layer_initializers"]


INITIALIZERS: Final = Registry(
    "initializer",
    (
        *scaled.FACTORIES,
        *fixed.FACTORIES,
        *truncated.FACTORIES,
        *orthogonal.FACTORIES,
        *critical.FACTORIES,
    ),
    aliases={
        "kaiming_normal": "he_normal",
        "kaiming_uniform": "he_uniform",
        "glorot_normal": "xavier_normal",
        "glorot_uniform": "xavier_uniform",
        "truncated_normal": "trunc_normal",
        "default": "torch_default",
        "zeros": "zero",
    },
    group="fathom.initializers",
    wrap=as_factory,
)
