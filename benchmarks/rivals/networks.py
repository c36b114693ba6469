"""What the rivals in torch share: the networks as ordinary modules, the data as tensors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from benchmarks.setting import LayerWeights, Samples

if TYPE_CHECKING:  # at run time torch is imported in a rival's process only
    from collections.abc import Sequence

    from torch import Tensor, nn


def sequential(weights: Sequence[LayerWeights], activation: str) -> nn.Sequential:
    """Build an MLP that maps `[B, 784]` to logits `[B, 10]`."""
    import torch
    from torch import nn

    kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}
    modules: list[nn.Module] = []
    for weight, bias in weights:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        state = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        linear.load_state_dict(state)
        modules += [linear, kinds[activation]()]
    return nn.Sequential(*modules[:-1])


@cache  # 188 MB, for all settings of a process
def resident(samples: Samples) -> tuple[Tensor, Tensor]:
    """Return the images `[N, 784]` as float32 from 0 to 1, and the labels `[N]`."""
    import torch

    images = torch.from_numpy(samples.images).to(torch.float32).div_(255)
    return images, torch.from_numpy(samples.labels)
