"""Image networks with any activation, beside the multilayer perceptron. `ARCHITECTURES` has all."""

from collections.abc import Callable
from typing import Any, Final

from torch import nn

from fathom.architectures.base import Act, Architecture, MeasuredLayer, Network, reset
from fathom.architectures.custom import as_factory
from fathom.architectures.lenet import lenet
from fathom.architectures.resnet import resnet18
from fathom.architectures.vgg import vgg11
from fathom.architectures.vit import vit
from fathom.code_digest import digest_code
from fathom.errors import ComponentError
from fathom.registry import Choice, Registry

__all__ = [
    "ARCHITECTURES",
    "Act",
    "Architecture",
    "MeasuredLayer",
    "Network",
    "register_callable",
    "reset",
]


def mlp() -> Architecture:
    """A multilayer perceptron; its layers are the settings hidden, norm and skip."""
    return Architecture(name="mlp", build=None)


ARCHITECTURES: Final[Registry[Architecture]] = Registry(
    "model",
    (mlp, lenet, vgg11, resnet18, vit),
    group="fathom.architectures",
    wrap=as_factory,
)


def register_callable(function: Callable[..., nn.Module]) -> Choice:
    """Let studies of this process train a user's own module.

    Args:
        function: A function or a class `(image_shape, num_classes, act)`, see `custom.as_factory`;
            its name is the model's.

    Returns:
        The choice that names it. `code` is a digest, so that another function is another run.

    Raises:
        ComponentError: If it is none, there is no usable name, or the name is built in.
    """
    factory: Any = as_factory(function)
    label = str(getattr(function, "__name__", ""))
    if not label.isidentifier():
        raise ComponentError(
            f"a model cannot be called '{label[:80]}'; give the function a name: def my_network"
        )
    code = digest_code(function)
    ARCHITECTURES.add(label, factory, code=code)
    return Choice(label, code=code)


def is_mlp(choice: Choice) -> bool:
    """Tell whether a network is a multilayer perceptron, which has layers as settings.

    Raises:
        ComponentError: If there is no such network.
    """
    return ARCHITECTURES.build(choice).build is None
