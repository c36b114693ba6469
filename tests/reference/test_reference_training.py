"""Rules, schedules and the loop by hand against torch, step by step; and what is imported."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fathom.reference
from fathom.optimizers import OPTIMIZERS as OPTIMIZER_REGISTRY
from fathom.reference.__main__ import main, run_example
from fathom.reference.activations import activation
from fathom.reference.layers import Layer, forward, leaves
from fathom.reference.losses import LOSSES, LossAndGrad, cross_entropy
from fathom.reference.network import Weights, he_weights, layer_gradients, multilayer_perceptron
from fathom.reference.optimizers import OPTIMIZERS, State
from fathom.reference.schedules import SCHEDULES
from fathom.reference.train import Samples, Score, evaluate, train, train_batch
from fathom.registry import Choice
from fathom.schedules import SCHEDULES as SCHEDULE_REGISTRY

PACKAGE = Path(fathom.reference.__file__).parent
Settings = Mapping[str, float | bool]

RULES: list[tuple[str, Settings]] = [
    ("sgd", {}),
    ("sgd", {"weight_decay": 0.1}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("adam", {}),
    ("adam", {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.1}),
    ("adamw", {}),
    ("adamw", {"beta1": 0.7, "weight_decay": 0.3}),
]
every_rule = pytest.mark.parametrize(
    ("name", "settings"), RULES, ids=[f"{n}-{'-'.join(s)}" for n, s in RULES]
)


def built(
    name: str, settings: Settings, params: list[torch.Tensor], lr: float
) -> torch.optim.Optimizer:
    return OPTIMIZER_REGISTRY.build(Choice(name, tuple(settings.items()))).torch(params, lr)


@every_rule
def test_rule_is_that_of_torch(name: str, settings: Settings) -> None:
    """Fifteen steps with gradients of all sizes and a rate that changes."""
    generator = np.random.default_rng(0)
    ours = generator.normal(size=(4, 3))
    theirs = torch.from_numpy(ours.copy()).requires_grad_()
    optimizer = built(name, settings, [theirs], 1.0)
    state: State = {}
    for step in range(15):
        lr, grad = 0.1 / (1 + step), generator.normal(size=(4, 3)) * 10.0 ** (step % 5 - 2)
        optimizer.param_groups[0]["lr"], theirs.grad = lr, torch.from_numpy(grad.copy())
        optimizer.step()
        before = grad.copy()
        OPTIMIZERS[name](ours, grad, state, lr=lr, **settings)
        np.testing.assert_array_equal(grad, before)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-13)


def test_a_step_of_each_rule_in_closed_form() -> None:
    """Adam's first step has the length of the rate, whatever the gradient is."""
    for name, settings, expected in [
        ("sgd", {"weight_decay": 0.5}, 2 - 0.1 * (3 + 0.5 * 2)),
        ("sgd", {"momentum": 0.9, "nesterov": True}, 2 - 0.1 * (3 + 0.9 * 3)),
        ("adam", {"eps": 0.0}, 2 - 0.1),
        ("adamw", {"eps": 0.0, "weight_decay": 0.5}, 2 * (1 - 0.1 * 0.5) - 0.1),
    ]:
        param = np.array([2.0])
        OPTIMIZERS[name](param, np.array([3.0]), {}, lr=0.1, **settings)
        assert param == pytest.approx(expected, rel=1e-14)


PLANS: list[tuple[str, Settings]] = [
    ("constant", {}),
    ("step", {}),
    ("step", {"every": 3, "decay": 0.5}),
    ("exponential", {}),
    ("exponential", {"decay": 0.7}),
    ("cosine", {}),
    ("cosine", {"warmup_epochs": 2.0}),
    ("cosine", {"warmup_epochs": 0.5, "floor": 0.1}),
    ("cosine", {"warmup_epochs": 30.0}),
]


@pytest.mark.parametrize(("name", "settings"), PLANS, ids=[f"{n}-{'-'.join(s)}" for n, s in PLANS])
def test_schedule_is_that_of_the_registry(name: str, settings: Settings) -> None:
    theirs = SCHEDULE_REGISTRY.build(Choice(name, tuple(settings.items())))
    for steps, epochs in [(7, 25), (1, 4)]:
        for step in range(steps * epochs):
            ours = SCHEDULES[name](step, steps, epochs, **settings)
            assert ours == pytest.approx(theirs.factor(step, steps, epochs), rel=1e-12, abs=1e-15)


