"""Image networks with any activation, beside the multilayer perceptron. `ARCHITECTURES` has all."""

from typing import Final

from fathom.architectures.base import Act, Architecture, MeasuredLayer, Network
from fathom.architectures.lenet import lenet
from fathom.registry import Registry

__all__ = ["ARCHITECTURES", "Act", "Architecture", "MeasuredLayer", "Network"]


def mlp() -> Architecture:
    """A multilayer perceptron; its layers are the settings hidden, norm and skip."""
    return Architecture(name="mlp", build=None)


ARCHITECTURES: Final[Registry[Architecture]] = Registry("model", (mlp, lenet))
