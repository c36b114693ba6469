"""Samples of a data set: the right pixels, the right names, points in the plane."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import fathom
from command import Fathom
from fathom.data.scaling import Scale
from fathom.data.splits import Part, PreparedData, prepare
from fathom.errors import FathomError
from fathom.figures.draw_samples import draw_grid
from fathom.figures.frames import FigureError
from fathom.figures.samples import grid_numbers, point_chart, point_numbers
from made_data import DIGITS


def prepared(inputs: Tensor, targets: Tensor, **options: Any) -> PreparedData:
    """Make data of samples [N, ...]; names of classes may be given."""
    part = Part(inputs=inputs.flatten(1), targets=targets)
    known: dict[str, Any] = {
        "num_classes": 3,
        "class_names": ("cat", "dog", "newt"),
        "sample_shape": tuple(inputs.shape[1:]),
    }
    return PreparedData(
        train=part,
        validation=None,
        test=part,
        scale=Scale(),
        num_features=part.inputs.shape[1],
        config=DIGITS,
        digest="",
        **(known | options),
    )


def test_colour_comes_last_and_bytes_become_shares() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    found = grid_numbers(prepared(images, torch.tensor([2, 0])))
    assert found.images.shape == (2, 4, 5, 3)
    assert found.images[1, 3, 4, 0] == images[1, 0, 3, 4].item() / 255
    assert found.titles == ("newt", "cat")


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5)])
def test_other_numbers_are_spread_over_their_range(shape: tuple[int, ...]) -> None:
    images = torch.linspace(-3.0, 7.0, 40, dtype=torch.float64).reshape(2, *shape)
    found = grid_numbers(prepared(images, torch.tensor([2, 0])))
    assert found.images.shape == (2, 4, 5)
    np.testing.assert_allclose(found.images.ravel(), np.linspace(0, 1, 40), atol=1e-15)
    assert not grid_numbers(prepared(0 * images + 5, torch.tensor([2, 0]))).images.any()


def test_several_labels_are_joined_and_unnamed_classes_are_numbers() -> None:
    images, targets = torch.zeros(3, 2, 2), torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert grid_numbers(prepared(images, targets)).titles == ("cat, newt", "no label", "dog")
    unnamed = prepared(images, targets, class_names=())
    assert grid_numbers(unnamed, 2).titles == ("0, 2", "no label")


def test_the_first_images_of_the_training_part() -> None:
    data = prepare(DIGITS)
    found = grid_numbers(data, 5)
    np.testing.assert_array_equal(found.images * 16, data.train.inputs[:5].numpy().reshape(5, 8, 8))
    assert found.titles == tuple(str(label.item()) for label in data.train.targets[:5])


def test_what_is_no_image_has_a_sentence() -> None:
    with pytest.raises(
        FigureError, match=r"samples of 'digits' have shape \[7\] and are no images"
    ):
        grid_numbers(prepared(torch.zeros(2, 7), torch.zeros(2, dtype=torch.int64)))
    with pytest.raises(FigureError, match="are no points in the plane"):
        point_numbers(prepare(DIGITS))


def test_points_have_a_colour_for_each_class() -> None:
    data = prepare(replace(DIGITS, name="half_moons", limit=40))
    (panel,) = point_chart(point_numbers(data)).panels
    assert [points.name for points in panel.points] == ["upper", "lower"]
    assert panel.points[0].y.mean() > panel.points[1].y.mean()
    drawn = np.concatenate([np.stack([p.x, p.y], axis=1) for p in panel.points])
    expected = data.train.inputs.numpy()
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, expected))
    labels = [label for label, p in enumerate(panel.points) for _ in p.x]
    assert sorted(labels) == sorted(data.train.targets.tolist())


def test_a_tile_for_each_image_with_its_name() -> None:
    figure = draw_grid(grid_numbers(prepare(DIGITS), 10), columns=4)
    assert [len(ax.images) for ax in figure.axes] == [1] * 10
    tops = [ax.get_position().y1 for ax in figure.axes]
    assert [len(set(tops[row : row + 4])) for row in (0, 4, 8)] == [1, 1, 1]
    assert tops[0] > tops[4] > tops[8]
    assert all(ax.get_position().x1 <= 1 for ax in figure.axes)
    figure.canvas.draw()


class TestCommand:
    def test_a_folder_of_images(self, fathom: Fathom, here: Path) -> None:
        for part in ("train", "test"):
            for index, name in enumerate(("$boot$", "fox")):
                folder = here / "pictures" / part / name
                folder.mkdir(parents=True)
                for number in range(4):
                    colour = (250 * index, 20 * number, 9)
                    Image.new("RGB", (6, 5), colour).save(folder / f"{number}.png")
        outcome = fathom(
            *("data", "samples", "image_folder", "--set", "data.path=pictures"),
            *("--out", "grid.PNG", "--count", "3"),
        )
        assert (outcome.code, outcome.out) == (0, "grid.PNG\n")
        assert (here / "grid.PNG").read_bytes().startswith(b"\x89PNG")

    def test_points(self, fathom: Fathom, here: Path) -> None:
        assert fathom("data", "samples", "half_moons", "--out", "moons.svg").code == 0
        assert (here / "moons.svg").read_text().startswith("<?xml")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("digit", "--out", "x.png"), "Did you mean 'digits'"),
            (("digits", "--out", "x.bmp"), "--out x.bmp: must end in one of .png"),
            (("digits", "--out", "no/x.png"), "there is no folder no"),
            (("digits", "--out", "x.png", "--count", "0"), "count: got 0"),
            (("digits", "--out", "x.png", "--columns", "99"), "columns: got 99"),
            (("digits", "--out", "x.png", "--set", "data.pth=a"), "Did you mean 'data.path'"),
            (("digits", "--out", "x.png", "--set", "data.seed=[1,2]"), "is a sweep"),
            (("image_folder", "--out", "x.png"), "needs data.path"),
        ],
    )
    def test_a_mistake_is_one_message(
        self, fathom: Fathom, here: Path, arguments: tuple[str, ...], told: str
    ) -> None:
        outcome = fathom("data", "samples", *arguments)
        assert outcome.code == 2
        assert told in outcome.err
        assert "Traceback" not in outcome.err
        assert not (here / "x.png").exists()

    def test_no_images(self, fathom: Fathom, here: Path) -> None:
        np.savez(here / "mine.npz", x=np.ones((30, 7)), y=np.arange(30) % 2)
        outcome = fathom(*(
            "data",
            "samples",
            "arrays",
            "--set",
            "data.path=mine.npz",
            "--out",
            "x.png",
        ))
        assert outcome.code == 2
        assert "samples of 'arrays' have shape [7] and are no images" in outcome.err


def test_from_python() -> None:
    figure = fathom.draw_samples({"name": "digits", "seed": 3}, count=6, columns=3)
    assert len(figure.axes) == 6
    with pytest.raises(FathomError, match="count: got 401"):
        fathom.draw_samples("digits", count=401)
