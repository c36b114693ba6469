"""One image file: the right pixels, or one sentence with its name."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pictures import draw, png_of_size, read
from PIL import Image

from fathom.data.images import decode, decode_indices, image_shape, is_image_name
from fathom.errors import DataError


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "webp", "jpg", "JPEG"])
def test_every_format_is_read_as_pillow_reads_it(tmp_path: Path, ending: str) -> None:
    path = draw(tmp_path / f"image.{ending}", size=(9, 5))
    found = decode(path, None)
    assert found.shape == image_shape(path, None) == (3, 5, 9)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, read(path))


def test_png_keeps_every_pixel(tmp_path: Path) -> None:
    path = draw(tmp_path / "image.png", seed=3, size=(9, 5))
    pixels = np.random.default_rng(3).integers(0, 256, (5, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode(path, None), pixels.transpose(2, 0, 1))


def test_grey_gets_three_equal_channels(tmp_path: Path) -> None:
    found = decode(draw(tmp_path / "grey.png", mode="L"), None)
    assert found.shape == (3, 8, 8)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_palette_with_transparency_gives_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    image.save(tmp_path / "palette.png", transparency=bytes([0, 255, 128, 255]))
    expected = np.array([[[10, 40], [70, 100]], [[20, 50], [80, 110]], [[30, 60], [90, 120]]])
    np.testing.assert_array_equal(decode(tmp_path / "palette.png", None), expected)


def test_resizing_averages_where_it_shrinks(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 200  # without smoothing a smaller image would be all 0 or all 200
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    found = decode(tmp_path / "stripes.png", 8)
    assert found.shape == image_shape(tmp_path / "stripes.png", 8) == (3, 8, 8)
    assert np.abs(found.astype(int) - 100).max() <= 10


def test_resizing_keeps_the_sides_apart(tmp_path: Path) -> None:
    halves = np.zeros((6, 12), np.uint8)
    halves[:, 6:] = 240
    Image.fromarray(halves).save(tmp_path / "halves.png")
    found = decode(tmp_path / "halves.png", 8)[0]
    assert found[:, :3].max() == 0
    assert found[:, 5:].min() == 240


def test_a_truncated_jpeg_is_named(tmp_path: Path) -> None:
    path = draw(tmp_path / "cut.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"cut\.jpg: is damaged: .*truncated"):
        decode(path, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no image, or damaged"),
        (b"GIF or not?", "is no image, or damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "is no image, or damaged"),
        (png_of_size(4, 4), "is damaged"),
        (png_of_size(4, 4)[:30], "is no image, or damaged"),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.png: {told}"):
        decode(tmp_path / "bad.png", None)


@pytest.mark.parametrize("size", [(10_000, 10_000), (50_000, 50_000)])  # Pillow warns, or refuses
@pytest.mark.parametrize("warning", ["error", "ignore"])
def test_an_image_that_would_fill_the_memory_is_refused(
    tmp_path: Path, size: tuple[int, int], warning: str
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(*size))
    with warnings.catch_warnings():
        warnings.simplefilter(warning)  # type: ignore[arg-type]
        for read_it in (decode, image_shape):
            with pytest.raises(DataError, match=r"bomb\.png: is too large .*at most 89,478,485 pi"):
                read_it(tmp_path / "bomb.png", None)


def test_deep_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: has more than 8 bits .* save it with 8 bits"):
        decode(tmp_path / "deep.png", None)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.png: cannot be read: No such file"):
        decode(tmp_path / "no.png", None)
    with pytest.raises(DataError, match=f"{tmp_path}: cannot be read|{tmp_path}: is a pipe"):
        decode(tmp_path, None)


def test_random_damage_gives_pixels_or_a_sentence(tmp_path: Path) -> None:
    draws = np.random.default_rng(5)
    for ending in ("png", "jpg", "gif", "bmp", "webp"):
        good = draw(tmp_path / f"good.{ending}", size=(16, 16)).read_bytes()
        path = tmp_path / f"bad.{ending}"
        for _ in range(60):
            bad = bytearray(good)
            for _ in range(3):
                bad[int(draws.integers(len(bad)))] = int(draws.integers(256))
            path.write_bytes(bad)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Pillow about metadata
                try:
                    assert decode(path, 8).shape == (3, 8, 8)
                except DataError as error:
                    assert str(path) in str(error)  # noqa: PT017 - it need not be raised


def test_palette_indices_are_read_as_they_are(tmp_path: Path) -> None:
    pixels = np.array([[0, 15], [255, 7]], np.uint8)
    image = Image.fromarray(pixels)
    image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(decode_indices(tmp_path / "mask.png"), pixels)
    draw(tmp_path / "colours.png")
    with pytest.raises(DataError, match=r"colours\.png: holds colours \(mode RGB\)"):
        decode_indices(tmp_path / "colours.png")


def test_names_of_images() -> None:
    shown = ["a.jpg", "B.JPEG", "c.Png", "d.bmp", "e.GIF", "f.webp", "g.tar.png"]
    assert all(map(is_image_name, shown))
    assert not any(map(is_image_name, [".a.jpg", "a.txt", "jpg", "a.jpg.part", "Thumbs.db"]))
