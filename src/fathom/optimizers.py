"""Update rules for stacked parameters, each with torch's own rule beside it.

An optimizer is a record. Its `program` says which operations a step is made of: runs may share a
cohort when their programs are equal, whatever their numbers are. The numbers travel as
`coefficients`, one tensor `[R, 1, 1]` each: every run of a cohort has its own rate, momentum and
decay, and the arithmetic of a run does not depend on what trains beside it.

Shapes: R runs, B batch, I in, O out. A parameter is `[R, I+1, O]`: weights, and the bias as the
last row.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from fathom.registry import Registry, check_number

Coefficients = Mapping[str, Tensor]
Update = Callable[[Tensor, Tensor, tuple[Tensor, ...], Coefficients], None]
Fused = Callable[[Tensor, Tensor, Tensor, tuple[Tensor, ...], Coefficients], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """One update rule with its numbers.

    Attributes:
        name: Name in the registry.
        program: What must be equal among the runs of a cohort.
        num_slots: State tensors per parameter (0 for plain SGD, 2 for Adam), zero at the start.
        coefficients: `coefficients(lr, step)` gives the numbers of a step, counted from 1.
        update: `update(param, grad, slots, c)` changes `param` and `slots` in place; `grad` may be
            overwritten.
        fused: `fused(param, left, right, slots, c)` does the same where the gradient is the product
            `left @ right`, without forming it; None where a rule needs the gradient itself.
        scale: Name of a coefficient by which `fused` wants the gradient multiplied. It is linear in
            dL/dlogits, so that the caller multiplies that, once for the whole network.
        torch: `torch(params, lr)` builds the same rule from torch.
        source: Where the rule comes from.
    """

    name: str
    program: tuple[str | bool, ...]
    num_slots: int
    coefficients: Callable[[float, int], Mapping[str, float]]
    update: Update
    fused: Fused | None
    scale: str | None
    torch: Callable[[Iterable[Tensor], float], torch.optim.Optimizer]
    source: str


def sgd(momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> Optimizer:
    """Stochastic gradient descent, with momentum and L2 weight decay on request.

    Raises:
        ValueError: If momentum is not in [0, 1), the decay is negative, or nesterov lacks momentum.
    """
    check_number("momentum", momentum, minimum=0, below=1)
    check_number("weight_decay", weight_decay, minimum=0)
    if nesterov and momentum == 0:
        raise ValueError("nesterov: needs a momentum > 0")
    has_momentum, has_decay = momentum > 0, weight_decay > 0

    def coefficients(lr: float, step: int) -> Mapping[str, float]:
        return {
            "minus_lr": -lr,
            "momentum": momentum,
            "decay": weight_decay,
            "keep": 1.0 - lr * weight_decay,
        }

    def update(param: Tensor, grad: Tensor, slots: tuple[Tensor, ...], c: Coefficients) -> None:
        if has_decay:
            grad.addcmul_(param, c["decay"])
        if has_momentum:
            (velocity,) = slots
            velocity.mul_(c["momentum"]).add_(grad)
            grad = grad.addcmul_(velocity, c["momentum"]) if nesterov else velocity
        param.addcmul_(grad, c["minus_lr"])

    def descend(
        param: Tensor, left: Tensor, right: Tensor, slots: tuple[Tensor, ...], c: Coefficients
    ) -> None:
        if has_decay:
            param.mul_(c["keep"])
        param.baddbmm_(left, right)

    def gather_speed(
        param: Tensor, left: Tensor, right: Tensor, slots: tuple[Tensor, ...], c: Coefficients
    ) -> None:
        (velocity,) = slots
        velocity.mul_(c["momentum"])
        if has_decay:
            velocity.addcmul_(param, c["decay"])
        param.addcmul_(velocity.baddbmm_(left, right), c["minus_lr"])

    fused = gather_speed if has_momentum else descend
    return Optimizer(
        name="sgd",
        program=("sgd", has_momentum, nesterov, has_decay),
        num_slots=int(has_momentum),
        coefficients=coefficients,
        update=update,
        fused=None if nesterov else fused,
        scale=None if has_momentum else "minus_lr",
        torch=lambda params, lr: torch.optim.SGD(
            params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        ),
        source="Sutskever et al. 2013, ICML, sec. 2, in torch's convention (the rate outside)",
    )


def adam(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
) -> Optimizer:
    """Adam; its weight decay is added to the gradient.

    Raises:
        ValueError: If a beta is not in [0, 1), or eps or the decay is negative.
    """
    return _adam("adam", beta1, beta2, eps, weight_decay, decoupled=False)


def adamw(
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01
) -> Optimizer:
    """Adam with decoupled weight decay.

    Raises:
        ValueError: If a beta is not in [0, 1), or eps or the decay is negative.
    """
    return _adam("adamw", beta1, beta2, eps, weight_decay, decoupled=True)


def _adam(
    name: str, beta1: float, beta2: float, eps: float, weight_decay: float, *, decoupled: bool
) -> Optimizer:
    check_number("beta1", beta1, minimum=0, below=1)
    check_number("beta2", beta2, minimum=0, below=1)
    check_number("eps", eps, minimum=0)
    check_number("weight_decay", weight_decay, minimum=0)

    def coefficients(lr: float, step: int) -> Mapping[str, float]:
        return {
            "lr": lr,
            "step": step,
            "beta1": beta1,
            "beta2": beta2,
            "eps": eps,
            "decay": weight_decay,
        }

    def update(param: Tensor, grad: Tensor, slots: tuple[Tensor, ...], c: Coefficients) -> None:
        if param.is_cpu:
            _adam_run_by_run(kernel, param, grad, slots, c)
        else:
            _adam_of_all_runs(param, grad, slots, c, decoupled=decoupled)

    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    rule = torch.optim.AdamW if decoupled else torch.optim.Adam
    return Optimizer(
        name=name,
        program=(name,),
        num_slots=2,
        coefficients=coefficients,
        update=update,
        fused=None,
        scale=None,
        torch=lambda params, lr: rule(
            params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay
        ),
        source="Kingma & Ba 2015, arXiv:1412.6980, sec. 2, the order of operations at its end"
        + ("; Loshchilov & Hutter 2019, arXiv:1711.05101, alg. 2" if decoupled else ""),
    )


def _adam_run_by_run(
    kernel: Callable[..., None],
    param: Tensor,
    grad: Tensor,
    slots: tuple[Tensor, ...],
    c: Coefficients,
) -> None:
    """Update with the kernel behind torch's `fused=True`: one pass over memory instead of five.

    The kernel takes a run's numbers as Python floats, which on a CPU cost nothing to read.
    """
    first, second = slots
    names = ("lr", "beta1", "beta2", "eps", "decay")
    numbers = zip(*(c[name].flatten().tolist() for name in names), strict=True)
    tensors = zip(param, grad, first, second, c["step"].flatten(), strict=True)
    for (p, g, m, v, step), (lr, beta1, beta2, eps, decay) in zip(tensors, numbers, strict=True):
        kernel(
            [p], [g], [m], [v], [], [step],
            lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay, eps=eps,
            amsgrad=False, maximize=False,
        )  # fmt: skip


def _adam_of_all_runs(
    param: Tensor, grad: Tensor, slots: tuple[Tensor, ...], c: Coefficients, *, decoupled: bool
) -> None:
    """Update without reading a number back from the device."""
    first, second = slots
    if decoupled:
        param.mul_(1 - c["lr"] * c["decay"])
    else:
        grad.addcmul_(param, c["decay"])
    first.lerp_(grad, 1 - c["beta1"])
    second.lerp_(grad.mul_(grad), 1 - c["beta2"])
    growth = torch.sqrt(1 - c["beta2"] ** c["step"])
    denominator = torch.sqrt(second, out=grad).addcmul_(growth, c["eps"])
    size = c["lr"] * growth / (1 - c["beta1"] ** c["step"])
    param.addcmul_(torch.div(first, denominator, out=grad), -size)


OPTIMIZERS: Final = Registry("optimizer", (sgd, adam, adamw))
