"""Decision surfaces as arrays for a file, and back."""

import numpy as np
import pytest

from fathom.surfaces import Surface, pack, unpack

NUM_EPOCHS, SIDE = 3, 4


def made(run_id: str, num_classes: int) -> Surface:
    """Make a softmax of random logits; of the last epoch's first row there is no number."""
    rng = np.random.default_rng([ord(letter) for letter in run_id])
    logits = rng.normal(0, 3, (NUM_EPOCHS, SIDE, SIDE, num_classes))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    shares[-1, 0] = np.nan
    return Surface(
        run_id=run_id,
        epochs=np.array([0, 5, 9]),
        across=np.linspace(-1.0, 2.0, SIDE),
        up=np.linspace(0.0, 1.0, SIDE),
        shares=shares.astype(np.float32),
        points=np.arange(6.0).reshape(3, 2),
        labels=np.array([0, 1, 0]),
    )


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_surfaces_come_back(num_classes: int) -> None:
    given = {name: made(name, num_classes) for name in ("b", "a")}
    found = unpack(pack(given))
    assert {name: surface.run_id for name, surface in found.items()} == {"a": "a", "b": "b"}
    for name, surface in given.items():
        for field in ("epochs", "across", "up", "points", "labels"):
            np.testing.assert_array_equal(getattr(found[name], field), getattr(surface, field))
        assert found[name].shares.dtype == np.float32
        np.testing.assert_array_equal(found[name].shares[..., :-1], surface.shares[..., :-1])
        # The last share is what is left of 1: exact to the rounding of the others' sum.
        limit = num_classes * np.finfo(np.float32).eps
        np.testing.assert_allclose(found[name].shares, surface.shares, rtol=0, atol=limit)
        assert np.nanmin(found[name].shares) >= 0


def test_two_classes_take_one_number_a_point() -> None:
    assert pack({"a": made("a", 2)})["a/shares"].size == NUM_EPOCHS * SIDE * SIDE


def test_no_surfaces_are_no_arrays() -> None:
    assert pack({}) == {}


@pytest.mark.parametrize("missing", ["across", "labels", "a/epochs"])
def test_a_missing_array_is_told(missing: str) -> None:
    packed = pack({"a": made("a", 2)})
    del packed[missing]
    with pytest.raises(ValueError, match=f"surfaces without '{missing}'"):
        unpack(packed)
