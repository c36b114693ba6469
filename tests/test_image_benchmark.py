"""The benchmark of image networks: its arithmetic, and that its steps train; never a time."""

import copy
import itertools

import pytest
import torch
from benchmarks import images
from benchmarks.images import Gain, compare, formats, network, step_of, together
from torch import nn


def test_a_gain_is_the_median_of_ratios_within_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_s, idea_s = [4.0, 2.0, 9.0], [2.0, 2.0, 3.0]
    owns = itertools.chain.from_iterable(zip(plain_s, idea_s, strict=True))
    monkeypatch.setattr(images, "_own", lambda step: next(owns))
    monkeypatch.setattr(images, "_wall", lambda step: 7.0)
    found = compare(lambda: None, {"idea": lambda: None}, rounds=3)
    assert found == [Gain("idea", step_ms=4000.0, gain=2.0, first_s=7.0)]
    assert str(found[0]).startswith("idea: 2.00 times as fast as a plain step of 4000.0 ms")


def test_seeds_at_once_learn_what_they_learn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 1, 16, 16, generator=generator)
    labels = torch.arange(8)
    nets: list[nn.Module] = [network("lenet", 1, 16) for _ in range(2)]
    stacked = torch.func.stack_module_state([copy.deepcopy(net) for net in nets])
    monkeypatch.setattr(images, "stack_module_state", lambda nets: stacked)
    step = together(nets, x, labels)
    for _ in range(3):
        step()
        for net in nets:
            step_of(net, x, labels)()
    for name, together_R in stacked[0].items():
        alone = torch.stack([dict(net.named_parameters())[name].detach() for net in nets])
        torch.testing.assert_close(together_R.detach(), alone)


def test_every_format_takes_a_step() -> None:
    names = [gain.idea for gain in formats("lenet", 1, 16, rounds=1)]
    assert names == ["lenet in bf16", "lenet channels_last", "lenet in bf16, channels_last"]
