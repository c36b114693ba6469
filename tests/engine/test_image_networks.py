"""Image networks in the single engine: records against hooks, resuming, labels, scores."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fathom.data.scaling import Scale
from fathom.data.splits import Part, PreparedData
from fathom.engine.precision import is_available
from fathom.engine.probes import measure_layer
from fathom.engine.run import State, train_cohort
from fathom.engine.single import CPU, Trainer
from fathom.errors import FathomError
from fathom.losses import LOSSES
from fathom.metrics import measure
from fathom.models.build import count_network, initial_network, rebuilt_network
from fathom.registry import Choice
from fathom.spec.grid import RecordConfig, Run

RECORD = RecordConfig(probe_size=8, histograms=False, weights="best_and_last", scores=True)
NETWORKS = [
    Choice("lenet", (("dropout", 0.3),)),
    Choice("vgg11", (("classifier", (16,)), ("dropout", 0.3), ("norm", "batch_norm"))),
    Choice("resnet18"),
    Choice("vit", (("dropout", 0.1), ("heads", 2), ("patch", 8), ("width", 64))),
]
SIDE, NUM_CLASSES = 32, 3
NUM_TRAIN, NUM_TEST, NUM_PROBES = 24, 8, 8
PHI = Choice("silu")


@pytest.fixture
def image_run(make_run: Callable[..., Run]) -> Callable[..., Run]:
    def build(network: Choice, augment: Any = "none", **given: Any) -> Run:
        settings: dict[str, Any] = {"engine": "single", "batch_size": 8, "record": RECORD}
        run = make_run(**(settings | {"lr": 0.01} | given))
        model = replace(run.model, name=network, hidden=(), activation=(PHI,))
        return replace(run, model=model, data=replace(run.data, augment=augment))

    return build


def images(run: Run, *, several: bool = False) -> PreparedData:
    """Noise with a bright patch for each class that an image has."""
    rng = torch.Generator().manual_seed(5)
    parts = []
    for num in (NUM_TRAIN, NUM_TEST, NUM_TEST):
        labels = torch.randint(NUM_CLASSES, (num,), generator=rng)
        hot = nn.functional.one_hot(labels, NUM_CLASSES)
        if several:
            hot = torch.rand(num, NUM_CLASSES, generator=rng).lt(0.5).long()
        x = torch.randint(0, 60, (num, 3, SIDE, SIDE), generator=rng, dtype=torch.uint8)
        for k in range(NUM_CLASSES):
            x[:, :, 8 * k : 8 * k + 8, 4:12] += (150 * hot[:, k, None, None, None]).to(torch.uint8)
        parts.append(Part(inputs=x.flatten(1), targets=hot.float() if several else labels))
    return PreparedData(
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        scale=Scale(divisor=255.0),
        num_features=3 * SIDE * SIDE,
        num_classes=NUM_CLASSES,
        sample_shape=(3, SIDE, SIDE),
        config=run.data,
        digest="made for tests",
        class_names=("a", "b", "c"),
    )


@pytest.mark.parametrize("network", NETWORKS, ids=lambda choice: choice.name)
def test_layer_records_are_what_plain_hooks_and_backward_see(
    network: Choice, image_run: Callable[..., Run]
) -> None:
    """Row 0, computed once more in the way that a user would: hooks, `backward`, `.grad`."""
    run = image_run(network, epochs=1, precision="float64")
    data = images(run)
    table = train_cohort([run], data).layers
    net = initial_network(run, data.sample_shape, NUM_CLASSES, torch.float64).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    seen: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _given: object, output: Tensor) -> None:
        output.retain_grad()
        seen[module] = output

    for layer in net.measured():
        layer.linear.register_forward_hook(keep)
        if layer.act is not None:
            layer.act.register_forward_hook(keep)
    x = data.scale(data.train.inputs[:NUM_PROBES], torch.float64)
    nn.functional.cross_entropy(net(x), data.train.targets[:NUM_PROBES]).backward()

    def column(name: str) -> np.ndarray:
        return table[name][table["epoch"] == 0]

    layers = net.measured()
    assert len(column("layer")) == len(layers)
    close = {"rtol": 1e-9, "atol": 1e-14}
    for row, (_, linear, act) in enumerate(layers):
        h, grad = seen[linear], linear.weight.grad
        assert h.grad is not None
        assert grad is not None
        assert column("grad_norm")[row] == pytest.approx(grad.norm().item(), rel=1e-9)
        assert column("grad_mean_abs")[row] == pytest.approx(grad.abs().mean().item(), rel=1e-9)
        np.testing.assert_allclose(column("grad_pre_rms")[row], _rms(h.grad), **close)
        np.testing.assert_allclose(column("pre_rms")[row], _rms(h), **close)
        np.testing.assert_allclose(column("pre_cosine")[row], _cosine(h.flatten(1)), **close)
        assert column("weight_norm")[row] == pytest.approx(linear.weight.norm().item(), rel=1e-9)
        if act is None:
            assert np.isnan(column("act_rms")[row])
        else:
            np.testing.assert_allclose(column("act_rms")[row], _rms(seen[act]), **close)
            np.testing.assert_allclose(column("act_mean")[row], seen[act].mean().item(), **close)


def _rms(x: Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


def _cosine(x_BN: Tensor) -> float:
    pairs = nn.functional.cosine_similarity(x_BN[:, None], x_BN[None], dim=2)
    return float(pairs.detach()[~torch.eye(len(x_BN), dtype=torch.bool)].mean())


def test_a_channel_is_dead_when_it_is_at_every_place_of_every_image(
    image_run: Callable[..., Run],
) -> None:
    """Two of conv2's sixteen channels get a bias far below 0, and the others one above it."""
    run = image_run(Choice("lenet"), epochs=1)
    run = replace(run, model=replace(run.model, activation=(Choice("relu"),)))
    trainer = Trainer(run, images(run))
    with torch.no_grad():
        bias = trainer.layers[1].linear.bias
        assert bias is not None
        bias.fill_(10.0)
        bias[[3, 7]] = -1e3
    shares = [measure_layer(view)["dead_share"].item() for view in trainer.probe()]
    assert shares[1] == 2 / 16


