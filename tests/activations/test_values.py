"""Values against closed forms that share no code with the package, and what the records say."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from activation_cases import ACTIVATION_CASES, CASE_IDS
from scipy import integrate, optimize, special, stats

from fathom.activations import ACTIVATIONS, Activation
from fathom.errors import ComponentError
from fathom.registry import Choice

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]
SELU = (1.0507009873554805, 1.6732632423543772)

CLOSED_FORMS: dict[str, Callable[[Numbers], Numbers]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, 0.01 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "selu": lambda x: SELU[0] * np.where(x > 0, x, SELU[1] * np.expm1(x)),
    "gelu": lambda x: x * stats.norm.cdf(x),
    "silu": lambda x: x * special.expit(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardtanh": lambda x: np.clip(x, -1, 1),
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "erf": lambda x: 2 * stats.norm.cdf(x * np.sqrt(2)) - 1,
    "sin": lambda x: (np.exp(1j * x) - np.exp(-1j * x)).imag / 2,
    "cos": lambda x: (np.exp(1j * x) + np.exp(-1j * x)).real / 2,
    "tan": lambda x: np.sin(x) / np.cos(x),
    "abs": lambda x: np.sqrt(x**2),
    "square": lambda x: x * x,
    "exp": lambda x: np.e**x,
    "sgn": lambda x: np.where(x > 0, 1.0, np.where(x < 0, -1.0, 0.0)),
    "reciprocal": lambda x: x**-1.0,
}
GRID = np.linspace(-10, 10, 3000)  # an even number, so that 0 is not among them


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_value_is_the_closed_form(name: str, dtype: torch.dtype, rtol: float) -> None:
    h = torch.from_numpy(GRID).to(dtype)
    value = ACTIVATIONS.build(Choice(name)).value(h)
    expected = torch.from_numpy(CLOSED_FORMS[name](h.double().numpy()))
    assert value.dtype == dtype
    # Near a zero of sin or tan the last bit of pi decides, so that rounding is absolute there.
    torch.testing.assert_close(value.double(), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("name", "h", "value", "slope"),
    [
        ("gelu", -12.0, -12 * special.ndtr(-12), special.ndtr(-12) - 12 * stats.norm.pdf(12)),
        ("silu", -60.0, -60 * np.exp(-60), -59 * np.exp(-60)),
        ("mish", -60.0, -60 * np.exp(-60), -59 * np.exp(-60)),
        ("sigmoid", -60.0, np.exp(-60), np.exp(-60)),
        ("softplus", -60.0, np.exp(-60), np.exp(-60)),
        ("tanh", 1e-4, np.tanh(1e-4), 1 - np.tanh(1e-4) ** 2),
        ("elu", -1e-5, np.expm1(-1e-5), np.exp(-1e-5)),
        ("softsign", 1e6, 1.0, 1e-12),
        ("tanh", 20.0, 1.0, 4 * np.exp(-40)),
        ("sigmoid", 60.0, 1.0, np.exp(-60)),
        ("erf", 4.0, 1.0, 2 / np.sqrt(np.pi) * np.exp(-16)),
    ],
)
def test_tails_keep_their_digits_in_float32(
    name: str, h: float, value: float, slope: float
) -> None:
    """Forms like 1 - tanh^2, or 1 + erf for the gate of gelu, would leave no digit here."""
    phi, point = ACTIVATIONS.build(Choice(name)), torch.tensor([h])
    assert float(phi.value(point)) == pytest.approx(value, rel=2e-5, abs=0)
    assert float(phi.slope(point)) == pytest.approx(slope, rel=2e-5, abs=0)


@pytest.mark.parametrize(
    ("name", "lowest", "place"),
    [
        ("silu", -0.278465, -1.27846),
        ("gelu", -0.169971, -0.75179),
        ("mish", -0.308843, -1.19244),
        ("hardswish", -0.375, -1.5),
    ],
)
def test_gated_activations_dip_before_they_rise(name: str, lowest: float, place: float) -> None:
    phi = ACTIVATIONS.build(Choice(name))
    found = optimize.minimize_scalar(
        lambda x: float(phi.value(torch.tensor(x, dtype=torch.float64))),
        bounds=(-3, 0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.fun == pytest.approx(lowest, abs=1e-6)
    assert found.x == pytest.approx(place, abs=1e-5)


def test_selu_keeps_mean_and_variance_of_a_unit_gaussian() -> None:
    phi = ACTIVATIONS.build(Choice("selu"))

    def moment(power: int) -> float:
        def integrand(z: float) -> float:
            value = float(phi.value(torch.tensor(z, dtype=torch.float64)))
            return value**power * float(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))

        pieces = [integrate.quad(integrand, *ends, epsabs=1e-12)[0] for ends in [(-12, 0), (0, 12)]]
        return sum(pieces)

    assert moment(1) == pytest.approx(0, abs=1e-10)
    assert moment(2) == pytest.approx(1, abs=1e-10)


def test_softplus_is_not_cut_short_in_float64() -> None:
    """Above its default threshold, 20, torch's returns h itself, which is 2e-9 too little."""
    phi = ACTIVATIONS.build(Choice("softplus"))
    h = torch.linspace(15, 45, 301, dtype=torch.float64)
    excess = torch.from_numpy(np.logaddexp(0, h.numpy())) - h
    assert excess[51] > 1e-10
    torch.testing.assert_close(phi.value(h) - h, excess, rtol=0, atol=1e-14)