def test_cosine_in_closed_form() -> None:
    """Two epochs of warm-up among ten of four steps: up in ninths, 1 at step 8, half-way at 24."""
    cosine = partial(SCHEDULES["cosine"], warmup_epochs=2.0, floor=0.2)
    rise = [cosine(step, 4, 10) for step in range(9)]
    assert rise == pytest.approx([(step + 1) / 9 for step in range(9)], rel=1e-15)
    assert cosine(24, 4, 10) == pytest.approx(0.2 + 0.8 / 2, rel=1e-14)


@pytest.mark.parametrize(
    ("ours", "registry"), [(OPTIMIZERS, OPTIMIZER_REGISTRY), (SCHEDULES, SCHEDULE_REGISTRY)]
)
def test_names_and_defaults_are_those_of_the_registry(ours: dict, registry: object) -> None:  # type: ignore[type-arg]
    own = {"param", "grad", "state", "lr", "step", "steps_per_epoch", "epochs"}
    assert sorted(ours) == sorted(registry.names())  # type: ignore[attr-defined]
    for name, function in ours.items():
        found = inspect.signature(function).parameters
        theirs = {k: p.default for k, p in registry.parameters(name).items()}  # type: ignore[attr-defined]
        assert {k: p.default for k, p in found.items() if k not in own} == theirs


# The loop --------------------------------------------------------------------------------------

SIZES = [9, 12, 10, 5]
EPOCHS, NUM_TRAIN = 5, 100


