"""Is a third-order Taylor polynomial a good exp? And what does softmax lose without the maximum?

    python -m benchmarks.taylor_exp

Three answers: how long the two take, side by side in rounds; how wrong the polynomial is; and
whether a network trains with it in SELU or in the softmax. Times are one thread's own, whatever
else runs, and only their ratio means anything.

Shapes: B batch, I in, O out, K classes.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fathom.activations.exponential import SELU_ALPHA, SELU_SCALE
from fathom.data.config import DataConfig
from fathom.data.splits import prepare

Numbers = TypeVar("Numbers", Tensor, NDArray[np.float64])
Exp = Callable[[Tensor], Tensor]

SIZES: Final = (12_800, 4_194_304)  # 128 units x 100 samples; more than a cache holds
ROUNDS: Final = 25
POINTS: Final = (-10.0, -3.0, -1.0, -0.1, 0.1, 1.0, 3.0, 10.0)
STARTS: Final = ((0.3, 0.03), (1.0, 0.03), (3.0, 1e-5))  # gain of the weights, rate
STEPS: Final = 800
WIDTHS: Final = (64, 64, 64, 64, 10)


def taylor(x: Numbers) -> Numbers:
    """Return 1 + x + x^2 / 2 + x^3 / 6, by Horner's rule.

    It lies within e^|x| x^4 / 24 of exp, rises everywhere, and is negative below -1.5961, its only
    root.
    """
    return 1 + x * (1 + x * (0.5 + x * (1 / 6)))


def taylor_in_place(x: Numbers) -> Numbers:
    """Return the same with one allocation: the fastest that arrays allow, if not autograd."""
    y = x * (1 / 6)
    y += 0.5
    y *= x
    y += 1
    y *= x
    y += 1
    return y


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Which exp a network is made with.

    Attributes:
        name: In words.
        selu: In the activation, on negative numbers.
        softmax: In the loss.
        shifted: Whether the largest logit is subtracted first.
        logged: Whether the logarithm is taken of the sum alone, which makes it the log-softmax.
    """

    name: str
    selu: Exp = torch.exp
    softmax: Exp = torch.exp
    shifted: bool = True
    logged: bool = False


VARIANTS: Final = (
    Arithmetic(name="exp, log-softmax", logged=True),
    Arithmetic(name="exp, maximum subtracted"),
    Arithmetic(name="exp, no maximum", shifted=False),
    Arithmetic(name="Taylor in SELU", selu=taylor),
    Arithmetic(name="Taylor in softmax, maximum subtracted", softmax=taylor),
    Arithmetic(name="Taylor in softmax, no maximum", softmax=taylor, shifted=False),
)


class Outcome(NamedTuple):
    """How a training went.

    Attributes:
        lost_at: First step, counted from 1, whose loss is not finite; 0 if there is none.
        accuracy: Share of hits on the training part at the end, 0 if it was lost.
    """

    lost_at: int
    accuracy: float


def selu(h: Tensor, exp: Exp) -> Tensor:
    """Return SELU with its exp exchanged; it is given negative numbers only."""
    return SELU_SCALE * torch.where(h > 0, h, SELU_ALPHA * (exp(h.clamp_max(0)) - 1))


