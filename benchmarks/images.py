"""What would make image networks faster on a CPU? Each idea beside the plain step, as ratios.

    python -m benchmarks.images

* Several seeds of one LeNet at once, by `torch.func.vmap`, against one after another.
* `torch.compile` of a step, where a C++ compiler is found.
* bfloat16 by autocast, and `channels_last`, for ResNet-18.

Networks have plain ReLU modules: `Act` has no rule for vmap, and what is measured here is the best
that each idea could bring. Times are one thread's own, whatever else runs, in turns with the plain
step, and only their ratio means anything.

Shapes: R seeds, B batch, C channels, H height, W width.
"""

import argparse
import copy
import functools
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from fathom.architectures import ARCHITECTURES
from fathom.registry import Choice

LR: Final = 0.01
NUM_CLASSES: Final = 10
SEEDS: Final = 4
ROUNDS: Final = 9
Step = Callable[[], object]


class Gain(NamedTuple):
    """An idea beside the plain step.

    Attributes:
        idea: What it is.
        step_ms: Median time of a plain step, in milliseconds.
        gain: Median of plain time / its time; above 1 it is faster.
        first_s: Time of its first step, in which it may compile, by the clock on the wall.
    """

    idea: str
    step_ms: float
    gain: float
    first_s: float

    def __str__(self) -> str:
        return (
            f"{self.idea}: {self.gain:.2f} times as fast as a plain step of {self.step_ms:.1f} ms; "
            f"its first step took {self.first_s:.1f} s"
        )


def compare(plain: Step, ideas: dict[str, Step], rounds: int = ROUNDS) -> list[Gain]:
    """Time steps in turns, each once a round."""
    plain()
    first_s = {name: _wall(step) for name, step in ideas.items()}
    times: dict[str, list[float]] = {name: [] for name in ideas}
    plain_s = []
    for _ in range(rounds):
        plain_s.append(_own(plain))
        for name, step in ideas.items():
            times[name].append(_own(step))
    step_ms = 1e3 * statistics.median(plain_s)
    return [
        Gain(
            name,
            step_ms,
            statistics.median(slow / fast for slow, fast in zip(plain_s, times[name], strict=True)),
            first_s[name],
        )
        for name in ideas
    ]


def _own(step: Step) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def _wall(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def network(name: str, channels: int, side: int) -> nn.Module:
    """Build an architecture with torch's own ReLU and start."""
    build = ARCHITECTURES.build(Choice(name)).build
    assert build is not None
    return build((channels, side, side), NUM_CLASSES, nn.ReLU)  # type: ignore[arg-type]  # no Act


def loss_of(net: nn.Module, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    """Return the mean cross entropy of a batch."""
    return nn.functional.cross_entropy(net(images_BCHW), labels_B)


def step_of(
    net: nn.Module, images_BCHW: Tensor, labels_B: Tensor, loss: Callable[..., Tensor] = loss_of
) -> Step:
    """Return a step of SGD."""
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)

    def step() -> None:
        optimizer.zero_grad()
        loss(net, images_BCHW, labels_B).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def together(nets: Sequence[nn.Module], images_BCHW: Tensor, labels_B: Tensor) -> Step:
    """Return a step of SGD of several networks of one form, by `torch.func.vmap`."""
    params, buffers = stack_module_state([*nets])
    form = copy.deepcopy(nets[0]).to("meta")

    def loss(params: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        logits = functional_call(form, (params, buffers), (images_BCHW,))
        return nn.functional.cross_entropy(logits, labels_B)

    grads = vmap(grad(loss))

    @torch.no_grad()
    def step() -> None:
        found = grads(params, buffers)
        for name, value in params.items():
            value.sub_(found[name], alpha=LR)

    return step


def _in_bf16(net: nn.Module, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return loss_of(net, images_BCHW, labels_B)


def _batch(channels: int, side: int, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, channels, side, side, generator=generator)
    return images, torch.randint(NUM_CLASSES, (size,), generator=generator)


def seeds_at_once(rounds: int = ROUNDS, batch: int = 64) -> list[Gain]:
    """Compare several seeds of LeNet at once with one after another."""
    data = _batch(1, 28, batch)
    nets = [network("lenet", 1, 28) for _ in range(SEEDS)]
    steps = [step_of(net, *data) for net in nets]
    idea = f"{SEEDS} seeds of lenet by vmap, batches of {batch}"
    own = {idea: together([copy.deepcopy(net) for net in nets], *data)}
    return compare(lambda: [step() for step in steps], own, rounds)


def compiled(name: str, channels: int, side: int, rounds: int = ROUNDS) -> list[Gain]:
    """Compare a compiled step with a plain one."""
    data = _batch(channels, side, 32)
    net = network(name, channels, side)
    loss: Any = torch.compile(loss_of)
    return compare(
        step_of(net, *data),
        {f"{name} compiled": step_of(copy.deepcopy(net), *data, loss=loss)},
        rounds,
    )


def formats(name: str, channels: int, side: int, rounds: int = ROUNDS) -> list[Gain]:
    """Compare bfloat16 and `channels_last` with float32 and channels first."""
    images, labels = _batch(channels, side, 32)
    net = network(name, channels, side)
    last = images.contiguous(memory_format=torch.channels_last)

    def copied(*, channels_last: bool = False) -> nn.Module:
        kept = torch.channels_last if channels_last else torch.preserve_format
        return copy.deepcopy(net).to(memory_format=kept)  # type: ignore[call-overload,no-any-return]

    ideas = {
        f"{name} in bf16": step_of(copied(), images, labels, loss=_in_bf16),
        f"{name} channels_last": step_of(copied(channels_last=True), last, labels),
        f"{name} in bf16, channels_last": step_of(
            copied(channels_last=True), last, labels, loss=_in_bf16
        ),
    }
    return compare(step_of(net, images, labels), ideas, rounds)


def main(argv: Sequence[str] | None = None) -> None:
    """Print what each idea gains."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="steps of each kind")
    rounds = parser.parse_args(argv).rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parts = [
        functools.partial(seeds_at_once, rounds),
        functools.partial(formats, "resnet18", 3, 32, rounds),
        functools.partial(formats, "lenet", 1, 28, rounds),
    ]
    if shutil.which("g++"):
        parts.append(functools.partial(compiled, "lenet", 1, 28, rounds))
        parts.append(functools.partial(compiled, "resnet18", 3, 32, rounds))
    else:
        print("torch.compile: skipped: no g++ is found")
    for part in parts:
        for gain in part():
            print(gain, flush=True)


if __name__ == "__main__":
    main()
