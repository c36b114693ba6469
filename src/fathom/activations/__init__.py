"""Activations: the built-in ones by name, and the ways for a user's own to join them."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from torch import Tensor

from fathom.activations import (
    exponential,
    gated,
    orders,
    periodic,
    piecewise_linear,
    powers,
    sigmoids,
    spline,
)
from fathom.activations.base import Activation, Elementwise, FastPath
from fathom.activations.custom import as_factory, custom, try_out
from fathom.code_digest import digest_code
from fathom.errors import ComponentError
from fathom.registry import Choice, Registry

__all__ = ["ACTIVATIONS", "Activation", "FastPath", "custom", "register_callable"]

ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    (
        *powers.FACTORIES,
        *piecewise_linear.FACTORIES,
        *exponential.FACTORIES,
        *sigmoids.FACTORIES,
        *gated.FACTORIES,
        *periodic.FACTORIES,
        *spline.FACTORIES,
        *orders.FACTORIES,
    ),
    aliases={"linear": "identity", "sign": "sgn", "swish": "silu"},
    group="fathom.activations",
    wrap=as_factory,
)


def register_callable(
    function: Activation | Callable[..., Tensor],
    *,
    name: str | None = None,
    slope: Elementwise | None = None,
    kinks: Iterable[float] = (),
) -> Choice:
    """Let studies of this process use a user's own function.

    Args:
        function: An elementwise function of one tensor, or a whole `Activation`.
        name: Name in the registry; the function's own when omitted.
        slope: Its derivative; by autograd when omitted. Not for an `Activation`, which has one.
        kinks: Points where it or its derivative jumps.

    Returns:
        The choice that names it. `code` is a digest, so that another function is another run.

    Raises:
        ComponentError: If there is no usable name, the name is built in, or the function fails on a
            few numbers.
    """
    is_record = isinstance(function, Activation)
    label = name or str(getattr(function, "name" if is_record else "__name__", ""))
    if not label.isidentifier():
        raise ComponentError(
            f"an activation cannot be called '{label[:80]}'; give it a name of letters, digits and "
            "underscores: name='my_activation'"
        )
    if ACTIVATIONS.is_built_in(label):
        raise ComponentError(
            f"activation '{label}' is built in; choose another name for your function: "
            f"fathom.custom(function, name='my_{label}'). Or write '{label}' for the built-in one"
        )
    kinks = tuple(kinks)
    if isinstance(function, Activation):
        record = try_out(replace(function, name=label))
    else:
        record = custom(function, name=label, slope=slope, kinks=kinks)
    code = digest_code(function, slope, kinks)
    ACTIVATIONS.add(label, lambda: record, code=code)
    return Choice(label, code=code)
