"""VGG-11: published size, poolings and classifiers of other image sizes."""

import math

import pytest
import torch
from network_cases import built, choice, layers
from torch import nn

from fathom.architectures.count import count

MIB = 2**20


def test_published_number_of_parameters() -> None:
    """torchvision's vgg11 for ImageNet."""
    assert count(choice("vgg11"), (3, 224, 224), 1000).parameters == 132_863_336


def test_batch_norm_adds_a_number_for_each_channel() -> None:
    """A scale and a shift, less the bias."""
    channels = 64 + 128 + 2 * 256 + 4 * 512
    plain, normed = (
        count(choice("vgg11", norm=norm), (3, 224, 224), 1000).parameters
        for norm in ("none", "batch_norm")
    )
    assert normed - plain == channels


@pytest.mark.parametrize(
    ("size", "num_poolings", "num_features", "hidden"),
    [(28, 4, 512, 512), (32, 5, 512, 512), (64, 5, 2048, 2048), (224, 5, 25088, 4096)],
)
def test_poolings_leave_something_and_the_classifier_is_as_wide_as_what_it_reads(
    size: int, num_poolings: int, num_features: int, hidden: int
) -> None:
    network = built(choice("vgg11"), (3, size, size))
    pools = [module for module in network.modules() if isinstance(module, nn.MaxPool2d)]
    assert len(pools) == num_poolings
    shapes = [tuple(layer.linear.weight.shape) for layer in layers(network)[8:]]
    assert shapes == [(hidden, num_features), (hidden, hidden), (5, hidden)]


def test_sides_may_differ() -> None:
    network = built(choice("vgg11", classifier=()), (1, 7, 40))
    assert network(torch.empty(2, 1, 7, 40, device="meta")).shape == (2, 5)
    assert layers(network)[-1].linear.weight.shape == (5, 512 * 1 * 10)


def test_a_study_of_five_classes_that_saved_432_mib_had_a_smaller_classifier() -> None:
    """The published one makes 491 MiB; one of 4096 and 256 makes what `ls -h` rounds up to 432."""
    published, smaller = (
        count(choice("vgg11", classifier=hidden), (3, 224, 224), 5).parameters * 4 / MIB
        for hidden in (None, (4096, 256))
    )
    assert math.ceil(published) == 492
    assert math.ceil(smaller) == 432
