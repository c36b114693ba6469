"""Pictures in a row as the bytes of a GIF, or of an MP4 where ffmpeg is on the path.

Pictures are asked for one by one and let go, so that they may be drawn meanwhile. Of a GIF a third
of each is held until its end: the number of its colour at every pixel.
"""

import io
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

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
    coloured = (one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures)
    first = next(coloured)
    times = [PICTURE_MS] * (len(pictures) - 1) + [LAST_PICTURE_MS]
    content = io.BytesIO()
    first.save(
        content,
        format="GIF",
        save_all=True,
        append_images=coloured,
        duration=times if len(times) > 1 else LAST_PICTURE_MS,
        loop=0,
        comment=comment.encode(),
    )
    return content.getvalue()


def _shared_palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Choose colours that suit some of the pictures, the first and the last among them."""
    last = len(pictures) - 1
    places = sorted({round(last * share / (_SAMPLED - 1)) for share in range(_SAMPLED)})
    sample = [pictures[place] for place in places]
    width, height = sample[0].size
    joined = Image.new("RGB", (width, height * len(places)))
    for row, one in enumerate(sample):
        joined.paste(one, (0, row * height))
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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"  # ffmpeg goes back in it, which a pipe does not allow
        command = [
            *(program, "-hide_banner", "-loglevel", "error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"),
            *("-framerate", f"1000/{PICTURE_MS}", "-i", "pipe:0"),
            *("-pix_fmt", "yuv420p", "-movflags", "+faststart"),
            *("-metadata", f"comment={comment}", str(path)),
        ]
        problem = _feed(command, pictures, Path(folder) / "problems")
        if problem or not path.is_file():
            raise FathomError(f"ffmpeg: {clean(problem or 'no film', 200)}")
        return path.read_bytes()


def _feed(command: Sequence[str], pictures: Sequence[Image.Image], problems: Path) -> str:
    """Give a program the pictures; return what it complains of last, nothing if it succeeds."""
    last = b""
    try:
        # A file takes all complaints, where a full pipe would hold the program up.
        with problems.open("wb") as told, _started(command, told) as program:
            assert program.stdin is not None
            with suppress(BrokenPipeError), program.stdin as given:  # it says itself why it ended
                for one in pictures:
                    last = one.tobytes()
                    given.write(last)
                for _ in range(LAST_PICTURE_MS // PICTURE_MS - 1):
                    given.write(last)
    except OSError as error:
        return str(error)
    if not program.returncode:
        return ""
    if program.returncode < 0:
        return f"it was ended by signal {-program.returncode}, or took over {_PATIENCE_S:g} s"
    lines = problems.read_text(errors="replace").strip().splitlines() or ["no film"]
    return lines[-1]


@contextmanager
def _started(command: Sequence[str], told: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that reads from a pipe, and end it when our patience does."""
    program = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told
    )
    patience = threading.Timer(_PATIENCE_S, program.kill)
    patience.daemon = True
    patience.start()
    try:
        yield program
        program.wait()
    finally:
        patience.cancel()
        program.kill()  # nothing where it has ended
        program.wait()
