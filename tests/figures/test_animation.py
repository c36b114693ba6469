"""Moving pictures: decoded again, they show the known boundary, in the order of the epochs."""

import io
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fathom.errors import FathomError
from fathom.figures.animation import MAX_PICTURES, Animation, panels, pictures, thinned
from fathom.figures.cases import Accuracies
from fathom.figures.charts import Chart
from fathom.figures.draw import draw
from fathom.figures.film import LAST_PICTURE_MS, PICTURE_MS, gif, has_ffmpeg, mp4
from fathom.figures.paint import NOT_A_NUMBER
from fathom.figures.plane import class_colour
from fathom.surfaces import Surface, log_odds

SIDE = 41
ACROSS, UP = np.linspace(-2.0, 2.0, SIDE), np.linspace(-1.0, 1.0, SIDE)
X1, X2 = np.meshgrid(ACROSS, UP)
EPOCHS = [0, 4, 10]
BORDERS = [-1.0, 0.0, 1.25]  # where the first feature has both classes equal, at these epochs
TOLERANCE = 12  # of 255: what a palette of 256 colours may be off


def steep(border: float) -> np.ndarray:
    return np.stack([np.zeros_like(X1), 30 * (X1 - border)], -1)


def animation(*logits: np.ndarray, epochs: Any = None, title: str = "relu") -> Animation:
    found = Surface(
        run_id="a",
        epochs=np.array(range(len(logits)) if epochs is None else epochs),
        across=ACROSS,
        up=UP,
        log_odds=log_odds(np.stack(logits)),
        points=np.array([[-1.9, 0.9], [1.9, 0.9]]),
        labels=np.array([0, 1]),
    )
    reached = tuple(Accuracies(0.5 + 0.125 * place, 0.25) for place in range(len(logits)))
    return Animation(title, found, reached)


@pytest.fixture(scope="module")
def moving() -> Animation:
    return animation(*map(steep, BORDERS), epochs=EPOCHS)


@pytest.fixture(scope="module")
def drawn(moving: Animation) -> list[Image.Image]:
    return list(pictures(moving))


def decoded(content: bytes) -> list[np.ndarray]:
    """Read a GIF back as `[H, W, 3]` for each picture."""
    film = Image.open(io.BytesIO(content))
    found = []
    for place in range(film.n_frames):
        film.seek(place)
        found.append(np.asarray(film.convert("RGB")).astype(int))
    return found


@pytest.fixture(scope="module")
def played(drawn: list[Image.Image]) -> list[np.ndarray]:
    return decoded(gif(drawn, "made by a test"))


class Spot:
    """Finds the pixel at a point of the plane."""

    def __init__(self, shown: Animation, size: tuple[int, int]) -> None:
        figure = draw(Chart(title=shown.title, panels=tuple(panels(shown)[:1]), columns=1))
        figure.set_dpi(100)
        figure.set_size_inches(size[0] / 100, size[1] / 100)
        figure.canvas.draw()
        self.to_pixels, self.height = figure.axes[0].transData, size[1]

    def __call__(self, x1: float, x2: float) -> tuple[int, int]:
        across, up = self.to_pixels.transform((x1, x2))
        return int(self.height - up), int(across)


