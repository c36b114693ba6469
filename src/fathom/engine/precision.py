"""The precision of numbers, and that of the products between them.

`tf32` and `bf16` keep every number in float32 and let products round their factors to 10 or 7 bits
of fraction, where the hardware is faster for it; sums are kept in float32. Not covered: on a CPU,
products of fewer than 4,096 multiplications, all runs of a cohort together, are not rounded, so
that a bf16 run of such tiny layers may depend on its siblings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from fathom.errors import FathomError

_REDUCED: Final = {"tf32": 10, "bf16": 7}  # bits of fraction


def dtype_of(precision: str) -> torch.dtype:
    """Return the type in which numbers are kept.

    >>> dtype_of("float64"), dtype_of("bf16")
    (torch.float64, torch.float32)
    """
    return torch.float64 if precision == "float64" else torch.float32


@contextmanager
def products_in(precision: str, device: torch.device) -> Iterator[None]:
    """Let products round as a precision allows within the block.

    Raises:
        FathomError: If this device does not round so: the result would be no other than float32's,
            under another name.
    """
    library: Any = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    # A GPU's convolutions round to TF32 by default, unasked.
    cudnn: Any = torch.backends.cudnn
    convolutions = cudnn.conv
    before = library.matmul.fp32_precision, convolutions.fp32_precision
    reduced = precision in _REDUCED
    try:
        try:
            library.matmul.fp32_precision = precision if reduced else "ieee"
            convolutions.fp32_precision = "tf32" if precision == "tf32" else "ieee"
            is_there = not reduced or fraction_bits(device) == _REDUCED[precision]
        except RuntimeError:  # torch knows no such products on this kind of device
            is_there = False
        if not is_there:
            raise FathomError(
                f"precision '{precision}': torch offers no such products on this "
                f"{device.type.upper()}; use precision float32"
            )
        yield
    finally:
        library.matmul.fp32_precision, convolutions.fp32_precision = before


def require_precision(precision: str, device: torch.device) -> None:
    """Check that a device computes products in a precision.

    Raises:
        FathomError: If it does not.
    """
    with products_in(precision, device):
        pass


def is_available(precision: str, device: torch.device) -> bool:
    """Tell whether a device computes products in a precision."""
    try:
        require_precision(precision, device)
    except FathomError:
        return False
    return True


def fraction_bits(device: torch.device) -> int:
    """Return how many bits of a factor's fraction a product of float32 matrices looks at.

    Found by trial: 1 + 2^-k is rounded to 1 where k is beyond them.
    """
    ones = torch.eye(64, device=device).repeat(2, 1, 1)
    for bits in range(23, 0, -1):
        factor = ones * (1 + 2.0**-bits)
        if not torch.equal(torch.bmm(factor, ones), ones):
            return bits
    return 0
