"""Curves of several activations side by side."""

import numpy as np
import pytest

from fathom.activations import ACTIVATIONS
from fathom.card import grid
from fathom.registry import Choice

TUTORIAL = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "silu")


def test_a_panel_for_each_over_one_range() -> None:
    picture = grid({name: ACTIVATIONS.build(Choice(name)) for name in TUTORIAL})
    assert [panel.title for panel in picture.panels] == list(TUTORIAL)
    assert picture.columns == 2
    for panel in picture.panels:
        value, derivative = panel.lines[:2]
        assert (value.x[0], value.x[-1]) == (-5, 5) == (derivative.x[0], derivative.x[-1])
    value, derivative = picture.panels[1].lines
    np.testing.assert_allclose(value.y, np.tanh(value.x), atol=1e-15)
    np.testing.assert_allclose(derivative.y, 1 / np.cosh(derivative.x) ** 2, atol=1e-15)


def test_a_far_kink_does_not_widen_a_panel() -> None:
    (panel,) = grid({"relu6": ACTIVATIONS.build(Choice("relu6"))}, reach=3.0).panels
    assert panel.lines[0].x[-1] == 3
    assert panel.lines[2].x[::2].tolist() == [0]  # the kink at 6 is out of sight


def test_one_needs_one_column() -> None:
    assert grid({"abs": ACTIVATIONS.build(Choice("abs"))}, columns=4).columns == 1


@pytest.mark.parametrize("options", [{"reach": 0.0}, {"reach": np.inf}, {"columns": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="1 activations, reach"):
        grid({"abs": ACTIVATIONS.build(Choice("abs"))}, **options)  # type: ignore[arg-type]
