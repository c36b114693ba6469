"""Decision surfaces as arrays for a file, and back."""

import numpy as np
import pytest

from fathom.surfaces import Surface, log_odds, logits_of, pack, shares_of, unpack

NUM_EPOCHS, SIDE = 3, 4
EPS = np.finfo(np.float32).eps
LARGEST = np.finfo(np.float32).max


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def random_logits(name: str, num_classes: int) -> np.ndarray:
    rng = np.random.default_rng([ord(letter) for letter in name])
    return rng.normal(0, 3, (NUM_EPOCHS, SIDE, SIDE, num_classes))


def made(run_id: str, num_classes: int) -> Surface:
    """Take random logits; of the last epoch's first row there is no number."""
    logits = random_logits(run_id, num_classes)
    logits[-1, 0] = np.nan
    return Surface(
        run_id=run_id,
        epochs=np.array([0, 5, 9]),
        across=np.linspace(-1.0, 2.0, SIDE),
        up=np.linspace(0.0, 1.0, SIDE),
        log_odds=log_odds(logits),
        points=np.arange(6.0).reshape(3, 2),
        labels=np.array([0, 1, 0]),
    )


@pytest.mark.parametrize("num_classes", [1, 2, 3, 10])
def test_surfaces_come_back(num_classes: int) -> None:
    given = {name: made(name, num_classes) for name in ("b", "a")}
    found = unpack(pack(given))
    assert {name: surface.run_id for name, surface in found.items()} == {"a": "a", "b": "b"}
    for name, surface in given.items():
        for field in ("epochs", "across", "up", "points", "labels", "log_odds"):
            np.testing.assert_array_equal(getattr(found[name], field), getattr(surface, field))
        assert found[name].num_classes == num_classes


def test_only_what_is_wanted_is_read() -> None:
    packed = pack({name: made(name, 2) for name in "abc"})
    del packed["c/log_odds"]
    assert {*unpack(packed, ["a", "other"])} == {"a"}


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_shares_are_the_softmax_of_the_logits(num_classes: int) -> None:
    logits = random_logits("a", num_classes)
    # A log odds is off by half a rounding, and so relatively are the powers that are shared out.
    limit = 2 * EPS * np.abs(logits[..., :-1] - logits[..., -1:]).max()
    np.testing.assert_allclose(shares_of(log_odds(logits)), softmax(logits), rtol=limit)
    shares = made("a", num_classes).shares
    assert np.isnan(shares[-1, 0]).all()
    np.testing.assert_allclose(shares[:-1].sum(-1), 1, rtol=4 * np.finfo(float).eps)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e3, 1e6, 1e30])
def test_log_odds_keep_what_a_share_rounds_away(scale: float) -> None:
    differences = scale * np.array([-3.0, -1.0, 0.0, 1e-3, 2.0])
    found = logits_of(log_odds(np.stack([differences, np.zeros(5)], -1)))
    np.testing.assert_allclose(found[:, 0] - found[:, 1], differences, rtol=EPS / 2)


def test_beyond_the_largest_number_the_winner_stays() -> None:
    odds = log_odds(np.array([[1e200, -1e200], [-1e200, 1e200]]))
    np.testing.assert_array_equal(odds[:, 0], [LARGEST, -LARGEST])
    np.testing.assert_array_equal(shares_of(odds), [[1, 0], [0, 1]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_answer_that_is_not_finite_is_no_number_at_all(value: float, place: int) -> None:
    logits = np.zeros((2, 3))
    logits[0, place] = value
    shares = shares_of(log_odds(logits))
    assert np.isnan(shares[0]).all()
    np.testing.assert_allclose(shares[1], 1 / 3)


def test_two_classes_take_one_number_a_point() -> None:
    packed = pack({"a": made("a", 2)})["a/log_odds"]
    assert (packed.size, packed.dtype) == (NUM_EPOCHS * SIDE * SIDE, np.float32)


def test_no_surfaces_are_no_arrays() -> None:
    assert pack({}) == {}
    assert unpack({}) == {}


@pytest.mark.parametrize("missing", ["across", "labels", "a/log_odds"])
def test_a_missing_array_is_told(missing: str) -> None:
    packed = pack({"a": made("a", 2)})
    del packed[missing]
    with pytest.raises(ValueError, match=f"surfaces without '{missing}'"):
        unpack(packed)
