"""Stacks of runs `[R, ...]`: what keeps a run's bits independent of its place and its siblings.

Two traps were measured on CPUs. torch's elementwise kernels handle what is left over at the end of
a tensor by another formula, and a matrix product's last bits can depend on where in a cache line
its operands begin. So every run of a stack begins on a boundary, and a run that does not fill whole
vectors is handled alone.
"""

import math
from typing import Final

import torch
from torch import Tensor

# Elements that torch's CPU kernels take at once: at most four AVX-512 registers of float32. In any
# precision a multiple of it is a multiple of a cache line, too.
VECTOR_BLOCK: Final = 64


def room(num_runs: int, *shape: int) -> int:
    """Return the elements of memory that `lay_out` takes.

    >>> room(2, 5, 13), room(2, 8, 8)
    (256, 128)
    """
    return num_runs * (-(-math.prod(shape) // VECTOR_BLOCK) * VECTOR_BLOCK)


def lay_out(memory: Tensor, num_runs: int, *shape: int) -> Tensor:
    """View memory of `room` elements as a stack `[R, *shape]` whose runs begin on boundaries."""
    rows = memory.view(num_runs, -1)[:, : math.prod(shape)]
    return rows.view(num_runs, *shape)


def aligned(stack: Tensor) -> Tensor:
    """Copy a stack to where its runs begin on boundaries."""
    memory = torch.empty(room(*stack.shape), dtype=stack.dtype, device=stack.device)
    return lay_out(memory, *stack.shape).copy_(stack)


def apart(stack: Tensor) -> tuple[Tensor, ...]:
    """Split a stack into stacks of one where a CPU's vector registers would be shared by runs."""
    if not stack.is_cpu or stack[0].numel() % VECTOR_BLOCK == 0:
        return (stack,)
    return tuple(stack[run : run + 1] for run in range(len(stack)))
