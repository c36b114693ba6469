"""Which axis of a tensor its units lie on, followed from function to function through a network.

Linear maps, convolutions and normalisations say where units are in what they return: last, or at
the place of channels. What comes after them keeps that axis, moves it (`transpose`), or loses it (a
reshape that cuts it into pieces); the next map says it anew. A matrix `[samples, units]` needs
nobody to say it.

Not covered: functions that torch does not announce, such as a `torch.autograd.Function` of the
user's own or a scripted module; where the units of their results are is not known.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

Function = Callable[..., Any]

# Where functions put units, whatever they are given.
_PLACED: Final = {
    **dict.fromkeys(("linear", "bilinear", "embedding", "multi_head_attention_forward"), -1),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), -1),
    **{f"{kind}{n}d": -1 - n for kind in ("conv", "conv_transpose") for n in (1, 2, 3)},
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), -3),
    **dict.fromkeys(("batch_norm", "group_norm", "instance_norm"), 1),
}
_OVER_LAST_AXES: Final = ("layer_norm", "rms_norm")
_PRODUCTS: Final = ("matmul", "mm", "bmm")
_MOVES: Final = (
    *("transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"),
    *("t", "T", "mT", "H", "mH", "adjoint"),
)
_MIXED: Final = ("einsum", "tensordot", "baddbmm")  # an axis of the result may be any


class UnitAxes:
    """What is known of the tensors of one forward pass.

    Args:
        net: The network, whose parameters and buffers are no samples.
    """

    def __init__(self, net: nn.Module) -> None:
        self._axes: Any = WeakTensorKeyDictionary()  # of those that somebody said
        self._fixed: Any = WeakTensorKeyDictionary()  # tensors that do not depend on the input
        for tensor in (*net.parameters(), *net.buffers()):
            self._fixed[tensor] = True

    def of(self, h: Tensor) -> int | None:
        """Return the axis of a tensor's units; None where it is not known."""
        found: int | None = self._axes.get(h)
        return 1 if found is None and h.dim() == 2 else found

    def is_sampled(self, h: Tensor, batch_size: int) -> bool:
        """Tell whether a tensor has numbers for each input of the batch, as a parameter has not."""
        if h in self._fixed or h.dim() == 0 or h.numel() == 0:
            return False
        axis = self.of(h)
        if axis is None:
            return h.numel() % batch_size == 0 if h.dim() > 1 else len(h) == batch_size
        return h.numel() // h.shape[axis] % batch_size == 0

    def pass_on(self, given: Tensor, result: Tensor) -> None:
        """Note that a tensor has its units where another one of its shape has them."""
        self._note(result, self.of(given))

    def follow(
        self, func: Function, args: tuple[Any, ...], options: Mapping[str, Any], result: object
    ) -> None:
        """Note where a function of torch has left the units.

        Args:
            func: The function or method.
            args: What it was given by place.
            options: What it was given by name.
            result: What it returned.
        """
        written = args[0] if _name(func) == "setitem" else result
        results = [*_tensors((written,))]
        if not results:
            return
        given = [*_tensors(args), *_tensors(options.values())]
        if given and all(tensor in self._fixed for tensor in given):
            for tensor in results:
                self._fixed[tensor] = True
            return
        for tensor in results:
            self._fixed.pop(tensor, None)  # where samples are written into a copy of a parameter
            self._note(tensor, self._axis(func, args, options, given, tensor))

    def _note(self, tensor: Tensor, axis: int | None) -> None:
        if axis is None:
            self._axes.pop(tensor, None)
        else:
            self._axes[tensor] = axis

    def _axis(
        self,
        func: Function,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
        given: list[Tensor],
        result: Tensor,
    ) -> int | None:
        name, dims = _name(func), result.dim()
        if name in _OVER_LAST_AXES and len(_argument(args, options, 1, "normalized_shape")) == 1:
            return dims - 1
        if name in _PLACED:
            return _PLACED[name] % dims if dims > 1 else None
        if name in _PRODUCTS:  # W x has its units where W has its rows
            is_left = given[0] in self._fixed
            return dims - 2 if is_left and dims > 1 else dims - 1
        if name in _MIXED:
            return None
        sources = [(tensor, self.of(tensor)) for tensor in given if tensor not in self._fixed]
        known = [(tensor.shape, axis) for tensor, axis in sources if axis is not None]
        if name in _MOVES:
            return _moved(func, args, options, known[0][1], dims) if known else None
        kept = (_kept(shape, axis, result.shape) for shape, axis in known)
        return next((axis for axis in kept if axis is not None), None)


def _name(func: Function) -> str:
    name: str = getattr(func, "__name__", "")
    if name == "__get__":  # of an attribute such as `x.mT`
        name = getattr(getattr(func, "__self__", None), "__name__", "")
    return name.strip("_")


def _argument(args: tuple[Any, ...], options: Mapping[str, Any], place: int, name: str) -> Any:  # noqa: ANN401 - whatever it is
    return args[place] if len(args) > place else options[name]


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from (item for item in value if isinstance(item, Tensor))


def _moved(
    func: Function, args: tuple[Any, ...], options: Mapping[str, Any], axis: int, dims: int
) -> int:
    """Move axes of different lengths, and see where one has gone."""
    probe = torch.empty(tuple(range(2, 2 + dims)), device="meta")
    if args:
        moved = func(probe, *args[1:], **options)
    else:
        moved = func(**{**options, "input": probe})
    return int(moved.shape.index(2 + axis))


def _kept(before: torch.Size, axis: int, after: torch.Size) -> int | None:
    """Find an axis again in the shape of a result.

    A function that keeps all numbers reshapes them: an axis is still there if it has its length,
    and as many numbers before it. Any other leaves axes where they are, unless it leaves some out.
    """
    if before != after and before.numel() == after.numel():
        heads = [math.prod(after[:place]) for place in range(len(after))]
        wanted = (math.prod(before[:axis]), before[axis])
        pairs = [*zip(heads, after, strict=True)]
        return pairs.index(wanted) if wanted in pairs else None
    return axis if len(before) == len(after) else None
