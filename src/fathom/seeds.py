"""Random numbers by name: every generator is keyed by what it is for, none is ever shared.

Two runs that differ in their activation alone draw the same weights, because the key of the weights
does not mention the activation: comparisons are paired by construction. Nothing depends on
the order in which runs are trained, nor on what trains beside them.
"""

import hashlib

import torch


def derive_seed(*key: str | int) -> int:
    """Turn a key into a 63-bit seed, the same on every machine.

    >>> derive_seed(42, "order", 1) == derive_seed(42, "order", 1)
    True
    >>> derive_seed(42, "order", 1) == derive_seed(42, "order", 11)
    False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: str | int) -> torch.Generator:
    """Make a fresh CPU generator for a key such as `(study_seed, "weights", replicate, layer)`."""
    return torch.Generator(device="cpu").manual_seed(derive_seed(*key))
