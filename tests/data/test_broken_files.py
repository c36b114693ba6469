"""A table of broken data files: each gets one sentence that names it, the fault and the remedy."""

import contextlib
import gzip
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fathom.data.config import DataConfig
from fathom.data.npz import arrays_to_npz
from fathom.data.splits import prepare
from fathom.errors import DataError

Contents = dict[str, bytes]
X, Y = np.arange(24.0).reshape(12, 2), np.arange(12) % 3
IMAGES = "train-images-idx3-ubyte.gz"


@dataclass(frozen=True)
class Case:
    """One broken file.

    `spoil` breaks a good file in place; `content` changes what the data set is published to hold,
    so that the checksum is right and the format wrong. `says` is what the message must contain.
    """

    name: str
    says: tuple[str, ...]
    spoil: Callable[[Path], Any] = lambda path: None
    content: Callable[[Contents], Any] = lambda contents: None
    ordinary_user: bool = False


def save(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def flip_last_value(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))


def flip_a_bit(at: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] ^= 8
        path.write_bytes(content)

    return spoil


def cut(share: float) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return spoil


def header(at: int, value: int, key: str = "train_images") -> Callable[[Contents], None]:
    """Publish a file with another byte in its header."""

    def change(contents: Contents) -> None:
        changed = bytearray(contents[key])
        changed[at] = value
        contents[key] = bytes(changed)

    return change


def publish(key: str, change: Callable[[bytes], bytes]) -> Callable[[Contents], None]:
    return lambda contents: contents.update({key: change(contents[key])})


