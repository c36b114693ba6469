"""ResNet-18: published sizes, its stems, its shortcuts."""

import pytest
import torch
from network_cases import batch, built, choice, layers, started

from fathom.architectures.count import count
from fathom.registry import Choice


@pytest.mark.parametrize(("num_classes", "expected"), [(5, 11_179_077), (1000, 11_689_512)])
def test_published_numbers_of_parameters(num_classes: int, expected: int) -> None:
    """A checkpoint of a study of five classes; torchvision's resnet18 for ImageNet."""
    assert count(choice("resnet18"), (3, 224, 224), num_classes).parameters == expected


@pytest.mark.parametrize(
    ("form", "size", "kernel", "last"),
    [
        (choice("resnet18"), 32, 3, 4),
        (choice("resnet18"), 127, 3, 16),
        (choice("resnet18"), 128, 7, 4),
        (choice("resnet18"), 224, 7, 7),
        (choice("resnet18", stem="small"), 224, 3, 28),
        (choice("resnet18", stem="large"), 32, 7, 1),
    ],
)
def test_the_stem_follows_the_size_of_images(
    form: Choice, size: int, kernel: int, last: int
) -> None:
    network = built(form, (3, size, size))
    assert network.get_submodule("stem").kernel_size == (kernel, kernel)
    seen: list[torch.Size] = []
    network.get_submodule("blocks").register_forward_hook(lambda *io: seen.append(io[2].shape))
    network(torch.empty(2, 3, size, size, device="meta"))
    assert seen == [(2, 512, last, last)]  # what the mean over positions sees


def test_a_shortcut_is_read_by_the_activation_after_the_sum() -> None:
    found = {layer.name: layer.act for layer in layers(built(choice("resnet18"), (3, 32, 32)))}
    shortcuts = [name for name in found if name.endswith("shortcut")]
    assert shortcuts == [f"blocks.{block}.shortcut" for block in (2, 4, 6)]
    for name in shortcuts:
        assert found[name] is found[name.replace("shortcut", "conv2")]
    assert len(found) == 1 + 16 + 3 + 1


def test_a_block_adds_its_input() -> None:
    """With weights of 0 in its last convolution a block is its activation alone."""
    network = started(choice("resnet18", norm="none"), (1, 32, 32), activation="relu")
    block = network.get_submodule("blocks.0")
    x, _ = batch((64, 8, 8), 2)
    with torch.no_grad():
        block.get_parameter("conv2.weight").zero_()
        torch.testing.assert_close(block(x), x.relu(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("norm", "expected"), [("none", 20), ("layer_norm", 20), ("batch_norm", 0)]
)
def test_convolutions_before_batch_norm_have_no_bias(norm: str, expected: int) -> None:
    network = built(choice("resnet18", norm=norm), (3, 32, 32))
    assert sum(layer.linear.bias is not None for layer in layers(network)[:-1]) == expected