def near(pixel: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return bool(np.abs(pixel - wanted).max() <= TOLERANCE)


def test_a_gif_has_a_picture_for_each_epoch_and_holds_the_last(drawn: list[Image.Image]) -> None:
    film = Image.open(io.BytesIO(gif(drawn, "made by a test")))
    assert film.format == "GIF"
    assert film.n_frames == len(EPOCHS)
    assert film.info["loop"] == 0  # for ever
    assert film.info["comment"] == b"made by a test"
    times = []
    for place in range(film.n_frames):
        film.seek(place)
        times.append(film.info["duration"])
    assert times == [PICTURE_MS, PICTURE_MS, LAST_PICTURE_MS]
    assert LAST_PICTURE_MS == 2000
    assert film.size == drawn[0].size
    assert all(side % 2 == 0 for side in film.size)


def test_on_both_sides_of_the_boundary_are_the_colours_of_the_classes(
    moving: Animation, played: list[np.ndarray]
) -> None:
    """In the last picture, and at its place in those before: they follow the epochs' order."""
    spot = Spot(moving, played[0].shape[1::-1])
    for border, picture in zip(BORDERS, played, strict=True):
        for height in (-0.8, 0.3, 0.7):
            assert near(picture[spot(border - 0.4, height)], class_colour(0))
            assert near(picture[spot(border + 0.4, height)], class_colour(1))


def test_the_boundary_is_a_dark_line_where_the_shares_are_equal(
    moving: Animation, played: list[np.ndarray]
) -> None:
    spot = Spot(moving, played[0].shape[1::-1])
    found = []
    for border, picture in zip(BORDERS, played, strict=True):
        row = spot(0, 0.5)[0]
        first, last = spot(-1.8, 0)[1], spot(1.8, 0)[1]
        brightness = picture[row, first:last].sum(-1) / 3
        assert brightness.min() < 60
        column = first + int(brightness.argmin())
        assert abs(column - spot(border, 0)[1]) <= 1
        found.append(column)
    assert found == sorted(set(found))  # it moves to the right, as the epochs go


def test_only_what_is_learned_changes(moving: Animation, played: list[np.ndarray]) -> None:
    """Axes, scale, legend and points stand still, to the last bit."""
    spot = Spot(moving, played[0].shape[1::-1])
    (top, left), (bottom, right) = spot(-2.05, 1.025), spot(2.05, -1.025)
    first, second, _ = played
    still = np.ones(first.shape[:2], dtype=bool)
    still[top - 25 : bottom + 2, left - 2 : right + 2] = False  # the panel and its title
    assert still.mean() > 0.3
    for picture in played[1:]:
        np.testing.assert_array_equal(picture[still], first[still])
    for x1, x2 in moving.surface.points:
        np.testing.assert_array_equal(second[spot(x1, x2)], first[spot(x1, x2)])
    title = slice(top - 25, top - 3), slice(left, right)
    assert (first[title] != second[title]).any()


def test_a_picture_says_its_epoch_and_how_well_the_network_does_then(moving: Animation) -> None:
    assert [panel.title for panel in panels(moving)] == [
        "epoch 0: validation 0.500, test 0.250",
        "epoch 4: validation 0.625, test 0.250",
        "epoch 10: validation 0.750, test 0.250",
    ]


def test_moving_pictures_are_those_of_the_figure(
    moving: Animation, drawn: list[Image.Image]
) -> None:
    """What is painted anew in place gives the pixels of a whole figure."""
    for one, picture in zip(panels(moving), drawn, strict=True):
        figure = draw(Chart(title=moving.title, panels=(one,), columns=1))
        figure.set_dpi(100)
        figure.set_size_inches(picture.width / 100, picture.height / 100)
        figure.axes[0].set_title("", loc="left", fontsize=None)
        figure.axes[0].title.set_text("")
        figure.canvas.draw()
        whole = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
        box = figure.axes[0].get_window_extent()
        rows = slice(int(picture.height - box.y1) + 1, int(picture.height - box.y0))
        columns = slice(int(box.x0) + 1, int(box.x1))
        painted = np.asarray(picture).astype(int)
        np.testing.assert_array_equal(painted[rows, columns], whole[rows, columns])


def test_the_same_animation_gives_the_same_bytes(
    moving: Animation, drawn: list[Image.Image]
) -> None:
    assert gif(list(pictures(moving)), "x") == gif(drawn, "x")


class Watched(Sequence[Image.Image]):
    """Pictures made when asked for, which notes how many there were at one time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.alive = self.most = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: Any) -> Any:
        if place >= self.count:
            raise IndexError(place)
        made = Image.new("RGB", (32, 16), (255 * (place % 2), 0, 0))
        weakref.finalize(made, self.let_go)
        self.alive += 1
        self.most = max(self.most, self.alive)
        return made

    def let_go(self) -> None:
        self.alive -= 1


def test_a_gif_holds_few_of_its_pictures_at_a_time() -> None:
    watched = Watched(60)
    assert Image.open(io.BytesIO(gif(watched, "x"))).n_frames == 60
    assert watched.most <= 8  # those that the palette is chosen from, and the present one


def test_pictures_are_drawn_anew_wherever_they_are_asked_for(
    moving: Animation, drawn: list[Image.Image]
) -> None:
    shown = pictures(moving)
    assert len(shown) == 3
    for place in (2, 0, -1, 1, 1):
        assert shown[place].tobytes() == drawn[place].tobytes()
    assert [one.tobytes() for one in shown[1:]] == [one.tobytes() for one in drawn[1:]]
    with pytest.raises(IndexError, match="out of range"):
        shown[3]


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1200, 10_000])
def test_of_many_epochs_some_are_shown_evenly(count: int) -> None:
    recorded = Surface(
        run_id="a",
        epochs=3 * np.arange(count),
        across=np.arange(2.0),
        up=np.arange(2.0),
        log_odds=np.tile(np.arange(count, dtype=np.float32)[:, None, None, None], (1, 2, 2, 1)),
        points=np.zeros((1, 2)),
        labels=np.zeros(1, int),
    )
    shown = thinned(recorded)
    assert len(shown.epochs) == min(count, MAX_PICTURES)
    assert (shown.epochs[0], shown.epochs[-1]) == (0, 3 * (count - 1))
    steps = np.diff(shown.epochs)
    assert steps.size == 0 or (np.ptp(steps) <= 3 and steps.min() > 0)
    np.testing.assert_array_equal(shown.log_odds[:, 1, 0, 0], shown.epochs / 3)


def test_a_single_epoch_is_a_still_picture() -> None:
    alone = animation(steep(0.5))
    content = gif(list(pictures(alone)), "x")
    film = Image.open(io.BytesIO(content))
    assert (film.n_frames, film.info["duration"]) == (1, LAST_PICTURE_MS)
    (picture,) = decoded(content)
    spot = Spot(alone, film.size)
    assert near(picture[spot(-0.5, 0.5)], class_colour(0))
    assert near(picture[spot(1.0, 0.5)], class_colour(1))


def test_three_classes_have_three_colours() -> None:
    """The first where x1 is small, the second where it is large and x2 small, else the third."""
    sure = np.stack([-60 * X1, 60 * X1 - 60 * X2, 60 * X1 + 60 * X2], -1)
    three = animation(sure, sure[::-1])
    first, second = decoded(gif(list(pictures(three)), "x"))
    spot = Spot(three, first.shape[1::-1])
    for picture, sign in ((first, 1), (second, -1)):
        assert near(picture[spot(-1.0, 0.5)], class_colour(0))
        assert near(picture[spot(1.0, -0.5 * sign)], class_colour(1))
        assert near(picture[spot(1.0, 0.5 * sign)], class_colour(2))


def test_a_network_without_numbers_is_grey() -> None:
    """It diverges: there is nothing to be coloured, and no boundary."""
    broken = animation(steep(0.0), np.full((SIDE, SIDE, 2), np.nan))
    before, after = decoded(gif(list(pictures(broken)), "x"))
    spot = Spot(broken, before.shape[1::-1])
    row, left, right = spot(0, 0.5)[0], spot(-1.8, 0)[1], spot(1.8, 0)[1]
    greys = after[row, left:right]
    assert (np.ptp(greys, axis=-1) <= TOLERANCE).all()
    assert greys.min() > 100  # hatching, not the boundary
    assert any(near(pixel, NOT_A_NUMBER) for pixel in greys)
    assert near(before[spot(-1.0, 0.5)], class_colour(0))


def test_names_of_others_are_text() -> None:
    (picture,) = pictures(animation(steep(0.0), title=r"$\frac{$ <b>" + "\n\x00" + "日本"))
    assert picture.mode == "RGB"


def test_the_paper_is_white(played: list[np.ndarray]) -> None:
    assert all((picture[0, 0] == 255).all() for picture in played)


class TestFilms:
    def test_without_ffmpeg_there_is_a_sentence(
        self, drawn: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert not has_ffmpeg()
        with pytest.raises(FathomError, match="ffmpeg is not on the path; install it"):
            mp4(drawn, "x")

    @pytest.fixture
    def stand_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Put a program named ffmpeg on the path that writes down what it is given."""
        program = tmp_path / "ffmpeg"
        program.write_text(
            f"#!{sys.executable}\n"
            "import os, pathlib, sys\n"
            "here = pathlib.Path(__file__).parent\n"
            "given = sys.stdin.buffer.read()\n"
            "(here / 'arguments').write_text('\\n'.join(sys.argv[1:]))\n"
            "(here / 'given').write_bytes(given)\n"
            "if os.environ.get('FAILS'):\n"
            "    sys.exit('first line\\nno such encoder')\n"
            "pathlib.Path(sys.argv[-1]).write_bytes(b'a film')\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path

    def test_ffmpeg_gets_all_pictures_and_the_last_for_two_seconds(
        self, stand_in: Path, drawn: list[Image.Image]
    ) -> None:
        """Names reach it as they are: no shell reads them."""
        assert mp4(drawn, "x; touch $(pwd)/pwned") == b"a film"
        arguments = (stand_in / "arguments").read_text().splitlines()
        assert "comment=x; touch $(pwd)/pwned" in arguments
        assert f"{drawn[0].width}x{drawn[0].height}" in arguments
        raw = (stand_in / "given").read_bytes()
        size = len(drawn[0].tobytes())
        shown = [raw[start : start + size] for start in range(0, len(raw), size)]
        assert shown[:3] == [one.tobytes() for one in drawn]
        assert set(shown[2:]) == {drawn[-1].tobytes()}
        assert abs(len(shown[2:]) * PICTURE_MS - LAST_PICTURE_MS) <= PICTURE_MS
        assert not os.path.exists(arguments[-1])  # what was written aside is gone

    def test_a_film_holds_few_of_its_pictures_at_a_time(self, stand_in: Path) -> None:
        watched = Watched(60)
        assert mp4(watched, "x") == b"a film"
        assert len((stand_in / "given").read_bytes()) == (60 + 11) * 32 * 16 * 3
        assert watched.most <= 2

    def test_a_program_that_reads_nothing_is_no_hang(
        self, stand_in: Path, drawn: list[Image.Image]
    ) -> None:
        (stand_in / "ffmpeg").write_text(f"#!{sys.executable}\nraise SystemExit('no room')\n")
        with pytest.raises(FathomError, match=r"^ffmpeg: no room$"):
            mp4(drawn * 20, "x")

    def test_a_program_that_never_ends_is_ended(
        self, stand_in: Path, drawn: list[Image.Image], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fathom.figures.film._PATIENCE_S", 0.5)
        (stand_in / "ffmpeg").write_text(
            f"#!{sys.executable}\nimport time\nwhile True:\n    time.sleep(9)\n"
        )
        with pytest.raises(FathomError, match=r"^ffmpeg: .*took over 0\.5 s$"):
            mp4(drawn, "x")

    def test_what_ffmpeg_complains_about_is_told(
        self, stand_in: Path, drawn: list[Image.Image], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAILS", "1")
        with pytest.raises(FathomError, match=r"^ffmpeg: no such encoder$"):
            mp4(drawn, "x")

    @pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on the path")
    def test_a_film_shows_the_same(self, moving: Animation, drawn: list[Image.Image]) -> None:
        width, height = drawn[0].size
        content = mp4(drawn, "fathom says so")
        assert b"fathom says so" in content
        command = ["ffmpeg", "-loglevel", "error", "-i", "pipe:0", "-f", "rawvideo"]
        done = subprocess.run(
            [*command, "-pix_fmt", "rgb24", "pipe:1"],
            input=content,
            capture_output=True,
            check=True,
        )
        shown = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3).astype(int)
        assert abs((len(shown) - 2) * PICTURE_MS - LAST_PICTURE_MS) <= PICTURE_MS
        spot = Spot(moving, (width, height))
        for border, picture in zip(BORDERS, shown, strict=False):
            left, right = picture[spot(border - 0.4, 0.3)], picture[spot(border + 0.4, 0.3)]
            assert left[2] - left[0] > 40  # blue, but for what a film's colours are off
            assert right[0] - right[2] > 40  # orange
