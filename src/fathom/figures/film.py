"""Pictures in a row as the bytes of a GIF, or of an MP4 where ffmpeg is on the path."""

import io
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from fathom.errors import FathomError
from fathom.figures.paint import clean

PICTURE_MS: Final = 160
LAST_PICTURE_MS: Final = 2_000  # the end is to be looked at before it starts again

NO_FFMPEG: Final = (
    "no MP4: the program ffmpeg is not on the path; install it, or ask for --format gif"
)

_COLOURS: Final = 256  # of a GIF
_NEARLY_WHITE: Final = 250
_SAMPLED: Final = 6  # pictures from which these are chosen
_PATIENCE_S: Final = 300.0


def gif(pictures: Sequence[Image.Image], comment: str) -> bytes:
    """Write a GIF that starts again for ever.

    All pictures have one palette: with one each, colours that stand for the same number would
    flicker.

    Args:
        pictures: In RGB, of one size, no two neighbours equal; at least one.
        comment: What the file says of itself.
    """
    palette = _shared_palette(pictures)
    first, *rest = (one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures)
    times = [PICTURE_MS] * len(rest) + [LAST_PICTURE_MS]
    content = io.BytesIO()
    first.save(
        content,
        format="GIF",
        save_all=True,
        append_images=rest,
        duration=times if rest else LAST_PICTURE_MS,
        loop=0,
        comment=comment.encode(),
    )
    return content.getvalue()


def _shared_palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Choose colours that suit some of the pictures, the first and the last among them."""
    last = len(pictures) - 1
    places = sorted({round(last * share / (_SAMPLED - 1)) for share in range(_SAMPLED)})
    width, height = pictures[0].size
    joined = Image.new("RGB", (width, height * len(places)))
    for row, place in enumerate(places):
        joined.paste(pictures[place], (0, row * height))
    chosen = joined.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT)
    colours = np.array(chosen.getpalette()).reshape(-1, 3)
    # Colours are looked up roughly, and a nearly white one would be found for the paper.
    colours[colours.min(1) >= _NEARLY_WHITE] = 255
    chosen.putpalette(colours.ravel().tolist())
    return chosen


def has_ffmpeg() -> bool:
    """Tell whether MP4s can be written here."""
    return shutil.which("ffmpeg") is not None


def mp4(pictures: Sequence[Image.Image], comment: str) -> bytes:
    """Write an MP4 by the program ffmpeg; the last picture is repeated for as long as it is held.

    Args:
        pictures: In RGB, of one size with even sides; at least one.
        comment: What the file says of itself.

    Raises:
        FathomError: If ffmpeg is not on the path, or fails.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise FathomError(NO_FFMPEG)
    width, height = pictures[0].size
    held = [pictures[-1]] * (LAST_PICTURE_MS // PICTURE_MS - 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"  # ffmpeg goes back in it, which a pipe does not allow
        command = [
            *(program, "-hide_banner", "-loglevel", "error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"),
            *("-framerate", f"1000/{PICTURE_MS}", "-i", "pipe:0"),
            *("-pix_fmt", "yuv420p", "-movflags", "+faststart"),
            *("-metadata", f"comment={comment}", str(path)),
        ]
        raw = b"".join(one.tobytes() for one in (*pictures, *held))
        try:
            done = subprocess.run(
                command, input=raw, capture_output=True, timeout=_PATIENCE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FathomError(f"ffmpeg: {clean(str(error), 200)}") from error
        if done.returncode or not path.is_file():
            told = done.stderr.decode(errors="replace").strip().splitlines() or ["no film"]
            raise FathomError(f"ffmpeg: {clean(told[-1], 200)}")
        return path.read_bytes()
