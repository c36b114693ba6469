"""A user's own module: its layers found, its start kept from a seed, its mistakes in a sentence."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_cases import FORMS, NUM_CLASSES, built, choice, layers, maker
from torch import Tensor, nn

from fathom import Study
from fathom.architectures import ARCHITECTURES, Act, register_callable
from fathom.architectures.base import ImageShape
from fathom.architectures.count import count
from fathom.architectures.custom import Found, as_factory
from fathom.data.splits import prepare
from fathom.errors import ComponentError, FathomError, StudyError
from fathom.execution.base import Task
from fathom.execution.training import Training
from fathom.models.build import initial_network
from fathom.registry import Choice
from fathom.spec.grid import Run
from fathom.spec.own_modules import allow

Make = Callable[[ImageShape, int, Callable[[], Act]], nn.Module]
SHAPE = (3, 16, 16)


class Own(nn.Module):
    """A residual block, a layer of tokens, and numbers that belong to no layer."""

    def __init__(
        self, shape: ImageShape, num_classes: int, act: Callable[[], Act], width: int = 8
    ) -> None:
        super().__init__()
        self.output = nn.Linear(width, num_classes)  # built first, called last
        self.conv = nn.Conv2d(shape[0], width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(shape[0], width, 1, stride=2)
        self.act1, self.act2 = act(), act()
        self.token = nn.Linear(width, 2 * width)
        self.back = nn.Linear(2 * width, width)
        self.scale = nn.Parameter(1 + 0.1 * torch.randn(width))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        x = self.act1(self.norm(self.conv(x)) + shortcut).flatten(2).mT
        x = x + self.back(self.drop(self.act2(self.token(x))))
        return self.output(self.scale * x.mean(1))


def found(make: Any, activation: str = "silu", shape: ImageShape = SHAPE) -> Any:
    build = as_factory(make)().build
    assert build is not None
    return build(shape, NUM_CLASSES, maker(activation))


def own_run(make_run: Callable[..., Run], model: Choice, **settings: Any) -> Run:
    run = make_run(engine="single", **settings)
    return replace(
        run, model=replace(run.model, name=model, hidden=(), activation=(Choice("silu"),))
    )


# What is found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.label)
def test_layers_are_those_that_our_own_networks_name(form: Choice) -> None:
    """Hidden in a module that says nothing of its layers."""
    shape = (3, 64, 64)
    network = built(form, shape, device="cpu")
    hidden = found(lambda shape, num_classes, act: nn.Sequential(network), shape=shape)
    assert isinstance(hidden, Found)
    expected = [(f"net.0.{name}", linear, act) for name, linear, act in layers(network)]
    assert [tuple(layer) for layer in hidden.measured()] == expected


def test_an_activation_reads_all_that_is_added_up_for_it() -> None:
    network = found(Own)
    names = {id(module): name for name, module in network.net.named_modules()}
    pairs = [(names[id(layer.linear)], names.get(id(layer.act))) for layer in network.measured()]
    assert pairs == [
        ("shortcut", "act1"),
        ("conv", "act1"),
        ("token", "act2"),
        ("back", None),
        ("output", None),
    ]


def test_a_network_that_names_its_layers_is_taken_at_its_word() -> None:
    network = built(choice("lenet"), SHAPE, device="cpu")
    assert found(lambda shape, num_classes, act: network) is network


def test_finding_changes_nothing_of_a_module() -> None:
    torch.manual_seed(5)
    plain = Own(SHAPE, NUM_CLASSES, maker())
    torch.manual_seed(5)
    network = found(Own)
    for name, number in plain.state_dict().items():
        assert torch.equal(network.net.state_dict()[name], number), name
    assert all(not module._forward_hooks for module in network.modules())


def test_it_costs_what_our_own_network_costs() -> None:
    form = choice("resnet18")
    build = ARCHITECTURES.build(form).build
    assert build is not None
    own = as_factory(lambda shape, num, act: nn.Sequential(build(shape, num, act)))()
    assert count(own, (3, 32, 32), NUM_CLASSES) == count(form, (3, 32, 32), NUM_CLASSES)


# How it starts and trains ----------------------------------------------------------------------


def test_it_starts_from_the_runs_seed_alone(make_run: Callable[..., Run]) -> None:
    model = register_callable(Own)

    def start(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        run = own_run(make_run, model, seed=seed)
        return initial_network(run, SHAPE, NUM_CLASSES, dtype).state_dict()

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = start()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other, double = start(), start(1), start(dtype=torch.float64)
    for name, number in first.items():
        assert torch.equal(again[name], number), name
        assert torch.equal(double[name].to(number.dtype), number), name
    assert not torch.isclose(first["net.scale"], other["net.scale"]).any()
    assert (first["net.norm.running_var"] == 1).all()
    # He's initializer of fan-in 3 x 3 x 3, over 216 numbers: 4 standard errors.
    std = float(first["net.conv.weight"].std())
    assert std == pytest.approx((2 / 27) ** 0.5, rel=4 / (2 * 216) ** 0.5)


def hidden_lenet(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
    build = ARCHITECTURES.build(Choice("lenet")).build
    assert build is not None
    return nn.Sequential(build(shape, num_classes, act))


def test_it_trains_as_our_own_network(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16)).astype(np.uint8)
    study = Study(
        data={"arrays": (images, np.arange(40) % 3), "scaling": "unit"},
        engine="single",
        activation="tanh",
        model={"name": ["lenet", hidden_lenet]},
        train={"epochs": 2, "batch_size": 8},
    )
    results = study.run(tmp_path, executor="inline", progress=False)
    ours, own = results.runs["run_id"]
    for table in (results.epochs, results.layers):
        columns = [name for name in table.columns if name not in {"run_id", "epoch_time_s"}]
        parts = table.select("run_id", *columns).partition_by("run_id", as_dict=True)
        first, second = (parts[key,].select(columns) for key in (ours, own))
        assert first.equals(second)
    x = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(results.network(own)(x), results.network(ours)(x), rtol=0, atol=0)


def with_relu(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 12), act(), nn.Linear(12, 10)
    )


def test_an_activation_of_torchs_own_is_not_measured(tmp_path: Path) -> None:
    study = Study(
        data={"name": "digits", "limit": 64},
        engine="single",
        activation="tanh",
        model={"name": with_relu},
        train={"epochs": 1},
    )
    layers = study.run(tmp_path, executor="inline", progress=False).layers
    known = layers.select("layer", "act_rms").with_columns(layers["act_rms"].is_not_nan())
    assert known.rows() == [(1, False), (2, True), (3, False)] * 2
    assert layers.select("grad_norm", "pre_rms", "weight_norm").to_numpy().min() > 0


# By import path, and from Python ---------------------------------------------------------------


MODULE = """
from torch import nn

