"""An epoch as a device sees it: everything a step needs lies in tables, at a row that it counts.

So a step reads nothing from the host and can be captured once and replayed: on a GPU as a CUDA
graph, which starts all kernels of a step at once.

Shapes: R runs, B batch, T steps of an epoch.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

WARM_UP_STEPS = 3  # before a capture: libraries allocate and choose their kernels


class EpochTables:
    """The order of samples, the optimizer's coefficients and the sums of one epoch.

    Args:
        num_runs: R.
        device: Where everything lies; the same memory serves every epoch.

    Attributes:
        loss_sum: Sum of losses so far, `[R]` in float64.
        hit_sum: Number of hits so far, likewise.
        first_bad: Number of the first step with a non-finite loss, from 1 over all epochs; -1.
    """

    def __init__(self, num_runs: int, device: torch.device) -> None:
        self._device = device
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._steps_before = torch.zeros(1, dtype=torch.float64, device=device)
        self._order = torch.empty(0)
        self._coefficients: dict[str, Tensor] = {}
        self.loss_sum, self.hit_sum, self.first_bad = (
            torch.zeros(num_runs, dtype=torch.float64, device=device) for _ in range(3)
        )

    def begin(
        self, batches: Sequence[Tensor], coefficients: Mapping[str, Tensor], steps_before: int
    ) -> None:
        """Fill the tables for an epoch.

        Args:
            batches: Numbers of the samples of each batch; the last may be smaller.
            coefficients: Name to `[T, R, 1, 1]`.
            steps_before: Steps taken in earlier epochs.
        """
        order = torch.nn.utils.rnn.pad_sequence(list(batches), batch_first=True)
        if self._order.shape != order.shape:
            self._order = torch.empty_like(order, device=self._device)
            self._coefficients = {
                name: torch.empty_like(table, device=self._device)
                for name, table in coefficients.items()
            }
        self._order.copy_(order)
        for name, table in coefficients.items():
            self._coefficients[name].copy_(table)
        self._steps_before.fill_(steps_before)
        self._row.zero_()
        self.loss_sum.zero_()
        self.hit_sum.zero_()
        self.first_bad.fill_(-1)

    def current(self, batch_size: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sample numbers `[B]` and coefficients `[R, 1, 1]` of the current step."""
        samples = self._order.index_select(0, self._row)[0, :batch_size]
        rows = {name: t.index_select(0, self._row)[0] for name, t in self._coefficients.items()}
        return samples, rows

    def note(self, loss_RB: Tensor, hits_RB: Tensor) -> None:
        """Add what the current step found, and go on to the next."""
        batch_loss = loss_RB.double().sum(1)
        self.loss_sum += batch_loss
        self.hit_sum += hits_RB.sum(1)
        self._row += 1
        fresh = (self.first_bad < 0) & ~torch.isfinite(batch_loss)
        self.first_bad.copy_(torch.where(fresh, self._steps_before + self._row, self.first_bad))


class Repeater:
    """Does a step many times; on a GPU it captures the step once, and then replays it.

    Args:
        device: Where the step computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None

    def repeat(self, step: Callable[[], None], times: int) -> None:
        """Do a step so many times.

        Args:
            step: Always the same; it reads nothing from the host, and works in memory that stays
                where it is.
            times: At least 0.
        """
        if self._device.type == "cuda" and self._graph is None and times > WARM_UP_STEPS:
            self._graph = _capture(step)
            times -= WARM_UP_STEPS
        once = step if self._graph is None else self._graph.replay
        for _ in range(times):
            once()


def _capture(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Do the first steps on a stream of their own, as a capture demands, and capture the next."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph
