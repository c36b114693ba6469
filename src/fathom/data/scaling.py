"""Scalings of the inputs: fitted once on the training part, then a pure function of each sample.

A sample gives the same bits whatever batch it is in. All constants are single numbers for the whole
data set, as is usual for images, never one for each feature: features keep their relations.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fathom.data.config import Scaling

_ROWS_AT_A_TIME: Final = 4096
_NUMBERS_AT_A_TIME: Final = 2**24  # 128 MB in float64
_PIXEL_RANGE: Final = (0.0, 255.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A fitted scaling: `(x - shift) / divisor`, or each sample's own z-score.

    Attributes:
        shift: Subtracted first.
        divisor: Divided by then, not 0.
        per_sample: Use the mean and standard deviation of each sample instead of the two numbers.
    """

    shift: float = 0.0
    divisor: float = 1.0
    per_sample: bool = False

    def __call__(self, inputs_NI: Tensor, dtype: torch.dtype) -> Tensor:
        """Scale samples.

        Args:
            inputs_NI: `[N, I]` in storage type; left as it is.
            dtype: Floating-point type of the result; the arithmetic is done in it, or in the
                storage type if that is wider.

        Returns:
            `[N, I]`, a new tensor.
        """
        x = inputs_NI.to(torch.promote_types(inputs_NI.dtype, dtype), copy=True)
        scaled = _standardize_rows(x) if self.per_sample else x.sub_(self.shift).div_(self.divisor)
        return scaled.to(dtype)

    def write_columns(self, inputs_NI: Tensor, out_IN: Tensor) -> None:
        """Write what `__call__` returns into a buffer, transposed, bit for bit."""
        if self.per_sample or torch.promote_types(inputs_NI.dtype, out_IN.dtype) != out_IN.dtype:
            out_IN.copy_(self(inputs_NI, out_IN.dtype).T)
        else:
            out_IN.copy_(inputs_NI.T).sub_(self.shift).div_(self.divisor)


def fit(scaling: Scaling, inputs_NI: Tensor) -> Scale:
    """Find the constants of a scaling on the training part.

    `unit` maps the range to [0, 1] and `symmetric` to [-1, 1]; the range is 0 to 255 for uint8 and
    the smallest to the largest value of the training part for anything else. `standard` uses the
    mean and the standard deviation (population form) of all numbers of the training part. Where
    all numbers are equal nothing is divided.

    Args:
        scaling: Which one.
        inputs_NI: Training part `[N, I]` in storage type.
    """
    match scaling:
        case "none":
            return Scale()
        case "per_image":
            return Scale(per_sample=True)
        case "standard":
            mean, std = _moments(inputs_NI)
            return Scale(shift=mean, divisor=std or 1.0)
    low, high = _PIXEL_RANGE
    if inputs_NI.dtype != torch.uint8:
        low, high = inputs_NI.min().item(), inputs_NI.max().item()
    if scaling == "unit":
        return Scale(shift=low, divisor=(high - low) or 1.0)
    return Scale(shift=(low + high) / 2, divisor=(high - low) / 2 or 1.0)


def _moments(inputs_NI: Tensor) -> tuple[float, float]:
    """Return mean and standard deviation in float64, the same for any number of threads."""
    count = inputs_NI.numel()
    rows = max(1, min(_ROWS_AT_A_TIME, _NUMBERS_AT_A_TIME // inputs_NI.shape[1]))
    blocks = [block.numpy() for block in torch.split(inputs_NI, rows)]
    mean = sum(float(block.sum(dtype="float64")) for block in blocks) / count
    squares = sum(float(((block.astype("float64") - mean) ** 2).sum()) for block in blocks)
    return mean, (squares / count) ** 0.5


def _standardize_rows(x_NI: Tensor) -> Tensor:
    """Give each row mean 0 and standard deviation 1 (population form); equal numbers become 0."""
    exact = x_NI.double()  # sums of pixels are exact in float64: no order of adding matters
    centred = exact - exact.mean(dim=1, keepdim=True)
    std = centred.square().mean(dim=1, keepdim=True).sqrt()
    # Compared directly: rounding would leave a constant row with a tiny, wild deviation.
    constant = exact.amax(dim=1, keepdim=True) == exact.amin(dim=1, keepdim=True)
    return torch.where(constant, torch.zeros_like(centred), centred / std)