def test_the_two_forms_of_gelu_differ_by_what_is_known() -> None:
    h = torch.linspace(-6, 6, 100_001, dtype=torch.float64)
    exact, approximate = (
        ACTIVATIONS.build(Choice("gelu", (("form", form),))).value(h) for form in ("erf", "tanh")
    )
    assert float((exact - approximate).abs().max()) == pytest.approx(4.73e-4, abs=1e-6)


def test_leaky_relu_and_elu_take_their_parameters() -> None:
    h = torch.tensor([-2.0, 3.0], dtype=torch.float64)
    leaky = ACTIVATIONS.build(Choice("leaky_relu", (("slope", 0.1),)))
    assert leaky.value(h).tolist() == pytest.approx([-0.2, 3.0])
    elu = ACTIVATIONS.build(Choice("elu", (("alpha", 0.5),)))
    assert elu.value(h).tolist() == pytest.approx([0.5 * np.expm1(-2), 3.0])
    hard = ACTIVATIONS.build(Choice("hardtanh", (("limit", 2.5),)))
    assert hard.value(h).tolist() == [-2.0, 2.5]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("leaky_relu", {"slope": "steep"}, r"slope: got steep; must be a finite number"),
        ("leaky_relu", {"slope": float("nan")}, "slope: got nan"),
        ("leaky_relu", {"slope": True}, "slope: got True"),
        ("leaky_relu", {"slop": 0.1}, r"no parameter 'slop'\. Did you mean 'slope'\?"),
        ("elu", {"alpha": -1.0}, "alpha: got -1.0; must be a finite number, >= 0"),
        ("hardtanh", {"limit": 0}, "limit: got 0; must be a finite number, >= 1e-06"),
        ("gelu", {"form": "fast"}, "form: got 'fast'; must be 'erf' or 'tanh'"),
        ("relu", {"slope": 0.1}, "activation 'relu' has no parameter 'slope'.*parameters: none"),
    ],
)
def test_bad_parameters_are_told(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        ACTIVATIONS.build(Choice(name, tuple(params.items())))  # type: ignore[arg-type]


@pytest.mark.parametrize("phi", ACTIVATION_CASES, ids=CASE_IDS)
def test_records_say_what_they_are(phi: Activation) -> None:
    assert ACTIVATIONS.build(Choice(phi.name)).name == phi.name
    assert ACTIVATIONS.describe(phi.name).endswith(".")
    assert phi.formula
    assert phi.source
    assert list(phi.kinks) == sorted(phi.kinks)


@pytest.mark.parametrize(
    ("alias", "name"), [("swish", "silu"), ("linear", "identity"), ("sign", "sgn")]
)
def test_other_names_find_the_same(alias: str, name: str) -> None:
    assert ACTIVATIONS.canonical(alias) == name
    assert ACTIVATIONS.build(Choice(alias)).name == name
