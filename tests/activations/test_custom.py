"""A user's own function: tried out, guarded, registered, imported."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fathom.activations import ACTIVATIONS, Activation, custom, register_callable
from fathom.activations.custom import as_factory
from fathom.code_digest import digest_code
from fathom.errors import ComponentError
from fathom.registry import Choice, Registry

H = torch.linspace(-3, 3, 25, dtype=torch.float64).view(5, 5)


def bent_identity(h: Tensor) -> Tensor:
    return (torch.sqrt(h * h + 1) - 1) / 2 + h


def bent_slope(h: Tensor) -> Tensor:
    return h / (2 * torch.sqrt(h * h + 1)) + 1


@pytest.mark.parametrize("slope", [bent_slope, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_slope_is_given_or_found(
    slope: Callable[[Tensor], Tensor] | None, dtype: torch.dtype
) -> None:
    phi = custom(bent_identity, slope=slope)
    assert phi.name == "bent_identity"
    h = H.to(dtype)
    torch.testing.assert_close(phi.value(h), bent_identity(h), rtol=0, atol=0)
    torch.testing.assert_close(phi.slope(h), bent_slope(h))
    grad = torch.ones_like(h)
    phi.backward_into(grad, h, phi.value(h))
    torch.testing.assert_close(grad, bent_slope(h))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_slope_is_found_where_gradients_are_off(mode: Callable[[], torch.no_grad]) -> None:
    phi = custom(bent_identity)
    with mode():
        torch.testing.assert_close(phi.slope(2 * H), bent_slope(2 * H))


@pytest.mark.parametrize(
    "function",
    [torch.sgn, torch.ones_like, lambda h: (h > 0).to(h.dtype), lambda h: torch.zeros_like(h)],
)
def test_jumps_and_constants_have_slope_0(function: Callable[[Tensor], Tensor]) -> None:
    slope = custom(function, name="flat").slope(H)
    assert slope.tolist() == torch.zeros_like(H).tolist()


def test_a_module_and_a_function_in_c_are_functions_too() -> None:
    torch.testing.assert_close(custom(torch.nn.Softplus()).slope(H), torch.sigmoid(H))
    torch.testing.assert_close(custom(torch.sin).slope(H), torch.cos(H))


def explode(h: Tensor) -> Tensor:
    raise RuntimeError("no such thing")


def overwrite_large(h: Tensor) -> Tensor:
    h[h > 5] = 5
    return h


BROKEN: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "raises": (explode, "raised RuntimeError: no such thing"),
    "sums": (torch.sum, r"float32 of shape \[2, 3, 8\]; the function returned float32 of shape"),
    "casts": (lambda h: h.float(), "float64 of shape .*returned float32 of shape"),
    "counts": (lambda h: h > 0, "returned bool of shape"),
    "forgets": (lambda h: None, "returned a NoneType"),
    "overwrites": (torch.relu_, "changes its input in place; it must return a new tensor"),
    "overwrites a part": (overwrite_large, "changes its input in place"),
    "normalises": (lambda h: h.softmax(-1), "is random or mixes elements"),
    "centres": (lambda h: h - h.mean(), "is random or mixes elements"),
    "gambles below 0": (torch.nn.RReLU().train(), "is random: called twice"),
    "gambles": (lambda h: h * torch.rand_like(h), "is random or mixes elements"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_functions_are_refused_at_once(kind: str) -> None:
    function, message = BROKEN[kind]
    with pytest.raises(ComponentError, match=f"^activation 'mine': its value.*{message}"):
        custom(function, name="mine")  # type: ignore[arg-type]


def test_a_broken_slope_is_told_apart() -> None:
    with pytest.raises(ComponentError, match="activation 'mine': its slope raised RuntimeError"):
        custom(bent_identity, name="mine", slope=explode)
    with pytest.raises(ComponentError, match=r"its slope by autograd raised RuntimeError: .*numpy"):
        custom(lambda h: torch.from_numpy(h.numpy() ** 2), name="mine")


def test_a_function_that_fails_later_still_gives_a_sentence() -> None:
    def picky(h: Tensor) -> Tensor:
        if h.shape == (5, 5):
            raise IndexError("five again")
        return h.tanh()

    phi = custom(picky)
    with pytest.raises(ComponentError, match="'picky': its value raised IndexError: five again"):
        phi.value(H)


# Registered for this process -------------------------------------------------------------------


def test_registered_function_is_found_by_its_choice() -> None:
    choice = register_callable(bent_identity, slope=bent_slope, kinks=[1, 0])
    assert choice.name == choice.label == "bent_identity"
    assert len(choice.code) == 16
    phi = ACTIVATIONS.build(choice)
    assert phi.kinks == (0.0, 1.0)
    assert torch.equal(phi.value(H), bent_identity(H))
    assert ACTIVATIONS.build(Choice("bent_identity")).name == "bent_identity"
    assert "bent_identity" in ACTIVATIONS.names()


def test_registered_record_keeps_what_it_says() -> None:
    record = Activation(name="bent", value=bent_identity, slope=bent_slope, max_slope=1.5)
    phi = ACTIVATIONS.build(register_callable(record))
    assert (phi.name, phi.max_slope) == ("bent", 1.5)
    assert register_callable(record, name="other").name == "other"


def test_two_functions_of_one_name_stay_apart() -> None:
    def make(factor: float) -> Callable[[Tensor], Tensor]:
        def scaled(h: Tensor) -> Tensor:
            return factor * h

        return scaled

    double, triple = (register_callable(make(factor)) for factor in (2.0, 3.0))
    assert double != triple
    assert torch.equal(ACTIVATIONS.build(double).value(H), 2 * H)
    assert torch.equal(ACTIVATIONS.build(triple).value(H), 3 * H)
    assert torch.equal(ACTIVATIONS.build(Choice("scaled")).value(H), 3 * H)
    with pytest.raises(ComponentError, match="'scaled' is a function of your own, which this"):
        ACTIVATIONS.build(Choice("scaled", code="0123456789abcdef"))


@pytest.mark.parametrize("name", ["relu", "swish"])
def test_built_in_names_are_kept(name: str) -> None:
    with pytest.raises(ComponentError, match=f"activation '{name}' is built in; choose another"):
        register_callable(bent_identity, name=name)


@pytest.mark.parametrize("function", [lambda h: h, torch.nn.Tanh()], ids=["lambda", "module"])
def test_a_name_is_asked_for(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ComponentError, match=r"give it a name .*: name='my_activation'"):
        register_callable(function)
    assert register_callable(function, name="mine").name == "mine"


# By import path --------------------------------------------------------------------------------

MODULE = '''
from __future__ import annotations
from typing import TYPE_CHECKING
import os
import torch
from os import system
from fathom.activations import Activation, custom
if TYPE_CHECKING:
    from nowhere import Number

def plain(h):
    """Plain one."""
    return h.sin() + h

shift = lambda h: h + 1
record = Activation(name="named", value=torch.cos, slope=lambda h: -torch.sin(h))
LIMIT = 3

def made(power: Number = 2) -> Activation:
    """Power of h."""
    if power < 1:
        raise ArithmeticError("too small")
    return custom(lambda h: h**power, name="power")

def makes_nothing():
    return LIMIT

class Module(torch.nn.Module):
    def forward(self, h):
        return h.tanh()

module = Module()
'''


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Activation]:
    """Make a registry beside the built-in one, and a module `user_phis` that can be imported."""
    (tmp_path / "user_phis.py").write_text(MODULE)
    (tmp_path / "user_broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry("activation", (), wrap=as_factory)


def test_import_path_is_refused_unless_allowed(registry: Registry[Activation]) -> None:
    import sys

    sys.modules.pop("user_phis", None)
    message = "would import 'user_phis', which you have not allowed.*add --allow user_phis"
    with pytest.raises(ComponentError, match=message):
        registry.build(Choice("user_phis:plain"))
    assert "user_phis" not in sys.modules


@pytest.mark.parametrize(
    ("attribute", "params", "expected", "name"),
    [
        ("plain", {}, H.sin() + H, "plain"),
        ("shift", {}, H + 1, "lambda"),
        ("record", {}, H.cos(), "named"),
        ("made", {}, H**2, "power"),
        ("made", {"power": 3}, H**3, "power"),
        ("module", {}, H.tanh(), "Module"),
    ],
)
def test_import_path_names_a_function_a_record_or_a_maker(
    registry: Registry[Activation],
    attribute: str,
    params: dict[str, int],
    expected: Tensor,
    name: str,
) -> None:
    registry.allow("user_phis")
    phi = registry.build(Choice(f"user_phis:{attribute}", tuple(params.items())))
    torch.testing.assert_close(phi.value(H), expected)
    assert phi.name == name


def test_parameters_of_an_import_path_are_known(registry: Registry[Activation]) -> None:
    registry.allow("user_phis")
    assert registry.parameters("user_phis:made")["power"].default == 2
    assert registry.describe("user_phis:made") == "Power of h."
    assert registry.describe("user_phis:plain") == "Plain one."
    with pytest.raises(ComponentError, match=r"has no parameter 'slope'.*Its parameters: none"):
        registry.build(Choice("user_phis:plain", (("slope", 1),)))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("user_phis:system", "'system' is not a function defined in 'user_phis'"),
        ("user_phis:torch", "an activation must be a function of a tensor.*got a module"),
        ("user_phis:LIMIT", "an activation must be a function of a tensor.*got a int"),
        ("user_phis:absent", "'absent' is not a function defined in 'user_phis'"),
        ("user_phis:", "'' is not a function defined in 'user_phis'"),
        ("user_phis:makes_nothing", "'makes_nothing' must take a tensor or return an Activation"),
        ("user_phis:made", "'made' raised ArithmeticError: too small"),
        ("user_broken:phi", "cannot import: ZeroDivisionError: division by zero"),
        ("user_absent:phi", "cannot import: ModuleNotFoundError"),
        ("os:system", "would import 'os', which you have not allowed"),
    ],
)
def test_wrong_import_paths_are_told(
    registry: Registry[Activation], path: str, message: str
) -> None:
    for module in ("user_phis", "user_broken", "user_absent"):
        registry.allow(module)
    params = (("power", 0),) if path.endswith("made") else ()
    with pytest.raises(ComponentError, match=message):
        registry.build(Choice(path, params))


@pytest.mark.usefixtures("registry")
def test_code_of_an_import_path_is_that_of_the_function() -> None:
    ACTIVATIONS.allow("user_phis")
    names = ("plain", "shift", "record", "made")
    codes = [digest_code(ACTIVATIONS.factory(f"user_phis:{name}")) for name in names]
    import user_phis  # type: ignore[import-not-found]  # the fixture made it

    found = [user_phis.plain, user_phis.shift, user_phis.record, user_phis.made]
    assert codes == [digest_code(function) for function in found]
    assert len(set(codes)) == 4
