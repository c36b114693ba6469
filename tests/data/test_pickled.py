"""Pickles read without running them: the data of the official files, and nothing else."""

import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import python2_pickle

from fathom.data.pickled import read_pickle
from fathom.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 12)).astype(np.uint8)
LABELS = [*range(10)] * 30


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_the_fixture_is_a_pickle_of_python_2() -> None:
    found = pickle.loads(python2_pickle(PIXELS, LABELS), encoding="latin1")
    np.testing.assert_array_equal(found["data"], PIXELS)
    assert found["labels"] == LABELS


def test_a_batch_as_python_2_wrote_it() -> None:
    found = read_pickle(python2_pickle(PIXELS, LABELS), "data_batch_1")
    assert {*found} == {"batch_label", "labels", "data", "filenames"}
    np.testing.assert_array_equal(found["data"], PIXELS)
    assert found["labels"] == LABELS


@pytest.mark.parametrize("protocol", [3, 4])
def test_a_batch_as_python_3_writes_it(protocol: int) -> None:
    plain = {"data": PIXELS, "labels": LABELS, "n": (1, (2, 3), None, True), "x": [1.5, -7, 70_000]}
    found = read_pickle(pickle.dumps(plain, protocol), "data_batch_1")
    np.testing.assert_array_equal(found.pop("data"), PIXELS)
    del plain["data"]
    assert found == plain


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["alone", "value", "key", "list", "pixels"])
def test_a_malicious_pickle_never_runs(tmp_path: Path, protocol: int, place: str) -> None:
    marker = tmp_path / "ran"
    evil = Evil(marker)
    forms: dict[str, Any] = {
        "alone": evil,
        "value": {"data": PIXELS, "labels": LABELS, "more": evil},
        "key": {(evil,): 1},
        "list": {"labels": [evil]},
        "pixels": {"data": evil, "labels": LABELS},
    }
    content = pickle.dumps(forms[place], protocol)
    with pytest.raises(DataError, match=r"^bad: .*; nothing of it was run\. Only plain data is"):
        read_pickle(content, "bad")
    assert not marker.exists()
    if place != "key":  # what comes out is no key, but that is told after it ran
        pickle.loads(content)
        assert marker.exists()  # Python's own reader runs it: the test can fail


NUMPY = b"cnumpy.core.multiarray\n_reconstruct\n"
HOSTILE = {
    "os.system": (b"cposix\nsystem\nU\x04true\x85R.", r"wants 'posix\.system', which is no plain"),
    "old call": (b"(S'true'\nios\nsystem\n.", "holds the instruction"),
    "eval": (b"cbuiltins\neval\nU\x011\x85R.", r"wants 'builtins\.eval'"),
    "getattr": (b"\x8c\x08builtins\x8c\x07getattr\x93.", r"wants 'builtins\.getattr'"),
    "numpy's loader": (b"cnumpy\nload\nU\x01x\x85R.", r"wants 'numpy\.load'"),
    "extension": (b"\x82\x01.", "holds the instruction EXT1"),
    "persistent": (b"Pname\n.", "holds the instruction PERSID"),
    "new object": (b"cnumpy\nndarray\n)\x81.", "holds the instruction NEWOBJ"),
    "state of a name": (b"cnumpy\ndtype\n}U\x01aK\x01sb.", "sets the state of what is no array"),
    "call of data": (b"U\x01x)R.", "calls what is no array"),
    "call of ndarray": (b"cnumpy\nndarray\n(K\x01tR.", "calls what is no array"),
    "objects": (b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.", "not of unsigned bytes"),
    "items to a number": (b"K\x01K\x02a.", "adds items to what is no list"),
    "entries to a list": (b"]U\x01aK\x01s.", "adds entries to what is no mapping"),
    "no mapping": (b"]K\x01a.", "holds no mapping"),
    "no array": (b"}U\x04data" + NUMPY + b")Rs.", "is not one of unsigned bytes, row after row"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_is_no_plain_data_is_refused(case: str) -> None:
    content, told = HOSTILE[case]
    with pytest.raises(DataError, match=rf"^bad: {told}|^bad: .*{told}"):
        read_pickle(content, "bad")


@pytest.mark.parametrize("content", [b"", b".", b"\x80", b"t.", b"h\x07.", b"}U\x01as.", b"\xff"])
def test_damage_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match=r"^bad: is no pickle, or damaged"):
        read_pickle(content, "bad")


def test_random_damage_gives_data_or_a_sentence() -> None:
    good = python2_pickle(PIXELS[:4], LABELS[:4])
    draws = np.random.default_rng(2)
    refused = 0
    for _ in range(500):
        bad = bytearray(good)
        for _ in range(2):
            bad[int(draws.integers(len(bad)))] = int(draws.integers(256))
        try:
            assert isinstance(read_pickle(bytes(bad), "bad"), dict)
        except DataError:
            refused += 1
    assert refused > 100


def test_a_huge_length_takes_no_memory() -> None:
    with pytest.raises(DataError, match="is no pickle, or damaged"):
        read_pickle(b"\x80\x02T\xff\xff\xff\x7fabc.", "bad")
    assert "BINSTRING" in {opcode.name for opcode in pickletools.opcodes}
