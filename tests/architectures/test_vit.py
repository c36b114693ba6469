"""The vision transformer: published size, attention by hand, patches, warnings."""

import math

import pytest
import torch
from network_cases import batch, built, choice, layers, started
from torch import Tensor, nn

from fathom.architectures import ARCHITECTURES
from fathom.architectures.count import count

BASE = choice("vit", patch=16, width=768, heads=12, layers=12, mlp_ratio=4)


def attention(*, scale: bool) -> nn.Module:
    """Two heads of 16 numbers."""
    form = choice("vit", width=32, heads=2, scale=scale)
    return started(form, (1, 28, 28)).get_submodule("blocks.0.attention")


def tokens() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 5, 32, dtype=torch.float64, generator=generator)


def by_hand(module: nn.Module, x_BTD: Tensor, factor: float) -> Tensor:
    """Attend head by head, with the softmax written out."""
    qkv, projection = module.get_submodule("qkv"), module.get_submodule("projection")
    heads = []
    for start in (0, 16):
        query, key, value = (qkv(x_BTD)[:, :, i + start : i + start + 16] for i in (0, 32, 64))
        weight_BTT = torch.exp(factor * query @ key.mT)
        heads.append(weight_BTT / weight_BTT.sum(2, keepdim=True) @ value)
    joined: Tensor = projection(torch.cat(heads, 2))
    return joined


@pytest.mark.parametrize(("scale", "factor"), [(True, 1 / math.sqrt(16)), (False, 1.0)])
def test_attention_is_what_one_writes_by_hand(scale: bool, factor: float) -> None:
    module = attention(scale=scale)
    torch.testing.assert_close(module(tokens()), by_hand(module, tokens(), factor))


def test_without_scale_logits_are_larger_by_the_root_of_the_heads_width() -> None:
    scaled, plain = attention(scale=True), attention(scale=False)
    assert not torch.allclose(scaled(tokens()), plain(tokens()))
    with torch.no_grad():
        for kind in ("weight", "bias"):
            scaled.get_parameter(f"qkv.{kind}")[:32] *= math.sqrt(16)  # of the queries
    torch.testing.assert_close(scaled(tokens()), plain(tokens()))


def test_published_number_of_parameters() -> None:
    """torchvision's vit_b_16 for ImageNet."""
    assert count(BASE, (3, 224, 224), 1000).parameters == 86_567_656


def test_layers_and_what_reads_them() -> None:
    network = built(choice("vit", layers=2), (1, 28, 28))
    block = ["attention.qkv", "attention.projection", "linear1", "linear2"]
    names = [f"blocks.{index}.{name}" for index in (0, 1) for name in block]
    found = layers(network)
    assert [layer.name for layer in found] == ["patches", *names, "output"]
    for layer in found:
        own = network.get_submodule(layer.name.replace("linear1", "act"))
        assert layer.act is (own if layer.name.endswith("linear1") else None)


@pytest.mark.parametrize(("size", "patch"), [(28, 4), (32, 4), (64, 8), (224, 16)])
def test_patches_follow_the_size_of_images(size: int, patch: int) -> None:
    network = built(choice("vit"), (1, size, size))
    assert network.get_submodule("patches").kernel_size == (patch, patch)
    assert network.get_parameter("positions.value").shape == (1, 1 + (size // patch) ** 2, 128)


@pytest.mark.parametrize(("height", "width", "patch"), [(30, 28, 4), (28, 64, 8)])
def test_images_that_patches_do_not_cover_are_refused(height: int, width: int, patch: int) -> None:
    told = f"images of {height} x {width} cannot be cut into patches of {patch} x {patch}"
    with pytest.raises(ValueError, match=told):
        built(choice("vit"), (1, height, width))


def test_a_given_patch_cuts_images_of_two_sides() -> None:
    network = built(choice("vit", patch=4), (1, 28, 64))
    assert network.get_parameter("positions.value").shape == (1, 1 + 7 * 16, 128)


def test_the_positions_tell_patches_apart() -> None:
    """Moved patches change the logits through positions alone."""
    network = started(choice("vit", patch=14), (1, 28, 28))
    images, _ = batch((1, 28, 28), 2)
    moved = images.roll(14, dims=3)
    with torch.no_grad():
        assert not torch.allclose(network(images), network(moved))
        network.get_parameter("positions.value").zero_()
        torch.testing.assert_close(network(images), network(moved))


@pytest.mark.parametrize(("heads", "is_warned"), [(8, True), (5, True), (4, False), (1, False)])
def test_narrow_heads_are_warned_of(heads: int, is_warned: bool) -> None:
    width = 128 - 128 % heads
    warnings = ARCHITECTURES.build(choice("vit", width=width, heads=heads)).warnings
    assert len(warnings) == is_warned
    assert all(f"width / heads = {width // heads} numbers" in text for text in warnings)
