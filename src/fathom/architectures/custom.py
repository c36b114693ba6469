"""A user's own module as a network: its layers found by one pass, its mistakes told in a sentence.

A module that says nothing of its layers is passed through once. Its measured layers are the
`nn.Linear` and `nn.Conv2d` that this pass calls, in the order of the calls; the activation that
reads a layer is found in autograd's graph: the first `Act` whose argument comes of the layer's
result without passing another layer or activation. All else (embeddings, normalisations, an
attention's packed weights, other kinds of layers) is trained and kept, but not measured.

Shapes: B batch, C channels, H height, W width, K classes.
"""

import functools
import inspect
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.lazy import LazyModuleMixin

from fathom.architectures.base import (
    Act,
    Architecture,
    ImageShape,
    Linear,
    MeasuredLayer,
    Network,
    measured,
)
from fathom.errors import ComponentError

Factory = Callable[..., Architecture]

_BATCH: Final = 2  # batch_norm refuses a single sample
_FORM: Final = "net(image_shape, num_classes, act)"
_GIVEN: Final = 3  # arguments that are not the user's own parameters


def as_factory(found: object) -> Factory:
    """Turn what a user names into a factory.

    Args:
        found: A function, or a class of modules, of the image's shape `(C, H, W)`, the number of
            classes and `act`, which makes an activation at each call. Further parameters with
            defaults are the architecture's own.

    Returns:
        A factory of these further parameters. Its `__wrapped__` is what was found, so that
        `digest_code` sees the user's code.

    Raises:
        ComponentError: If it is no such thing.
    """
    label = _label(found)
    if not callable(found) or len(_parameters(found)) < _GIVEN:
        raise ComponentError(f"model '{label}' must be a function or a class {_FORM}")
    own = _parameters(found)[_GIVEN:]

    def make(**params: object) -> Architecture:
        build = functools.partial(_build, label, functools.partial(found, **params))
        return Architecture(name=label, build=build, source="a user's own", own=True)

    signature = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in own])
    vars(make).update(__wrapped__=found, __signature__=signature)
    make.__doc__ = getattr(found, "__doc__", None)
    return make


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return [*inspect.signature(function, eval_str=True).parameters.values()]
    except (TypeError, ValueError, NameError):  # written in C, or annotated with what is not there
        return []


def _label(found: object) -> str:
    return str(getattr(found, "__name__", type(found).__name__))


def _build(
    label: str,
    make: Callable[..., nn.Module],
    shape: ImageShape,
    num_classes: int,
    act: Callable[[], Act],
) -> Network:
    """Build a network of a user's module, weights as the module starts them.

    Raises:
        ComponentError: If the module cannot be built, passed or measured.
    """
    with _telling(label, "while it was built"):
        module = make(shape, num_classes, act)
    if not isinstance(module, nn.Module):
        raise ComponentError(f"model '{label}' must return an nn.Module, not {_form(module)}")
    if isinstance(module, Network):
        return module
    if any(isinstance(part, LazyModuleMixin) for part in module.modules()):
        raise ComponentError(f"model '{label}' has lazy layers; give them their number of inputs")
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    layers = _find_layers(label, module, shape, num_classes)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(kept[name])
    return Found(module, layers)