class Block(nn.Module):
    def __init__(self, num_in, num_out):
        super().__init__()
        self.linear = nn.Linear(num_in, num_out)
    def forward(self, x):
        return self.linear(x) * 1.0

def net(image_shape, num_classes, act, *, width: int = 8):
    return nn.Sequential(nn.Flatten(), Block(64, width), act(), Block(width, num_classes))
"""
DIGITS = {"data": {"name": "digits", "limit": 64}, "engine": "single", "activation": "relu"}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # both versions come in one second
    file = tmp_path / "my_networks.py"
    file.write_text(MODULE)
    yield file
    sys.modules.pop("my_networks", None)


def test_only_an_allowed_module_is_imported(module: Path) -> None:
    with pytest.raises(StudyError, match="model 'my_networks:net' would import 'my_networks'"):
        Study(**DIGITS, model={"name": "my_networks:net"})
    assert "my_networks" not in sys.modules
    allow("my_networks")
    with pytest.raises(StudyError, match=r"no parameter 'wdith'\. Did you mean 'width'"):
        Study(**DIGITS, model={"name": {"name": "my_networks:net", "wdith": 3}})
    with pytest.raises(StudyError, match="must be an integer"):
        Study(**DIGITS, model={"name": {"name": "my_networks:net", "width": "wide"}})


def test_another_class_is_another_run(module: Path) -> None:
    """The function is the same; only a class that it uses changes."""
    allow("my_networks")

    def run_id() -> str:
        sys.modules.pop("my_networks", None)
        return Study(**DIGITS, model={"name": "my_networks:net"}).runs()[0].id

    first = run_id()
    module.write_text(MODULE.replace("class Block", "# a comment\nclass Block"))
    assert run_id() == first
    module.write_text(MODULE.replace("* 1.0", "* 2.0"))
    assert run_id() != first


def test_an_installed_package_may_bring_one(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("installed", "my_networks:net", "fathom.architectures")
    monkeypatch.setattr(
        "fathom.registry.entry_points", lambda group: [point] if group == point.group else []
    )
    (run,) = Study(**DIGITS, model={"name": "installed"}).runs()
    allow("my_networks")
    (same,) = Study(**DIGITS, model={"name": "my_networks:net"}).runs()
    assert run.model.name == Choice("installed", code=same.model.name.code)


def test_code_that_changed_since_the_study_was_read_is_refused(
    module: Path, tmp_path: Path
) -> None:
    allow("my_networks")
    (run,) = Study(**DIGITS, model={"name": "my_networks:net"}, seeds=[3]).runs()
    module.write_text(MODULE.replace("* 1.0", "* 2.0"))
    sys.modules.pop("my_networks")
    data = prepare(run.data, [])
    task = Task(runs=(run,), folder=tmp_path, allowed_modules=("my_networks",))
    told = r"model 'my_networks:net': its code on .* is not what it"
    with pytest.raises(FathomError, match=told):
        Training(task=task, state=None)(data, lambda report: None)


def test_weights_are_not_put_into_other_code(module: Path, tmp_path: Path) -> None:
    allow("my_networks")
    study = Study(**DIGITS, model={"name": "my_networks:net"}, train={"epochs": 1})
    results = study.run(tmp_path, executor="inline", progress=False)
    (run_id,) = results.runs["run_id"]
    assert results.network(run_id)(torch.rand(2, 64)).shape == (2, 10)
    module.write_text(MODULE.replace("* 1.0", "* 0.0"))
    sys.modules.pop("my_networks")
    with pytest.raises(FathomError, match="model 'my_networks:net': its code is not what it was"):
        results.network(run_id)


@pytest.mark.slow
def test_workers_train_it_and_its_parameters_are_swept(module: Path, tmp_path: Path) -> None:
    allow("my_networks")
    study = Study(
        **DIGITS,
        model={"name": {"name": "my_networks:net", "width": [4, 6]}},
        train={"epochs": 1},
    )
    results = study.run(tmp_path, executor="processes", workers=2, progress=False)
    assert results.missing == ()
    assert sorted(results.runs["num_parameters"]) == [65 * w + (w + 1) * 10 for w in (4, 6)]


def test_workers_cannot_know_a_function_of_this_process(tmp_path: Path) -> None:
    study = Study(**DIGITS, model={"name": with_relu}, train={"epochs": 1}, seeds=2)
    with pytest.raises(FathomError, match="model 'with_relu' is a function of this Python process"):
        study.run(tmp_path, executor="processes", workers=2, progress=False)


def test_names_that_cannot_be() -> None:
    with pytest.raises(ComponentError, match="a model cannot be called '<lambda>'"):
        register_callable(lambda shape, num, act: nn.Flatten())

    def lenet(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
        return nn.Flatten()

    with pytest.raises(ComponentError, match="model 'lenet' is built in"):
        register_callable(lenet)
    with pytest.raises(ComponentError, match="model 'Flatten' must be a function or a class net"):
        register_callable(nn.Flatten)


# What cannot be measured -----------------------------------------------------------------------

NUMBERS = 3 * 16 * 16


def stack(*modules: nn.Module) -> Make:
    return lambda shape, num, act: nn.Sequential(nn.Flatten(), *modules)


def twice(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
    same = nn.Linear(8, 8)
    return stack(nn.Linear(NUMBERS, 8), same, same, nn.Linear(8, 5))(shape, 5, act)


def one_act(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
    same = act()
    return stack(nn.Linear(NUMBERS, 8), same, nn.Linear(8, 8), same, nn.Linear(8, 5))(shape, 5, act)


def tied(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    return stack(nn.Linear(NUMBERS, 8), first, act(), second, nn.Linear(8, 5))(shape, 5, act)


class Aside(nn.Module):
    def __init__(self, shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> None:
        super().__init__()
        self.linear, self.aside = nn.Linear(NUMBERS, 5), nn.Linear(NUMBERS, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.aside(x.flatten(1))
        return self.linear(x.flatten(1))


def raises(shape: ImageShape, num_classes: int, act: Callable[[], Act]) -> nn.Module:
    raise ValueError("images are too small")


FROZEN = nn.Linear(NUMBERS, 5).requires_grad_(False)
REFUSED: list[tuple[Make, str]] = [
    (twice, "layer '2' is used at several places of one pass; make two layers"),
    (one_act, r"activation '2' is used at several places of one pass; call act\(\) once for each"),
    (tied, "layer '4' has the weights of another layer"),
    (
        stack(nn.Linear(NUMBERS, 5), nn.ReLU(inplace=True)),
        "layer '1' has its result changed in place; use inplace=False",
    ),
    (Aside, "layer 'aside' does not reach the logits"),
    (stack(FROZEN, nn.Linear(5, 5)), "layer '1' is not trained"),
    (stack(nn.LazyLinear(5)), "has lazy layers"),
    (stack(nn.Linear(NUMBERS, 4)), r"logits of shape \[2, 5\] for images of shape \[2, 3, 16, 16"),
    (stack(nn.Linear(7, 5)), r"given images of shape \[2, 3, 16, 16\], raised RuntimeError: mat1"),
    (raises, "while it was built, raised ValueError: images are too small"),
    (lambda shape, num, act: torch.relu, "must return an nn.Module, not a builtin"),  # type: ignore[arg-type,return-value]
    (stack(nn.AdaptiveAvgPool1d(5)), "calls no nn.Linear and no nn.Conv2d to be measured"),
]


@pytest.mark.parametrize(("make", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_what_would_be_measured_wrongly_is_refused(make: Make, told: str) -> None:
    with pytest.raises(ComponentError, match=f"^model '[^']+'.*{told}"):
        found(make)
