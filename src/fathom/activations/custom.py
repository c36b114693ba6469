"""A user's own function as an activation: guarded, tried on a few numbers, made into a factory."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fathom.activations.base import Activation, Elementwise, slope_by_autograd
from fathom.errors import ComponentError

Factory = Callable[..., Activation]


def custom(
    value: Callable[..., Tensor],
    *,
    name: str | None = None,
    slope: Elementwise | None = None,
    kinks: Iterable[float] = (),
) -> Activation:
    """Make an activation from a function of one tensor.

    Args:
        value: phi; elementwise, for any shape and floating type, and without changing its input.
        name: Name to show; the function's own when omitted.
        slope: phi' of the same form; by autograd when omitted.
        kinks: Points where phi or phi' jumps.

    Returns:
        The activation; its `max_slope` is `inf`, which means unknown.

    Raises:
        ComponentError: If `value` or `slope` fails on a few numbers, see `try_out`.

    >>> cubic = custom(lambda h: h**3, name="cubic")
    >>> cubic.slope(torch.tensor([2.0]))
    tensor([12.])
    """
    label = _label(value) if name is None else name
    record = Activation(
        name=label,
        value=value,
        slope=slope_by_autograd(value) if slope is None else slope,
        kinks=tuple(sorted(float(kink) for kink in kinks)),
        formula=f"{label}(h)",
        source=f"module {getattr(value, '__module__', None) or 'unknown'}",
    )
    return try_out(record, slope_from=" by autograd" if slope is None else "")


def try_out(record: Activation, *, slope_from: str = "") -> Activation:
    """Try a user's activation on a few numbers, and guard it against wrong results later.

    Args:
        record: What the user gave.
        slope_from: What messages say behind `slope`.

    Returns:
        The same activation, whose functions now raise `ComponentError` whatever goes wrong in them.

    Raises:
        ComponentError: If value or slope raises, changes its input, mixes elements, or returns
            something that is not a tensor of the same shape and type.
    """
    value_name = f"activation '{record.name}': its value"
    slope_name = f"activation '{record.name}': its slope{slope_from}"
    value, slope = _guard(value_name, record.value), _guard(slope_name, record.slope)
    for dtype in (torch.float32, torch.float64):
        _probe(value_name, value, dtype)
        _probe(slope_name, slope, dtype)
    return replace(record, value=value, slope=slope)


def _guard(what: str, function: Elementwise) -> Elementwise:
    @functools.wraps(function, updated=())
    def guarded(h: Tensor) -> Tensor:
        out = _call(what, function, h)
        if not isinstance(out, Tensor) or out.shape != h.shape or out.dtype != h.dtype:
            raise ComponentError(
                f"{what} must be a tensor like its input, {_form(h)}; "
                f"the function returned {_form(out)}"
            )
        return out

    return guarded


def _call(what: str, function: Callable[..., Any], *args: object, **params: object) -> object:
    try:
        return function(*args, **params)
    except ComponentError:
        raise
    except Exception as error:
        raise ComponentError(f"{what} raised {type(error).__name__}: {error}") from error


def _form(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def _probe(what: str, function: Elementwise, dtype: torch.dtype) -> None:
    h = torch.linspace(-8, 8, 48, dtype=dtype).view(2, 3, 8)
    given = h.clone()
    with torch.no_grad():
        together = function(given)
        if not torch.equal(given, h):
            raise ComponentError(f"{what} changes its input in place; it must return a new tensor")
        again = function(given)
        alone = function(h[1:, 1:2, 2:3].clone())
    if not torch.allclose(together[1:, 1:2, 2:3], alone, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ComponentError(
            f"{what} is random or mixes elements: for the same number, alone and among others, the "
            "function returned different results"
        )
    if not torch.allclose(together, again, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ComponentError(
            f"{what} is random: called twice with the same numbers, the function returned "
            "different results"
        )


def as_factory(found: object) -> Factory:
    """Turn what a user names into a factory.

    Args:
        found: A function whose first argument is the tensor; an `Activation`; or a function of
            parameters with defaults that returns an `Activation`.

    Returns:
        A factory. Its `__wrapped__` is what was found, so that `digest_code` sees the user's code.

    Raises:
        ComponentError: If it is none of these.
    """
    if isinstance(found, Activation):
        return _without_parameters(lambda: try_out(found), found)
    if not callable(found):
        raise ComponentError(
            "an activation must be a function of a tensor, an Activation or a function that "
            f"returns one; got {_form(found)}"
        )
    if _takes_tensor(found):
        return _without_parameters(lambda: custom(found, name=_label(found)), found)
    what = f"activation '{_label(found)}'"

    @functools.wraps(found)
    def make(**params: object) -> Activation:
        record = _call(what, found, **params)
        if not isinstance(record, Activation):
            raise ComponentError(f"{what} must take a tensor or return an Activation")
        return try_out(record)

    # Fixed here as it is written: names in its annotations may mean nothing outside its module.
    vars(make)["__signature__"] = inspect.signature(found)
    return make


def _takes_tensor(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C
        return True
    first = next(iter(parameters), None)
    if first is None or first.default is not first.empty:
        return False
    return first.kind not in {first.KEYWORD_ONLY, first.VAR_KEYWORD}


def _without_parameters(factory: Factory, found: object) -> Factory:
    vars(factory).update(__wrapped__=found, __signature__=inspect.Signature())
    factory.__doc__ = getattr(found, "__doc__", None)
    return factory


def _label(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")