@pytest.mark.parametrize("network", NETWORKS, ids=lambda choice: choice.name)
def test_a_stop_changes_no_bit(network: Choice, image_run: Callable[..., Run]) -> None:
    """With dropout, augmentation and running statistics, from the state after the first epoch."""
    run = image_run(network, augment="flip_crop", epochs=3, optimizer="adam", lr=1e-3)
    data = images(run)
    states: list[State] = []
    whole = train_cohort([run], data, save_state=lambda state: states.append(state()))
    torch.manual_seed(99)  # whatever a process did before
    later = train_cohort([run], data, state=states[0])
    for name, column in whole.epochs.items():
        if name != "epoch_time_s":
            np.testing.assert_array_equal(later.epochs[name], column)
    for name, column in whole.layers.items():
        np.testing.assert_array_equal(later.layers[name], column)
    for name, tensor in whole.weights.items():
        assert torch.equal(later.weights[name], tensor), name


def test_chance_is_used_and_leaves_torchs_own_alone(image_run: Callable[..., Run]) -> None:
    plain, dropped, moved = (
        image_run(Choice("lenet")),
        image_run(Choice("lenet", (("dropout", 0.5),))),
        image_run(Choice("lenet"), augment="crop"),
    )
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    losses = [
        train_cohort([run], images(run)).epochs["train_loss"] for run in (plain, dropped, moved)
    ]
    assert torch.equal(torch.rand(1), expected)
    assert losses[0][0] == losses[1][0] == losses[2][0]  # row 0 is before training
    assert len({loss[1] for loss in losses}) == 3


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
@pytest.mark.parametrize("network", NETWORKS[:3], ids=lambda choice: choice.name)
def test_networks_learn_and_their_scores_are_the_best_networks(
    network: Choice, several: bool, image_run: Callable[..., Run]
) -> None:
    run = image_run(network, epochs=8, lr=2e-3, optimizer="adam", loss="bce")
    data = images(run, several=several)
    result = train_cohort([run], data)
    loss, accuracy = result.epochs["train_loss"], result.epochs["test_accuracy"]
    assert loss[-1] < loss[0] / 2
    assert result.epochs["train_accuracy"][-1] > 0.8
    best = int(result.runs["best_epoch"][0])
    logits = result.scores["logit"].reshape(NUM_TEST, NUM_CLASSES)
    labels = result.scores["label"].reshape(NUM_TEST, NUM_CLASSES)
    targets = labels if several else labels.argmax(1)
    np.testing.assert_array_equal(targets, data.test.targets)
    assert measure(logits, targets).accuracy == pytest.approx(accuracy[best], abs=1e-12)
    assert result.scores["class_name"][:4].tolist() == ["a", "b", "c", "a"]
    value = LOSSES.build(run.loss).value(torch.tensor(logits)[None], data.test.targets).mean()
    assert value.item() == pytest.approx(result.epochs["test_loss"][best], rel=1e-5)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda choice: choice.name)
