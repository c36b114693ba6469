"""A user's own function as an initializer, with its mistakes told in a sentence."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fathom.errors import ComponentError
from fathom.initializers.base import Initializer, normal_bias, store

Factory = Callable[..., Initializer]


def custom(fill: Callable[[Tensor, torch.Generator], object], *, name: str) -> Initializer:
    """Make an initializer of a user's own function; biases are 0.

    The function gets a float64 tensor `[O, I]` or `[O, I, *kernel]` full of NaN and a generator,
    and fills the tensor in place, as the functions of `torch.nn.init` do. Its variance is not
    known, so `weight_variance` returns NaN.

    Args:
        fill: `fill(tensor, generator)`; what it returns is ignored.
        name: Name for messages and tables.

    Returns:
        The initializer. Its `weight` raises `ComponentError` when the function fails or leaves NaN.
    """

    def weight(tensor: Tensor, generator: torch.Generator) -> None:
        values = torch.full(tensor.shape, math.nan, dtype=torch.float64)
        what = f"initializer '{name}', given a tensor of shape {list(tensor.shape)},"
        try:
            with torch.no_grad():
                fill(values, generator)
        except Exception as error:  # whatever a user's function raises
            raise ComponentError(f"{what} raised {type(error).__name__}: {error}") from error
        if values.isnan().any():
            raise ComponentError(f"{what} left NaN in it; it must fill the whole tensor in place")
        store(tensor, values)

    bias, bias_variance = normal_bias(0.0)
    return Initializer(
        name=name,
        weight=weight,
        bias=bias,
        weight_variance=lambda fan_in, fan_out: math.nan,
        bias_variance=bias_variance,
    )


def as_factory(found: object) -> Factory:
    """Turn what an import path or an installed package names into a factory.

    Args:
        found: `fill(tensor, generator)`; an `Initializer`; or a function of parameters with
            defaults that returns an `Initializer`.

    Returns:
        A factory. Its `__wrapped__` is what was found, so that `digest_code` sees the user's code.

    Raises:
        ComponentError: If it is none of these.
    """
    if isinstance(found, Initializer):
        return _without_parameters(lambda: found, found)
    if not callable(found):
        raise ComponentError(
            "an initializer must be fill(tensor, generator), an Initializer or a function that "
            f"returns one; got a {type(found).__name__}"
        )
    if _takes_tensor(found):
        return _without_parameters(lambda: custom(found, name=_label(found)), found)
    return _checked_factory(found)


def _takes_tensor(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C
        return True
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return any(p.kind in positional and p.default is p.empty for p in parameters)


def _without_parameters(factory: Factory, found: object) -> Factory:
    vars(factory).update(__wrapped__=found, __signature__=inspect.Signature())
    factory.__doc__ = getattr(found, "__doc__", None)
    return factory


def _checked_factory(function: Callable[..., Any]) -> Factory:
    @functools.wraps(function)
    def make(**params: object) -> Initializer:
        record = function(**params)
        if not isinstance(record, Initializer):
            raise ComponentError(
                f"initializer '{_label(function)}' must take (tensor, generator) or return an "
                f"Initializer; it returned a {type(record).__name__}"
            )
        return record

    # Fixed here as it is written: names in its annotations may mean nothing outside its module.
    vars(make)["__signature__"] = inspect.signature(function)
    return make


def _label(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
