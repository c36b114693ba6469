"""Pictures that a verb writes where the user wants them."""

from pathlib import Path
from typing import TYPE_CHECKING

from fathom.errors import FathomError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_picture(path: Path, option: str) -> None:
    """Refuse the name of a picture before anything is computed.

    Raises:
        FathomError: If the name has no known ending, or its folder is not there.
    """
    from fathom.figures.draw import FORMATS

    if not path.absolute().parent.is_dir():
        raise FathomError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if path.suffix[1:].lower() not in FORMATS:
        raise FathomError(
            f"{option} {path}: must end in one of {', '.join('.' + name for name in FORMATS)}"
        )


def save_picture(figure: "Figure", path: Path) -> None:
    """Draw a figure into a file that was checked.

    Raises:
        FathomError: If it cannot be written.
    """
    from fathom.figures.draw import save

    save(figure, path)
