"""What all networks have in common: shapes, measured layers, gradients, a start from seeds."""

import pytest
import torch
from network_cases import DROPPED, FAMILIES, FORMS, NUM_CLASSES, batch, built, layers, started
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fathom.activations import ACTIVATIONS
from fathom.architectures import ARCHITECTURES, Act, reset
from fathom.architectures.base import (
    Architecture,
    ImageShape,
    Learned,
    chain,
    image_shape,
    normalisation,
)
from fathom.errors import ComponentError
from fathom.registry import Choice

SIZES = [28, 32, 64, 224]
LARGE = 224
DECREASE = 1e-3  # of the loss, by one step


def label(form: Choice) -> str:
    return form.label


def test_every_architecture_is_tested() -> None:
    assert {form.name for form in FAMILIES} == {*ARCHITECTURES.names()} - {"mlp"}
    assert all(ARCHITECTURES.describe(name) for name in ARCHITECTURES.names())
    assert all(ARCHITECTURES.build(form).source for form in FAMILIES)


def calls(network: nn.Module, images: Tensor) -> list[nn.Module]:
    """Return the linear maps and activations of a forward pass as they are called."""
    called: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | Act):
            module.register_forward_hook(lambda module, *_: called.append(module))
    network(images)
    return called


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", FORMS, ids=label)
def test_measured_layers_are_all_linear_maps_in_the_order_of_the_signal(
    form: Choice, size: int
) -> None:
    network = built(form, (3, size, size))
    called = calls(network, torch.empty(2, 3, size, size, device="meta"))
    maps = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    found = layers(network)
    assert [layer.linear for layer in found] == [module for module in called if module in maps]
    assert {layer.linear for layer in found} == {*maps}
    assert len(found) == len(maps)
    assert all(network.get_submodule(layer.name) is layer.linear for layer in found)


@pytest.mark.parametrize("form", FORMS, ids=label)
def test_an_activation_stands_at_one_place_and_reads_the_layers_that_name_it(form: Choice) -> None:
    network = built(form, (3, 64, 64))
    called = calls(network, torch.empty(2, 3, 64, 64, device="meta"))
    acts = [module for module in called if isinstance(module, Act)]
    assert len(acts) == len({*acts})
    assert {*acts} == {module for module in network.modules() if isinstance(module, Act)}
    assert {*acts} == {layer.act for layer in layers(network)} - {None}
    for layer in layers(network):
        if layer.act is not None:
            after = called[called.index(layer.linear) + 1 :]
            assert next(module for module in after if isinstance(module, Act)) is layer.act
    assert layers(network)[-1].act is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", FAMILIES, ids=label)
def test_logits_have_a_row_for_each_image(form: Choice, size: int, channels: int) -> None:
    network = built(form, (channels, size, size))
    logits = network(torch.empty(3, channels, size, size, device="meta"))
    assert logits.shape == (3, NUM_CLASSES)


@pytest.mark.parametrize("name", ACTIVATIONS.names())
@pytest.mark.parametrize("form", FAMILIES, ids=label)
def test_any_activation_will_do(form: Choice, name: str) -> None:
    network = built(form, (1, 28, 28), name, device="cpu")
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, NUM_CLASSES)


def check_a_step(form: Choice, shape: ImageShape, size: int) -> None:
    """Step along the gradient, so that the loss should fall by a known amount.

    The fall agrees with the gradient to a tenth; the step is so short that curvature is less.
    """
    network = started(form, shape)
    images, target = batch(shape, size)
    loss = cross_entropy(network(images), target)
    loss.backward()
    grads = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.any()] == []
    squared = sum(float(grad.square().sum()) for grad in grads.values() if grad is not None)
    expected = DECREASE * float(loss.detach())
    torch.optim.SGD(network.parameters(), lr=expected / squared).step()
    with torch.no_grad():
        after = cross_entropy(network(images), target)
    assert float(loss.detach()) - float(after) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "size", [pytest.param(s, marks=[pytest.mark.slow] * (s == LARGE)) for s in SIZES]
)
@pytest.mark.parametrize("form", FAMILIES, ids=label)
def test_a_step_lowers_the_loss_as_far_as_the_gradient_says(
    form: Choice, size: int, channels: int
) -> None:
    check_a_step(form, (channels, size, size), 2)


@pytest.mark.parametrize("form", FORMS[len(FAMILIES) :], ids=label)
def test_so_does_a_step_of_other_forms(form: Choice) -> None:
    check_a_step(form, (3, 32, 32), 4)


@pytest.mark.parametrize("form", FORMS, ids=label)
def test_the_same_seeds_give_the_same_logits(form: Choice) -> None:
    images, _ = batch((1, 32, 32), 3)
    state = torch.get_rng_state()
    first, second, other = (
        started(form, (1, 32, 32), seed=seed)(images).detach() for seed in (0, 0, 1)
    )
    assert torch.isfinite(first).all()  # every number was drawn: what was not, is NaN
    assert torch.equal(first, second)
    assert not torch.isclose(first, other).any()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("form", FORMS, ids=label)