def save_member(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Write an archive whose x is not what `numpy.save` writes, with a right checksum."""

    def spoil(path: Path) -> None:
        buffer = io.BytesIO()
        np.save(buffer, X)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", change(buffer.getvalue()))
            archive.writestr("y.npy", buffer.getvalue())

    return spoil


def zip_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


class RunsCode:
    """What a pickle can do when it is opened; the test looks for the folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("code-was-run",)


def spoil_with_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            for _ in range(80):
                member.write(bytes(2**20))
        archive.writestr("y.npy", b"")


def with_value(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.copy()
    changed[place] = value
    return changed


PUT = "Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
AGAIN = "Write it again with numpy.savez"

IDX_FILES = [
    Case("missing", ("found no good train-images", "not there", PUT), Path.unlink),
    Case("empty", ("is empty", PUT), write(b"")),
    Case("cut archive", ("is cut off: the gzip archive ends too early", PUT), cut(0.6)),
    Case("archive cut in its header", ("the gzip archive ends too early", PUT), cut(0.01)),
    Case("altered archive", ("is a damaged gzip archive", PUT), flip_a_bit(-8)),
    Case("altered value", ("is damaged or another file: expected", "got", PUT), flip_last_value),
    Case("web page", ("is damaged or another file", PUT), write(b"<html>Please log in</html>")),
    Case("other image", ("got 3 bytes with sha256", PUT), write(gzip.compress(b"abc"))),
    Case("bomb", ("unpacks to more than the 496 bytes",), write(gzip.compress(bytes(10_000_000)))),
    Case("endless", ("has more than 66,032 bytes", PUT), write(bytes(100_000))),
    Case("folder", ("cannot be read: Is a directory", PUT), replace_by(Path.mkdir)),
    Case("pipe", ("is a pipe, a socket or a device", PUT), replace_by(os.mkfifo)),
    Case("device", ("is a pipe, a socket", PUT), replace_by(lambda p: p.symlink_to("/dev/zero"))),
    Case("dead link", ("is a link to nothing", PUT), replace_by(lambda p: p.symlink_to("gone"))),
    Case("link to itself", ("Too many levels", PUT), replace_by(lambda p: p.symlink_to(p.name))),
    Case(
        "no permission",
        ("cannot be read: Permission denied", PUT),
        lambda p: p.chmod(0),
        ordinary_user=True,
    ),
    Case("wrong magic", ("is not an IDX file", "must begin with two zero"), content=header(0, 1)),
    Case("wrong type", ("0x0d (32-bit floats); must be 0x08",), content=header(2, 0x0D)),
    Case("unknown type", ("0x01 (no known type); must be 0x08",), content=header(2, 1)),
    Case("no dimension", ("names 0 dimensions; must name at least 1",), content=header(3, 0)),
    Case("too many dimensions", ("its header names 255 dim",), content=header(3, 255)),
    Case("other count", ("has 480 values; its header promises 41 x 3 x 4",), content=header(7, 41)),
    Case("cut values", ("has 470 values",), content=publish("train_images", lambda c: c[:-10])),
    Case(
        "fewer labels than images",
        ("x_train has 40 samples and y_train has 39 labels; must be as many",),
        content=publish("train_labels", lambda c: c[:4] + (39).to_bytes(4, "big") + c[8:-1]),
    ),
    Case("label without samples", ("no sample has label 5",), content=header(8, 9, "train_labels")),
]

NPZ_FILES = [
    Case("missing", ("no such file; looked at", "--data-dir or FATHOM_DATA"), Path.unlink),
    Case("empty", ("is empty", "numpy.savez"), write(b"")),
    Case("cut", ("is not an .npz file or is damaged", AGAIN), cut(0.7)),
    Case("altered value", ("is damaged (Bad CRC-32", AGAIN), flip_a_bit(180)),
    Case(
        "web page", ("is not an .npz file", "'<html>no</html>'", AGAIN), write(b"<html>no</html>")
    ),
    Case("zip of something else", ("lacks x_train", "holds a.txt"), write(zip_of("a.txt", b"a"))),
    Case("folder", ("cannot be read: Is a directory",), replace_by(Path.mkdir)),
    Case("pipe", ("is a pipe, a socket or a device",), replace_by(os.mkfifo)),
    Case("dead link", ("is a link to nothing",), replace_by(lambda p: p.symlink_to("gone"))),
    Case(
        "no permission",
        ("cannot be read: Permission denied",),
        lambda p: p.chmod(0),
        ordinary_user=True,
    ),
    Case("no labels", ("lacks y (holds x.npy); must hold x and y",), save(x=X)),
    Case("three of four", ("lacks y_test",), save(x_train=X, y_train=Y, x_test=X)),
    Case("two sets", ("which ones are meant?",), save(x=X, y=Y, x_test=X)),
    Case(
        "pickled objects",
        ("Python objects, which could run code",),
        save(x=np.array([[RunsCode()]]), y=Y),
    ),
    Case("not an array", ("is damaged (ValueError", AGAIN), save_member(lambda c: b"no" + c)),
    Case(
        "header that lies",
        ("is not what shape (92, 2) of float64 takes", AGAIN),
        save_member(lambda c: c.replace(b"(12, 2)", b"(92, 2)")),
    ),
    Case(
        "deep header", ("is damaged (", AGAIN), save_member(lambda c: c[:10] + b"(" * (len(c) - 10))
    ),
    Case("bomb", ("would unpack to 83,886,080; must be at most 100 times",), spoil_with_bomb),
    Case("text", ("x has type <U1; must be numbers",), save(x=np.array([["a"]] * 12), y=Y)),
    Case("complex numbers", ("has type complex128; must be numbers",), save(x=X * 1j, y=Y)),
    Case("one axis", ("x has shape (12,)", "x.reshape(-1, 1)"), save(x=X[:, 0], y=Y)),
    Case("no samples", ("x has shape (0, 2)",), save(x=X[:0], y=Y[:0])),
    Case("no features", ("x has shape (12, 0)",), save(x=X[:, :0], y=Y)),
    Case(
        "NaN",
        ("x[3, 1] is nan (1 such values); must be finite",),
        save(x=with_value(X, (3, 1), np.nan), y=Y),
    ),
    Case("infinity", ("x[0, 0] is -inf",), save(x=with_value(X, (0, 0), -np.inf), y=Y)),
    Case(
        "too large",
        ("x[2, 1] is 1e+300", "fit into float32"),
        save(x=with_value(X, (2, 1), 1e300), y=Y),
    ),
    Case("other count", ("x has 12 samples and y has 11 labels",), save(x=X, y=Y[:-1])),
    Case(
        "float labels",
        ("y has type float64; class labels must be whole", "astype"),
        save(x=X, y=Y * 1.0),
    ),
    Case(
        "one-hot labels",
        ("y has shape (12, 3); must be [samples]",),
        save(x=X, y=np.eye(3, dtype=int)[Y]),
    ),
    Case("negative labels", ("the label -1; labels must count from 0",), save(x=X, y=Y - 1)),
    Case("labels from 1", ("no sample has label 0", "renumbers"), save(x=X, y=Y + 1)),
    Case(
        "labels with a gap",
        ("run up to 4 but no sample has label 1", "renumbers"),
        save(x=X, y=2 * Y),
    ),
    Case(
        "huge labels",
        ("holds the label 18446744073709551615",),
        save(x=X, y=Y.astype("u8") - np.uint64(1)),
    ),
    Case("one class", ("has one class only (label 0); must have at least 2",), save(x=X, y=0 * Y)),
]


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        pytest.param(kind, case, id=f"{kind}: {case.name}")
        for kind, cases in (("idx", IDX_FILES), ("npz", NPZ_FILES))
        for case in cases
    ],
)
def test_a_broken_file_is_named_with_its_fault_and_remedy(
    kind: str,
    case: Case,
    register_tiny: Callable[..., Any],
    tiny_contents: Contents,
    make_config: Callable[..., DataConfig],
    as_ordinary_user: Callable[[], contextlib.AbstractContextManager[None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    case.content(tiny_contents)
    register_tiny(tiny_contents).write(tmp_path)
    (tmp_path / "own.npz").write_bytes(arrays_to_npz(X, Y))
    if kind == "idx":
        path, config = tmp_path / IMAGES, make_config()
    else:
        path, config = tmp_path / "own.npz", make_config(name="arrays", path="own.npz")
    tmp_path.chmod(0o755)
    case.spoil(path)
    before = snapshot(tmp_path)
    user = as_ordinary_user() if case.ordinary_user else contextlib.nullcontext()
    name = re.escape(path.name.removesuffix(".gz"))
    with user, pytest.raises(DataError, match=name) as caught:
        prepare(config, [tmp_path])
    for words in case.says:
        assert words in str(caught.value)
    assert snapshot(tmp_path) == before  # nothing is deleted, changed or run


def test_the_files_are_good_before_they_are_broken(
    tiny: Any, make_config: Callable[..., DataConfig], tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    (tmp_path / "own.npz").write_bytes(arrays_to_npz(X, Y))
    assert prepare(make_config(), [tmp_path]).num_features == 12
    own = make_config(name="arrays", path="own.npz")
    assert prepare(own, [tmp_path]).num_features == 2


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Tell what lies in a folder without opening pipes or following links."""
    return {
        path.name: (
            path.lstat().st_mode,
            path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b"",
        )
        for path in folder.iterdir()
    }