def data() -> tuple[Samples, Samples, list[list[np.ndarray]]]:
    """Fifty steps on random samples; the last batch of an epoch is a short one."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(150, SIZES[0])), generator.integers(0, SIZES[-1], 150)
    cuts = [*range(10, 90, 10), 96]
    orders = [np.split(generator.permutation(NUM_TRAIN), cuts) for _ in range(EPOCHS)]
    return Samples(x[:NUM_TRAIN], y[:NUM_TRAIN]), Samples(x[NUM_TRAIN:], y[NUM_TRAIN:]), orders


def initial() -> list[Weights]:
    return he_weights(SIZES, np.random.default_rng(1))


def torch_network(weights: list[Weights]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weight, bias in weights:
        linear = nn.Linear(*weight.shape, dtype=torch.float64)
        linear.weight.data = torch.from_numpy(weight.T.copy())
        linear.bias.data = torch.from_numpy(bias.copy())
        modules += [linear, nn.SELU()]
    return nn.Sequential(*modules[:-1])


def scored(net: nn.Module, x: np.ndarray, y: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    logits, target = net(torch.from_numpy(x)), torch.from_numpy(y)
    losses = nn.functional.cross_entropy(logits, target, reduction="none")
    return losses, logits.argmax(1) == target


@every_rule
@pytest.mark.parametrize("clip_norm", [None, 0.3])
def test_training_is_that_of_torch(name: str, settings: Settings, clip_norm: float | None) -> None:
    """Fifty steps: every score of every epoch, the weights, and the gradients on a probe batch."""
    lr, schedule = 0.02, partial(SCHEDULES["cosine"], warmup_epochs=1.0)
    train_set, test_set, orders = data()
    ours = multilayer_perceptron(initial(), [activation("selu")] * 2)
    probe = Samples(train_set.inputs[:16], train_set.target[:16])
    history = train(
        ours, train_set, test_set, orders, lr=lr, schedule=schedule, clip_norm=clip_norm,
        update=partial(OPTIMIZERS[name], **settings), probe=probe,
    )  # fmt: skip

    net = torch_network(initial())
    optimizer = built(name, settings, list(net.parameters()), lr)
    step = 0
    for epoch, batches in zip(history, orders, strict=True):
        losses, hits = [], []
        for batch in batches:
            optimizer.param_groups[0]["lr"] = lr * schedule(step, len(batches), EPOCHS)
            loss, hit = scored(net, train_set.inputs[batch], train_set.target[batch])
            optimizer.zero_grad()
            loss.mean().backward()  # type: ignore[no-untyped-call]
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
            optimizer.step()
            losses.append(loss.detach())
            hits.append(hit.double())
            step += 1
        expected = Score(torch.cat(losses).mean().item(), torch.cat(hits).mean().item())
        assert epoch.train == pytest.approx(expected, rel=1e-10)
        test = [part.double().mean().item() for part in scored(net, *test_set)]
        assert epoch.test == pytest.approx(test, rel=1e-10)
        assert epoch.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-14)
        linears = [module.weight for module in net if isinstance(module, nn.Linear)]
        grads = torch.autograd.grad(scored(net, *probe)[0].mean(), linears)
        assert epoch.grad_norms == pytest.approx([g.norm().item() for g in grads], rel=1e-10)
    for weight, layer in zip(linears, [*leaves(ours)][::2], strict=True):
        np.testing.assert_allclose(layer.parameters["weight"].T, weight.detach(), atol=1e-10)


def test_batch_norm_learns_from_batches_and_is_scored_by_running_averages() -> None:
    train_set, test_set, orders = data()
    layers = multilayer_perceptron(initial(), [activation("selu")] * 2, norm="batch_norm")
    history = train(layers, train_set, test_set, orders, lr=0.1)
    net = torch_network(initial())
    for place, width in [(1, SIZES[1]), (4, SIZES[2])]:
        net.insert(place, nn.BatchNorm1d(width, dtype=torch.float64))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for epoch, batches in zip(history, orders, strict=True):
        for batch in batches:
            loss, _ = scored(net.train(), train_set.inputs[batch], train_set.target[batch])
            optimizer.zero_grad()
            loss.mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        losses, hits = scored(net.eval(), *test_set)
        expected = losses.mean().item(), hits.double().mean().item()
        assert epoch.test == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls(loss: str) -> None:
    train_set, test_set, orders = data()
    layers = multilayer_perceptron(initial(), [activation("tanh")] * 2)
    before = evaluate(layers, LOSSES[loss], train_set).loss
    history = train(layers, train_set, test_set, orders * 10, lr=0.1, loss=LOSSES[loss])
    assert history[-1].train.loss < 0.8 * before
    assert history[-1].grad_norms == ()


@pytest.mark.parametrize("norm", ["none", "layer_norm", "batch_norm"])
def test_same_twice(norm: str) -> None:
    train_set, test_set, orders = data()

    def histories() -> list[Score]:
        layers = multilayer_perceptron(initial(), [activation("relu")] * 2, norm=norm, skip=True)  # type: ignore[arg-type]
        return [epoch.test for epoch in train(layers, train_set, test_set, orders, lr=0.1)]

    assert histories() == histories()


def test_measuring_changes_nothing() -> None:
    """Not even running averages."""
    train_set, test_set, orders = data()
    layers: list[Layer] = multilayer_perceptron(
        initial(), [activation("relu")] * 2, norm="batch_norm"
    )
    train(layers, train_set, test_set, orders, lr=0.1)
    before = forward(layers, test_set.inputs)
    evaluate(layers, cross_entropy, train_set)
    layer_gradients(layers, cross_entropy, *train_set)
    np.testing.assert_array_equal(forward(layers, test_set.inputs), before)


def test_evaluation_in_pieces_weighs_samples_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    train_set, _, _ = data()
    layers = multilayer_perceptron(initial(), [activation("relu")] * 2)
    whole = evaluate(layers, cross_entropy, train_set)
    monkeypatch.setattr("fathom.reference.train.EVALUATION_BATCH", 30)
    assert evaluate(layers, cross_entropy, train_set) == pytest.approx(whole, rel=1e-14)


def test_a_gradient_that_is_not_a_number_spoils_all_where_the_norm_is_limited() -> None:
    """As in torch: the factor is that of all gradients together."""
    layers = multilayer_perceptron(initial(), [activation("tanh")] * 2)
    batch = Samples(np.full((2, SIZES[0]), np.nan), np.array([0, 1]))
    linears = [*leaves(layers)][::2]

    def flat(logits: np.ndarray, target: np.ndarray) -> LossAndGrad:
        return LossAndGrad(np.zeros(2), np.zeros_like(logits))  # 0 for the output bias

    train_batch(layers, batch, [{}] * 6, flat, partial(OPTIMIZERS["sgd"], lr=0.1), clip_norm=1.0)
    for linear in linears:
        assert all(np.isnan(param).all() for param in linear.parameters.values())


def test_a_run_that_diverges_is_a_result() -> None:
    """No exception and no warning, but a loss that is not a number."""
    train_set, test_set, orders = data()
    layers = multilayer_perceptron(initial(), [activation("square")] * 2)
    history = train(layers, train_set, test_set, orders, lr=1e6, probe=test_set)
    assert np.isnan(history[-1].train.loss)
    assert np.isnan(history[-1].grad_norms).all()


# The example and the imports -------------------------------------------------------------------


def test_the_example_learns(capsys: pytest.CaptureFixture[str]) -> None:
    history = run_example()
    assert history[0].train.loss > 1 > 0.2 > history[-1].train.loss
    assert history[-1].test.accuracy > 0.7
    main()
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.startswith("epoch   train loss")
    assert len(lines) == len(history)
    assert f"{history[-1].train.loss:.4f}" in lines[-1]


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_only_numpy_and_the_standard_library_are_imported(file: Path) -> None:
    allowed = {"numpy", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in allowed or name.startswith("fathom.reference."), name


def test_nothing_else_is_loaded_with_it() -> None:
    code = "import sys, fathom.reference.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "scipy", "polars", "pydantic", "sklearn", "matplotlib"}