def cross_entropy(logits_BK: Tensor, target_B: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Return the mean of -ln of the label's share, as it stands in textbooks unless `logged`."""
    if arithmetic.shifted:
        logits_BK = logits_BK - logits_BK.detach().amax(-1, keepdim=True)
    exp_BK = arithmetic.softmax(logits_BK)
    label_B1, total_B1 = target_B[:, None], exp_BK.sum(-1, keepdim=True)
    if arithmetic.logged:
        return (total_B1.log() - logits_BK.gather(-1, label_B1)).mean()
    return -(exp_BK.gather(-1, label_B1) / total_B1).log().mean()


def train(arithmetic: Arithmetic, gain: float, lr: float, steps: int = STEPS) -> Outcome:
    """Train four hidden layers of SELU on digits by autograd and plain SGD.

    Args:
        arithmetic: Its exp.
        gain: Standard deviation of the initial weights times sqrt(fan_in); all start from the same
            draws.
        lr: Learning rate.
        steps: Steps of 100 samples.
    """
    data = prepare(DIGITS)
    inputs, targets = data.scale(data.train.inputs, torch.float32), data.train.targets
    weights = _weights(data.num_features, gain)
    for step in range(1, steps + 1):
        first = (step - 1) * 100 % (len(targets) - 100)
        batch = slice(first, first + 100)
        loss = cross_entropy(
            forward(inputs[batch], weights, arithmetic), targets[batch], arithmetic
        )
        if not loss.isfinite():
            return Outcome(step, 0.0)
        for weight, grad in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.data.sub_(grad, alpha=lr)
    hits_N = forward(inputs, weights, arithmetic).argmax(-1) == targets
    return Outcome(0, float(hits_N.float().mean()))


def forward(x_BI: Tensor, weights: Sequence[Tensor], arithmetic: Arithmetic) -> Tensor:
    """Return the logits."""
    *hidden, last = weights
    for weight_IO in hidden:
        x_BI = selu(x_BI @ weight_IO, arithmetic.selu)
    return x_BI @ last


def ratio(exp: Callable[[Any], Any], x: Tensor | NDArray[np.float64]) -> float:
    """Return how many times as long exp takes as the polynomial, the median over rounds."""
    for function in (exp, taylor_in_place):
        _seconds(function, x)
    return statistics.median(_seconds(exp, x) / _seconds(taylor_in_place, x) for _ in range(ROUNDS))


DIGITS: Final = DataConfig(
    name="digits",
    path=None,
    scaling="standard",
    protocol="train_test",
    validation_share=0.1,
    test_share=0.2,
    limit=None,
    seed=42,
)


def _weights(num_features: int, gain: float) -> list[Tensor]:
    draws = torch.Generator().manual_seed(42)
    sizes = itertools.pairwise((num_features, *WIDTHS))
    return [
        (torch.randn(fan_in, fan_out, generator=draws) * gain / fan_in**0.5).requires_grad_()
        for fan_in, fan_out in sizes
    ]


def _seconds(function: Callable[[Any], Any], x: Tensor | NDArray[np.float64]) -> float:
    start = time.process_time()
    for _ in range(max(1, 2_000_000 // len(x))):
        function(x)
    return time.process_time() - start


def main() -> None:
    """Print the three answers."""
    torch.set_num_threads(1)
    console = Console(width=100)
    for size in SIZES:
        in_torch = ratio(torch.exp, torch.linspace(-3, 3, size))
        in_numpy = ratio(np.exp, np.linspace(-3, 3, size))
        console.print(
            f"{size:,} numbers: exp takes {in_torch:.2f} times as long as the polynomial in torch "
            f"(float32), {in_numpy:.2f} times in NumPy (float64)"
        )
    x = torch.tensor(POINTS, dtype=torch.float64)
    errors = ((taylor(x) - x.exp()) / x.exp()).tolist()
    for point, error in zip(POINTS, errors, strict=True):
        console.print(f"x = {point:g}: relative error {error:+.2g}")
    table = Table(title=f"Four hidden layers of SELU on digits, {STEPS} steps")
    for title in ("arithmetic", *(f"gain {gain:g}, rate {lr:g}" for gain, lr in STARTS)):
        table.add_column(title)
    for arithmetic in VARIANTS:
        outcomes = [train(arithmetic, gain, lr) for gain, lr in STARTS]
        cells = [
            f"lost at step {o.lost_at}" if o.lost_at else f"{o.accuracy:.1%}" for o in outcomes
        ]
        table.add_row(arithmetic.name, *cells)
    console.print(table)


if __name__ == "__main__":
    main()
