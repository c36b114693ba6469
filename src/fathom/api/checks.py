"""What Python users and the command line give directly, not through a study."""

from dataclasses import replace
from typing import Any

from fathom.activations import ACTIVATIONS, Activation, custom
from fathom.errors import FathomError
from fathom.registry import check_number


def check(name: str, value: object, **limits: Any) -> None:  # noqa: ANN401 - those of check_number
    """Refuse a number out of its range; the arguments are those of `registry.check_number`.

    Raises:
        FathomError: With the name, what was given and what is allowed.
    """
    try:
        check_number(name, value, **limits)
    except ValueError as error:
        raise FathomError(str(error)) from None


def named(activation: Any) -> Any:  # noqa: ANN401 - whatever a study may have there
    """Give a function without a usable name one: a lambda, a partial function, a torch module.

    A function called like a built-in activation, such as `torch.tanh`, becomes `own_tanh`. A study
    needs names that tell its runs apart; here there is one activation only.

    Raises:
        FathomError: If the function fails on a few numbers.
    """
    if isinstance(activation, Activation):
        taken = ACTIVATIONS.is_built_in(activation.name)
        return replace(activation, name=f"own_{activation.name}") if taken else activation
    if not callable(activation):
        return activation
    name = getattr(activation, "__name__", type(activation).__name__)
    if not name.isidentifier():
        return custom(activation, name="own_function")
    if ACTIVATIONS.is_built_in(name):
        return custom(activation, name=f"own_{name}")
    return activation if hasattr(activation, "__name__") else custom(activation, name=name)