def test_reset_starts_all_but_the_measured_layers(form: Choice) -> None:
    network = started(form, (1, 32, 32))
    expected = {name: number.clone() for name, number in network.state_dict().items()}
    network(batch((1, 32, 32), 4)[0])  # moves running statistics
    own = {f"{layer.name}.{kind}" for layer in layers(network) for kind in ("weight", "bias")}
    with torch.no_grad():
        for name, number in network.named_parameters():
            number.add_(name not in own)
    reset(network, torch.Generator().manual_seed(0))
    found = network.state_dict()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_reset_leaves_measured_layers_alone() -> None:
    network = started(FAMILIES[2], (1, 32, 32))
    with torch.no_grad():
        for layer in layers(network):
            layer.linear.weight.fill_(7)
    reset(network, torch.Generator())
    assert all((layer.linear.weight == 7).all() for layer in layers(network))


@pytest.mark.parametrize("form", DROPPED, ids=label)
def test_dropout_is_for_training_alone(form: Choice) -> None:
    network = started(form, (1, 32, 32))
    images, _ = batch((1, 32, 32), 4)
    torch.manual_seed(0)
    with torch.no_grad():
        assert not torch.equal(network.train()(images), network(images))
        assert torch.equal(network.eval()(images), network(images))


def test_learned_numbers_are_normal_and_shared_by_precisions() -> None:
    learned = Learned(1, 100, 100, std=0.02)
    assert not learned().any()
    learned.draw(torch.Generator().manual_seed(0))
    # 4 standard errors of a standard deviation over n numbers: 4 / sqrt(2 n).
    assert float(learned.value.detach().std()) == pytest.approx(0.02, rel=4 / (2 * 10_000) ** 0.5)
    double = Learned(1, 100, 100, std=0.02).double()
    double.draw(torch.Generator().manual_seed(0))
    assert torch.equal(double().float(), learned())


def test_layer_norm_takes_channels_and_positions_together() -> None:
    h = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    centred = h - h.mean((1, 2, 3), keepdim=True)
    variance = centred.square().mean((1, 2, 3), keepdim=True)
    n = normalisation("layer_norm", 3).double()(h)
    torch.testing.assert_close(n, centred / (variance + 1e-5).sqrt())


def test_a_chain_pairs_maps_with_what_reads_them() -> None:
    act = Act(ACTIVATIONS.build(Choice("relu")))
    first, second = nn.Conv2d(1, 1, 3), nn.Linear(2, 2)
    assert chain([first, nn.Identity(), act, second]) == [(first, act), (second, None)]


def test_the_slope_of_a_record_is_its_derivative() -> None:
    """Even one that is not the derivative of its value."""
    phi = ACTIVATIONS.build(Choice("identity"))
    odd = Act(type(phi)(name="odd", value=torch.square, slope=torch.ones_like))
    h = torch.tensor([3.0], requires_grad=True)
    odd(h).backward()
    assert float(h.grad) == 1.0  # type: ignore[arg-type]  # backward made it


@pytest.mark.parametrize(
    ("sample_shape", "expected"), [((28, 20), (1, 28, 20)), ((3, 32, 31), (3, 32, 31))]
)
def test_a_shape_of_two_or_three_numbers_is_an_image(
    sample_shape: tuple[int, ...], expected: ImageShape
) -> None:
    assert image_shape(sample_shape) == expected


def test_other_shapes_are_no_images() -> None:
    with pytest.raises(ValueError, match=r"samples of shape \(7,\) are no images"):
        image_shape((7,))


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (Choice("resnet-18"), "unknown model 'resnet-18'. Did you mean 'resnet18'"),
        (Choice("vgg11", (("norm", "batchnorm"),)), "norm: got 'batchnorm'; must be one of none"),
        (Choice("resnet18", (("norm", "group"),)), "norm: got 'group'; must be one of none"),
        (Choice("resnet18", (("stem", "tiny"),)), "stem: got 'tiny'; must be one of auto, small"),
        (Choice("vgg11", (("classifier", (64, 0)),)), r"classifier\[1\]: got 0; must be an int"),
        (Choice("vit", (("width", 130),)), "width: got 130; must be a multiple of heads"),
        (Choice("vit", (("patch", 0),)), "patch: got 0; must be an integer, >= 1"),
        (Choice("vit", (("mlp_ratio", 1.5),)), "mlp_ratio: got 1.5; must be an integer"),
        *((Choice(form.name, (("dropout", 1),)), "dropout: got 1; must be") for form in FAMILIES),
    ],
    ids=lambda value: value.label if isinstance(value, Choice) else "",
)
def test_wrong_settings_are_refused(form: Choice, told: str) -> None:
    with pytest.raises(ComponentError, match=told):
        ARCHITECTURES.build(form)


def test_an_architecture_without_faults_has_no_warnings() -> None:
    assert Architecture(name="own", build=None).warnings == ()
    assert all(ARCHITECTURES.build(form).warnings == () for form in FAMILIES if form.name != "vit")
