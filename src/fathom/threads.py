"""How torch computes on a CPU: with how many threads, and with or without denormal numbers.

Small tensors lose more to the meeting of threads than they gain from these, and the last bits of
many results depend on their number.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread; put the number back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Let denormal numbers, which are slow, be zero; put it back afterwards."""
    before = _flushes_denormal()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _flushes_denormal() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)  # torch has a setter, but no getter
    return bool((smallest * 0.5) == 0)
