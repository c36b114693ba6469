"""Want of memory, told with the setting that would take less; the experiment is never changed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an exception, or its cause, means that memory did not suffice."""
    if error is None:
        return False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # torch's allocator on the CPU has no exception of its own.
    by_allocator = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    return by_allocator or is_out_of_memory(error.__cause__)


@contextmanager
def told_by(setting: str, size: int, *, least: int = 1) -> Iterator[None]:
    """Say which setting needs the memory that does not suffice within the block.

    Args:
        setting: Dotted path of the setting that counts the samples.
        size: Its value.
        least: The smallest value that is allowed.

    Raises:
        MemoryError: In place of what was raised for want of memory; the text suggests the largest
            power of two below `size`, where it is allowed.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        smaller = 1 << max(0, (size - 1).bit_length() - 1)
        text = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        way = f"; try --set {setting}={smaller}" if least <= smaller < size else ""
        raise MemoryError(f"{text}; {setting} is {size}{way}") from error
