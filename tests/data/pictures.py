"""Small images and data sets of images, drawn for the tests in their real layouts."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
    """Write an image of random colours; width and height are `size`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = (3,) if mode == "RGB" else ()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def read(path: Path) -> np.ndarray:
    """Return the colours of an image, channels first, as Pillow decodes them."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG whose header promises a size and that holds nothing of it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def draw_folder(root: Path, counts: dict[str, dict[str, int]], ending: str = "png") -> Path:
    """Draw root/<part>/<class>/<n>.png, as many as `counts` says, all different."""
    seed = 0
    for part, classes in counts.items():
        for name, count in classes.items():
            for number in range(count):
                seed += 1
                draw(root / part / name / f"{number:03}.{ending}", seed)
    return root


def draw_tiny_imagenet(root: Path, wnids: Sequence[str] = ("n02", "n01", "n03")) -> Path:
    """Draw the official layout: 2 training images of each class and 5 validation images."""
    root.mkdir(parents=True)
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in wnids))
    words = {"n01": "goldfish, Carassius auratus", "n02": "crane", "n03": "crane", "n99": "other"}
    (root / "words.txt").write_text("".join(f"{k}\t{v}\n" for k, v in words.items()))
    for label, wnid in enumerate(wnids):
        for number in range(2):
            name = f"{wnid}_{number}.JPEG"
            draw(root / "train" / wnid / "images" / name, 10 * label + number)
    lines = []
    for number in range(5):
        name = f"val_{number}.JPEG"
        draw(root / "val" / "images" / name, 100 + number, mode="L" if number == 3 else "RGB")
        lines.append(f"{name}\t{wnids[number % 2]}\t0\t1\t5\t6\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    draw(root / "test" / "images" / "test_0.JPEG", 999)
    return root


def draw_voc(root: Path, lists: dict[str, dict[str, Sequence[int]]]) -> Path:
    """Draw VOC's layout: of each list the images, each with the palette indices in it."""
    top = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (top / folder).mkdir(parents=True)
    seed = 0
    for part, images in lists.items():
        listed = top / "ImageSets" / "Segmentation" / f"{part}.txt"
        listed.write_text("".join(f"{name}\n" for name in images))
        for name, indices in images.items():
            seed += 1
            draw(top / "JPEGImages" / f"{name}.jpg", seed, (12, 10))
            draw_mask(top / "SegmentationClass" / f"{name}.png", indices)
    return root / "VOCdevkit"


def draw_mask(path: Path, indices: Sequence[int]) -> None:
    """Draw a segmentation: background, a border, and one pixel of each index."""
    pixels = np.zeros((10, 12), np.uint8)
    pixels[0] = 255
    pixels[5, : len(indices)] = indices
    mask = Image.fromarray(pixels)
    mask.putpalette([value for colour in range(256) for value in (colour, 0, 255 - colour)])
    mask.save(path)