def test_kept_weights_rebuild_the_network(network: Choice, image_run: Callable[..., Run]) -> None:
    run = image_run(network, epochs=2, precision="float64")
    data = images(run)
    result = train_cohort([run], data)
    prefix = f"{run.id}/last/"
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in result.weights.items()
        if name.startswith(prefix)
    }
    shape, seeds = data.sample_shape, (run.study_seed, run.seed)
    net = rebuilt_network(run.model, weights, shape, NUM_CLASSES, torch.float64, seeds=seeds)
    flat = data.scale(data.test.inputs, torch.float64)
    logits = net(flat)
    torch.testing.assert_close(net(flat.unflatten(1, data.sample_shape)), logits, rtol=0, atol=0)
    accuracy = (logits.argmax(1) == data.test.targets).double().mean().item()
    assert accuracy == pytest.approx(result.epochs["test_accuracy"][-1], abs=1e-12)
    counted = count_network(run.model, data.sample_shape, NUM_CLASSES)
    assert result.runs["num_parameters"][0] == counted.parameters
    assert result.runs["sample_shape"][0] == "3x32x32"
    assert result.layers["layer"].max() == counted.num_layers


@pytest.mark.skipif(not is_available("bf16", CPU), reason="this CPU has no bfloat16 products")
@pytest.mark.parametrize("network", NETWORKS, ids=lambda choice: choice.name)
def test_bf16_steps_are_mixed_and_what_is_kept_is_not(
    network: Choice, image_run: Callable[..., Run]
) -> None:
    """bfloat16 has 8 bits: numbers of a layer move by 2^-8, and norms of many by less."""
    full, mixed = (
        image_run(network, epochs=2, optimizer="adam", lr=1e-3, precision=precision)
        for precision in ("float32", "bf16")
    )
    data = images(full)
    ours, result = (train_cohort([run], data) for run in (full, mixed))
    first = result.layers["epoch"] == 0
    for name in ("pre_rms", "grad_norm", "act_rms"):
        numbers, expected = result.layers[name][first], ours.layers[name][first]
        np.testing.assert_allclose(numbers, expected, rtol=0.1)
        assert (numbers != expected)[~np.isnan(expected)].all()
    assert {tensor.dtype for tensor in result.weights.values()} <= {torch.float32, torch.int64}
    logits = result.scores["logit"].reshape(NUM_TEST, NUM_CLASSES)
    best = int(result.runs["best_epoch"][0])
    assert measure(logits, data.test.targets).accuracy == result.epochs["test_accuracy"][best]


def test_images_that_do_not_fit_get_a_sentence(image_run: Callable[..., Run]) -> None:
    run = image_run(Choice("lenet"))
    small = replace(images(run), sample_shape=(8, 8), num_features=64)
    with pytest.raises(FathomError, match=r"model 'lenet': images of 8 x 8 are too small"):
        train_cohort([run], small)
    points = replace(images(run), sample_shape=(2,), num_features=2)
    with pytest.raises(FathomError, match=r"model 'lenet': samples of shape .2,. are no images"):
        train_cohort([run], points)


def test_several_labels_need_a_loss_and_an_engine_that_take_them(
    image_run: Callable[..., Run], make_run: Callable[..., Run]
) -> None:
    run = image_run(Choice("lenet"), loss="cross_entropy")
    with pytest.raises(FathomError, match=r"loss 'cross_entropy' needs one label; .*: bce"):
        train_cohort([run], images(run, several=True))
    stacked = make_run(loss="bce")
    with pytest.raises(FathomError, match=r"engine 'stacked' needs one label; .*: single"):
        train_cohort([stacked], images(stacked, several=True))
