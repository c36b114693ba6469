"""LeNet: its size, and images that it cannot take."""

import pytest
from network_cases import built, choice, layers


def test_it_has_the_layers_of_the_paper() -> None:
    network = built(choice("lenet"), (1, 32, 32))
    shapes = [tuple(layer.linear.weight.shape) for layer in layers(network)]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (5, 84)]


def test_sides_may_differ() -> None:
    network = built(choice("lenet"), (1, 16, 32))
    assert layers(network)[2].linear.weight.shape == (120, 16 * 1 * 5)


def test_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 15 x 40 are too small for lenet"):
        built(choice("lenet"), (1, 15, 40))
