"""Image networks with any activation, beside the multilayer perceptron. `ARCHITECTURES` has all."""

from typing import Final

from fathom.architectures.base import Act, Architecture, MeasuredLayer, Network, reset
from fathom.architectures.lenet import lenet
from fathom.architectures.resnet import resnet18
from fathom.architectures.vgg import vgg11
from fathom.architectures.vit import vit
from fathom.registry import Registry

__all__ = ["ARCHITECTURES", "Act", "Architecture", "MeasuredLayer", "Network", "reset"]


def mlp() -> Architecture:
    """A multilayer perceptron; its layers are the settings hidden, norm and skip."""
    return Architecture(name="mlp", build=None)


ARCHITECTURES: Final[Registry[Architecture]] = Registry("model", (mlp, lenet, vgg11, resnet18, vit))
