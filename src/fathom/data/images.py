"""One image file to pixels: bounded, checked, with the file's name in every message.

Shapes: C channels (3), H height, W width.

Not covered: the orientation that a camera notes in a file, all frames of an animation but the
first, and what lies behind transparent pixels (their own colour is taken).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from os.path import splitext
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from fathom.data.readers import describe_error, open_regular
from fathom.errors import DataError

EXTENSIONS: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})
CHANNELS: Final = 3
_FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # none that starts another program
_DEEP: Final = ("I", "F")  # first letters of the modes with more than 8 bits for each channel


def is_image_name(name: str) -> bool:
    """Tell whether a file's name is one of an image: not hidden, with a known extension."""
    return not name.startswith(".") and splitext(name)[1].lower() in EXTENSIONS


def decode(path: Path, image_size: int | None) -> npt.NDArray[np.uint8]:
    """Read an image as colours, resized if asked for.

    Grey images get three equal channels.

    Args:
        path: Its file.
        image_size: Height and width of the result (bilinear, smoothed where it shrinks; proportions
            are not kept); None to take the image as it is.

    Returns:
        `[C, H, W]`.

    Raises:
        DataError: If the file cannot be read, is damaged, or has more pixels than Pillow allows.
    """
    with _opened(path) as image:
        colours = _as_rgb(image, path)
        if image_size is not None and colours.size != (image_size, image_size):
            colours = colours.resize((image_size, image_size), Image.Resampling.BILINEAR)
        return np.ascontiguousarray(np.asarray(colours).transpose(2, 0, 1))


def image_shape(path: Path, image_size: int | None) -> tuple[int, int, int]:
    """Tell the shape that `decode` gives, from the file's header alone.

    Raises:
        DataError: If there is no such header.
    """
    if image_size is not None:
        return CHANNELS, image_size, image_size
    with _opened(path) as image:
        return CHANNELS, image.height, image.width


def decode_indices(path: Path) -> npt.NDArray[np.uint8]:
    """Read the palette indices of an image such as a segmentation.

    Returns:
        `[H, W]`.

    Raises:
        DataError: If the file cannot be read, is damaged, or holds colours instead.
    """
    with _opened(path) as image:
        if image.mode not in {"P", "L"}:
            raise DataError(
                f"{path}: holds colours (mode {image.mode}); a segmentation must hold one palette "
                "index for each pixel"
            )
        return np.asarray(image).copy()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Give an image whose pixels are not decoded yet; whatever goes wrong within is told here.

    Raises:
        DataError: If something does.
    """
    try:
        with open_regular(path) as stream, Image.open(stream, formats=_FORMATS) as image:
            _check_size(image, path)
            yield image
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(path, str(error))) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path}: is no image, or damaged; must be one of {', '.join(_FORMATS)}"
        ) from error
    except OSError as error:
        # The operating system's errors have a number; those of Pillow are about the content.
        text = describe_error(path, error) if error.errno else f"{path}: is damaged: {error}"
        raise DataError(text) from error
    except Exception as error:  # whatever foreign bytes make Pillow trip over
        raise DataError(f"{path}: is damaged ({type(error).__name__}: {error})") from error


def _check_size(image: Image.Image, path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise DataError(_too_large(path, f"{image.width} x {image.height} pixels"))


def _too_large(path: Path, what: str) -> str:
    limit = f"{Image.MAX_IMAGE_PIXELS:,}"
    return f"{path}: is too large to be decoded ({what}); must have at most {limit} pixels"


def _as_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith(_DEEP):
        raise DataError(
            f"{path}: has more than 8 bits for each channel (mode {image.mode}); "
            "save it with 8 bits, so that you decide how it is rounded"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns on the direct way
    return image if image.mode == "RGB" else image.convert("RGB")