class Found(Network):
    """A user's module with the layers that were found in it: `[B, C, H, W] -> [B, K]`.

    Args:
        net: The user's module.
        layers: Its linear maps in the order of their calls, each with what reads it.
    """

    def __init__(self, net: nn.Module, layers: Sequence[tuple[Linear, Act | None]]) -> None:
        super().__init__()
        self.net = net
        self._layers = [*layers]

    def measured(self) -> Sequence[MeasuredLayer]:
        """Return the linear maps in the order of their calls."""
        return measured(self, self._layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images `[B, C, H, W]`."""
        return self.net(x)  # type: ignore[no-any-return]  # a module's call forgets types


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call of a linear map or an activation, as it was seen.

    Attributes:
        module: What was called.
        output: What it returned.
        version: How often autograd had seen that tensor change by then.
        origin: Where its argument comes from.
    """

    module: nn.Module
    output: Tensor
    version: int
    origin: Node | None


def _find_layers(
    label: str, module: nn.Module, shape: ImageShape, num_classes: int
) -> list[tuple[Linear, Act | None]]:
    """Pass two black images through a module, and read from that what its layers are.

    Raises:
        ComponentError: If there is none, or one cannot be measured as a layer of one place.
    """
    calls: list[_Call] = []

    def keep(called: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        version = output._version
        origin = given[0].grad_fn
        calls.append(_Call(module=called, output=output, version=version, origin=origin))

    kinds = (nn.Linear, nn.Conv2d, Act)
    hooks = [m.register_forward_hook(keep) for m in module.modules() if isinstance(m, kinds)]
    try:
        with _telling(label, f"given images of shape {[_BATCH, *shape]}"), torch.enable_grad():
            logits = module.train()(torch.zeros(_BATCH, *shape))
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.shape != (_BATCH, num_classes):
        raise ComponentError(
            f"model '{label}' must return logits of shape {[_BATCH, num_classes]} for images of "
            f"shape {[_BATCH, *shape]}; it returned {_form(logits)}"
        )
    _check_calls(label, module, calls, logits)
    return _pairs(calls)


def _pairs(calls: Sequence[_Call]) -> list[tuple[Linear, Act | None]]:
    """Pair each linear map with the first activation that reads it."""
    results = {call.output.grad_fn: call.module for call in calls}
    readers: dict[nn.Module, Act] = {}
    for call in calls:
        if isinstance(call.module, Act):
            for node in _before(call.origin, results) & results.keys():
                readers.setdefault(results[node], call.module)
    return [
        (call.module, readers.get(call.module)) for call in calls if isinstance(call.module, Linear)
    ]


def _before(node: Node | None, ends: Container[Node | None] = ()) -> set[Node]:
    """Return all of a graph before a node, itself included; nothing beyond the first ends."""
    found: set[Node] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in found:
            continue
        found.add(node)
        if node not in ends:
            waiting += [before for before, _ in node.next_functions]
    return found


def _check_calls(label: str, module: nn.Module, calls: Sequence[_Call], logits: Tensor) -> None:
    """Refuse what would be measured wrongly.

    Raises:
        ComponentError: If a module stands at several places, shares its weights, is not trained,
            does not reach the logits, or its result is overwritten.
    """
    names = {part: name for name, part in module.named_modules()}
    reached = _before(logits.grad_fn)
    seen: set[object] = set()
    for call in calls:
        what = "activation" if isinstance(call.module, Act) else "layer"
        name = f"model '{label}': {what} '{names[call.module]}'"
        if call.module in seen:
            way = "call act() once for each place" if what == "activation" else "make two layers"
            raise ComponentError(f"{name} is used at several places of one pass; {way}")
        seen.add(call.module)
        if not isinstance(call.module, Linear):
            continue
        if call.output._version != call.version:
            raise ComponentError(f"{name} has its result changed in place; use inplace=False")
        if call.module.weight in seen:
            raise ComponentError(f"{name} has the weights of another layer; give it its own")
        seen.add(call.module.weight)
        if not call.module.weight.requires_grad:
            raise ComponentError(f"{name} is not trained (requires_grad); layers are drawn anew")
        if call.output.grad_fn not in reached:
            raise ComponentError(f"{name} does not reach the logits; leave it out")
    if not any(isinstance(call.module, Linear) for call in calls):
        raise ComponentError(f"model '{label}' calls no nn.Linear and no nn.Conv2d to be measured")


@contextmanager
def _telling(label: str, when: str) -> Iterator[None]:
    """Tell in a sentence what a user's module raises.

    Raises:
        ComponentError: In place of any other exception.
    """
    try:
        yield
    except ComponentError:
        raise
    except Exception as error:
        raise ComponentError(
            f"model '{label}', {when}, raised {type(error).__name__}: {error}"
        ) from error


def _form(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return f"a {type(value).__name__}"
