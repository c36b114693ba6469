"""Random numbers by name: stable keys, no collisions, no shared state."""

import hashlib
import math

import pytest
import torch

from fathom.seeds import derive_seed, generator


def test_a_seed_is_the_start_of_a_sha256() -> None:
    digest = hashlib.sha256(b"int:42\x1fstr:weights\x1fint:0\x1fint:3").hexdigest()
    assert derive_seed(42, "weights", 0, 3) == int(digest[:16], 16) // 2


def test_seeds_are_pinned() -> None:
    # A change of this number changes every result that was ever made.
    assert derive_seed(42, "weights", 0, 1) == 4_213_394_423_352_895_389


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 12), (11, 2)),
        (("a", "b"), ("ab",)),
        ((1,), ("1",)),
        ((1,), (True,)),
        ((), ("",)),
        ((1, 2), (2, 1)),
        ((-1,), (1,)),
    ],
)
def test_different_keys_differ(one: tuple[str | int, ...], other: tuple[str | int, ...]) -> None:
    assert derive_seed(*one) != derive_seed(*other)


def test_seeds_of_a_large_study_never_collide_and_fit_a_generator() -> None:
    seeds = {
        derive_seed(42, purpose, replicate, layer)
        for purpose in ("weights", "bias")
        for replicate in range(100)
        for layer in range(100)
    }
    assert len(seeds) == 20_000
    assert min(seeds) >= 0
    assert 2**62 < max(seeds) < 2**63


def test_equal_keys_give_equal_fresh_generators() -> None:
    first, second = generator(1, "order", 0), generator(1, "order", 0)
    drawn = torch.rand(5, generator=first)
    assert torch.equal(drawn, torch.rand(5, generator=second))
    assert not torch.equal(drawn, torch.rand(5, generator=first))  # a stream moves on
    assert torch.equal(drawn, torch.rand(5, generator=generator(1, "order", 0)))


def test_streams_of_neighbouring_keys_are_uncorrelated() -> None:
    num = 100_000
    streams = [torch.randn(num, generator=generator(42, "weights", 0, k)) for k in range(4)]
    correlation = torch.corrcoef(torch.stack(streams)).fill_diagonal_(0.0)
    tolerance = 0.013
    assert 4 / math.sqrt(num) < tolerance
    assert float(correlation.abs().max()) < tolerance


def test_the_global_stream_is_left_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(7, "weights", 0, 0))
    assert torch.equal(before, torch.get_rng_state())
