"""Normalisation between an affine map and its activation: forward and backward over all runs.

With the mean m and the variance v of h, over the units of a sample (`layer_norm`) or over the
samples of a batch (`batch_norm`), the hat of a value is (h - m) / sqrt(v + eps), and
n = gamma hat + beta with two trained numbers for each unit. What flows back through m and v takes
two directions out of the gradient: with g = gamma dL/dn and means over the same numbers,

    dL/dh = (g - mean(g) - hat mean(g hat)) / sqrt(v + eps).

In evaluation `batch_norm` takes running statistics instead of the batch's own; these do not depend
on h, so that dL/dh = g / sqrt(v + eps). The probe takes the batch's own without remembering them;
`base.Engine.probe` says why.

Only operations that round exactly and sums along one run are used: see `stacks.py` for why.

Shapes: R runs, B batch, O units.
"""

from typing import Final, Protocol

import torch
from torch import Tensor

from fathom.engine.layers import Parameter, Workspace
from fathom.models.mlp import NORM_EPS, NORM_MOMENTUM
from fathom.spec.grid import Norm as Kind

UNITS: Final = 1  # the dimensions of `[R, O, B]`
SAMPLES: Final = 2


class NormSink(Protocol):
    """Takes the gradient of a normalisation's parameters during backward."""

    def norm(self, layer: "Norm", grad: Tensor) -> None:
        """Receive the gradient `[R, 2, O]` of gamma and beta, which may be overwritten."""


class RunningStatistics:
    """Mean and variance of every unit over the batches seen so far, `[R, O]`.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, alg. 2, as torch's `BatchNorm1d` does it: an
    exponential average from mean 0 and variance 1 on, of the variance with B - 1 in the
    denominator.
    """

    def __init__(self, like: Tensor) -> None:
        self.mean, self.variance = torch.zeros_like(like), torch.ones_like(like)

    def follow(self, mean: Tensor, variance: Tensor, batch: int) -> None:
        """Move towards a batch's statistics `[R, O, 1]`; its variance is taken over B."""
        unbiased = variance * (batch / (batch - 1))
        for running, new in ((self.mean, mean), (self.variance, unbiased)):
            running.mul_(1 - NORM_MOMENTUM).add_(new.squeeze(2) * NORM_MOMENTUM)


class Norm:
    """`layer_norm` or `batch_norm` of every run's units at one depth.

    Not covered: `batch_norm` of a single sample, which has no variance; the plan refuses it.

    Args:
        index: Number of the layer from 0.
        kind: `layer_norm` or `batch_norm`.
        parameter: gamma and beta of every run, `[R, 2, O]`.
        space: Where buffers come from.

    Source: Ba et al. 2016, arXiv:1607.06450, eq. 4; Ioffe & Szegedy 2015, arXiv:1502.03167, alg. 1
    and sec. 3 (the derivative).
    """

    def __init__(self, index: int, kind: Kind, parameter: Parameter, space: Workspace) -> None:
        self.index = index
        self.parameter = parameter
        self.running = RunningStatistics(parameter.bias) if kind == "batch_norm" else None
        self._over = UNITS if self.running is None else SAMPLES
        self._space = space
        self._gamma, self._beta = (parameter.value[:, row, :, None] for row in (0, 1))
        self._hat = self._inverse = torch.empty(0)
        self._own = True  # whether the last forward took the statistics of its own input

    def forward(self, h: Tensor, *, training: bool, remember: bool = True) -> None:
        """Turn h into n in place, `[R, O, B]`.

        Args:
            h: Pre-activations.
            training: Whether `batch_norm` takes the batch's statistics instead of running ones.
            remember: Whether running statistics follow those of a batch that is taken.
        """
        self._own = training or self.running is None
        self._hat = self._space.take_units(f"hat{self.index}", *h.shape)
        if self.running is not None and not training:
            variance = self.running.variance[:, :, None]
            torch.sub(h, self.running.mean[:, :, None], out=self._hat)
        else:
            mean = h.mean(self._over, keepdim=True)
            torch.sub(h, mean, out=self._hat)
            variance = torch.mul(self._hat, self._hat, out=h).mean(self._over, keepdim=True)
            if self.running is not None and remember:
                self.running.follow(mean, variance, h.shape[2])
        self._inverse = (variance + NORM_EPS).sqrt_().reciprocal_()
        self._hat.mul_(self._inverse)
        torch.mul(self._hat, self._gamma, out=h).add_(self._beta)

    def output(self) -> Tensor:
        """Return n of the last forward again, in memory of its own."""
        return (self._hat * self._gamma).add_(self._beta)

    def backward(self, grad: Tensor, sink: NormSink) -> Tensor:
        """Turn dL/dn `[R, O, B]` into dL/dh in place; the sink receives dL/dgamma and dL/dbeta."""
        num_runs, num_units, _ = grad.shape
        product = self._space.take_units(f"hat times gradient of {num_units}", *grad.shape)
        both = self._space.take(f"norm gradient {self.index}", num_runs, 2, num_units)
        both[:, 0] = torch.mul(grad, self._hat, out=product).sum(SAMPLES)
        both[:, 1] = grad.sum(SAMPLES)
        grad.mul_(self._gamma)
        if self._own:
            along = torch.mul(grad, self._hat, out=product).mean(self._over, keepdim=True)
            grad.sub_(grad.mean(self._over, keepdim=True))
            grad.sub_(torch.mul(self._hat, along, out=product))
        grad.mul_(self._inverse)
        sink.norm(self, both)
        return grad

    def weights(self, name: str) -> dict[str, Tensor]:
        """Return copies `[R, O]` of all that the map is made of, named as torch names it."""
        value = self.parameter.value
        found = {"weight": value[:, 0], "bias": value[:, 1], **self._running_state()}
        return {f"{name}.{key}": tensor.clone().cpu() for key, tensor in found.items()}

    def state(self, name: str) -> dict[str, Tensor]:
        """Return the tensors themselves, under names that begin with `name`."""
        running = {f"{name}.{key}": tensor for key, tensor in self._running_state().items()}
        return self.parameter.state(name) | running

    def _running_state(self) -> dict[str, Tensor]:
        if self.running is None:
            return {}
        return {"running_mean": self.running.mean, "running_var": self.running.variance}
