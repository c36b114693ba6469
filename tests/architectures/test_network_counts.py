"""Parameters, operations and memory of networks, by hand and as published."""

import time

import pytest
import torch
from network_cases import FORMS, batch, choice, started
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from fathom.architectures import ARCHITECTURES
from fathom.architectures.count import Counts, count
from fathom.registry import Choice


def test_lenet_by_hand() -> None:
    """On 28 x 28 pixels: 24 x 24 and 8 x 8 positions, halved by the poolings."""
    areas = 24 * 24, 8 * 8
    maps = [(1 * 25, 6, areas[0]), (6 * 25, 16, areas[1]), (256, 120, 1), (120, 84, 1), (84, 10, 1)]
    parameters = sum((fan_in + 1) * num_out for fan_in, num_out, _ in maps)
    flops = sum(2 * fan_in * num_out * area for fan_in, num_out, area in maps)
    wide = 6 * areas[0] + 16 * areas[1]
    # The image; of each convolution h, phi(h), what the pooling leaves, its indices of 8 bytes;
    # h and phi(h) of the linear layers.
    kept = 28 * 28 + 2 * wide + wide // 4 + 2 * wide // 4 + 2 * (120 + 84)
    assert count(choice("lenet"), (1, 28, 28), 10) == Counts(parameters, flops, kept, 5)


def test_lenet_of_a_study_of_five_classes() -> None:
    assert count(choice("lenet"), (3, 224, 224), 5).parameters == 5_406_861


@pytest.mark.parametrize(
    ("form", "billions"),
    [
        (choice("vgg11"), 7.61),
        (choice("resnet18"), 1.81),
        (choice("vit", patch=16, width=768, heads=12, layers=12), 17.56),
    ],
    ids=["vgg11", "resnet18", "vit_b_16"],
)
def test_published_operations(form: Choice, billions: float) -> None:
    """torchvision's, which takes a multiply-add as one, to its two decimals."""
    flops = count(form, (3, 224, 224), 1000).flops
    assert flops / 2e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_memory_is_what_a_real_pass_keeps(form: Choice) -> None:
    """In float64 with a batch of 4.

    Attention in one piece keeps, instead of the A T^2 weights that are counted, one number for each
    of the A T rows.
    """
    network, (images, _) = started(form, (3, 32, 32)), batch((3, 32, 32), 4)
    own = {number.data_ptr() for number in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        network(images)
    numbers = 0.0
    for pointer, tensor in kept.items():
        if pointer not in own:
            is_index = tensor.dtype == torch.int64  # as long as a float64, and two float32
            numbers += tensor.untyped_storage().nbytes() / (4 if is_index else 8)
    if form.name == "vit":
        params = {"heads": 8, "layers": 1} | dict(form.params)
        num_tokens = 1 + (32 // 4) ** 2
        numbers += 4 * params["layers"] * params["heads"] * num_tokens * (num_tokens - 1)
    # What belongs to a batch and not to an image, such as its means, is shared by more images.
    assert numbers / 4 == pytest.approx(count(form, (3, 32, 32), 5).activation_numbers, rel=0.01)


def test_an_architecture_may_be_counted_itself() -> None:
    form = choice("vit", heads=4)
    counted = count(ARCHITECTURES.build(form), (1, 28, 28), 10)
    assert counted == count(form, (1, 28, 28), 10)


def test_dropout_keeps_masks() -> None:
    plain, dropped = (count(choice("lenet", dropout=rate), (1, 28, 28), 10) for rate in (0.0, 0.5))
    assert dropped.activation_numbers > plain.activation_numbers
    assert dropped[:2] == plain[:2]


def test_counting_is_quick_and_done_once() -> None:
    count(choice("resnet18"), (3, 96, 96), 10)  # imports
    times = []
    for size in (32, 224):  # 49 times the operations, none of which is carried out
        start = time.process_time()
        count(choice("resnet18"), (3, size, size), 3)
        times.append(time.process_time() - start)
    assert times[1] < 10 * times[0]
    hits = count.cache_info().hits
    count(choice("resnet18"), (3, 224, 224), 3)
    assert count.cache_info().hits == hits + 1


def test_what_is_kept_for_backward_is_counted_without_gradients_as_well() -> None:
    lenet = ARCHITECTURES.build(choice("lenet"))
    with torch.no_grad():
        counted = count(lenet, (1, 30, 30), 10)
    count.cache_clear()
    assert counted == count(lenet, (1, 30, 30), 10)


def test_the_multilayer_perceptron_is_counted_elsewhere() -> None:
    with pytest.raises(ValueError, match="mlp is no image network"):
        count(choice("mlp"), (1, 28, 28), 10)


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="too small for lenet"):
        count(choice("lenet"), (1, 8, 8), 10)
