"""Initializers through real layers: moments, distributions, orthogonality, pairing, refusals."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from fathom.code_digest import digest_code
from fathom.errors import ComponentError
from fathom.initializers import INITIALIZERS, Initializer, custom, fans
from fathom.initializers.truncated import truncated_variance
from fathom.registry import Choice, Value

Fill = Callable[[Tensor], object]

DEFAULTS: list[tuple[str, dict[str, Value]]] = [(name, {}) for name in INITIALIZERS.names()]
VARIED: list[tuple[str, dict[str, Value]]] = [
    ("he_normal", {"factor": 0.7, "mode": "fan_out"}),
    ("he_uniform", {"factor": 3.0, "mode": "fan_avg"}),
    ("xavier_normal", {"gain": 5 / 3}),
    ("xavier_uniform", {"gain": 0.5}),
    ("lecun_normal", {"gain": 0.75}),
    ("lecun_uniform", {"gain": 2.0}),
    ("normal", {"std": 0.02, "mean": 0.1}),
    ("uniform", {"limit": 3.0}),
    ("trunc_normal", {"a": -0.5, "b": 3.0, "mean": -0.2}),
    ("trunc_normal", {"a": 1.5, "b": 2.5}),
    ("trunc_normal", {"a": -0.1, "b": 0.25, "mean": 0.05, "absolute": True}),
    ("orthogonal", {"gain": math.sqrt(2)}),
    ("constant", {"value": -0.3}),
]


def build(name: str, **params: Value) -> Initializer:
    return INITIALIZERS.build(Choice(name, tuple(sorted(params.items()))))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(
    init: Initializer, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0
) -> Tensor:
    weight = torch.empty(shape, dtype=dtype)
    init.weight(weight, rng(seed))
    return weight


def expected_mean(name: str, params: dict[str, Value]) -> float:
    mean, std = float(params.get("mean", 0.0)), float(params.get("std", 0.1))  # type: ignore[arg-type]
    if name == "constant":
        return float(params.get("value", 0.1))  # type: ignore[arg-type]
    if name == "trunc_normal":
        low, high = float(params.get("a", -2.0)), float(params.get("b", 2.0))  # type: ignore[arg-type]
        if params.get("absolute"):
            low, high = (low - mean) / std, (high - mean) / std
        return mean + std * float(stats.truncnorm.mean(low, high))
    return mean


# The relative standard error of a variance over n normal entries is sqrt(2 / n), of a mean
# 1 / sqrt(n): four of them are at most 1.5 % for both layers.
@pytest.mark.parametrize(
    "layer", [nn.Linear(784, 512), nn.Conv2d(96, 64, 5)], ids=["linear", "conv"]
)
@pytest.mark.parametrize(("name", "params"), DEFAULTS + VARIED)
def test_moments_are_those_that_the_theory_is_told(
    name: str, params: dict[str, Value], layer: nn.Linear | nn.Conv2d
) -> None:
    init = build(name, **params)
    init.weight(layer.weight, rng())
    weight = layer.weight.detach().double()
    variance = init.weight_variance(*fans(weight))
    tolerance = 0.015
    assert 4 * math.sqrt(2 / weight.numel()) < tolerance
    assert float(weight.var()) == pytest.approx(variance, rel=tolerance, abs=1e-12)
    mean_error = float(weight.mean()) - expected_mean(name, params)
    assert abs(mean_error) <= tolerance * math.sqrt(variance) + 1e-7  # float32 cast
    assert layer.weight.requires_grad


@pytest.mark.parametrize("name", INITIALIZERS.names())
def test_bias_moments(name: str) -> None:
    can_choose = "bias_std" in INITIALIZERS.parameters(name)
    init = build(name, **({"bias_std": 0.3} if can_choose else {}))
    layer = nn.Linear(10, 200_000)
    init.bias(layer.bias, 10, rng())
    bias = layer.bias.detach().double()
    assert 4 * math.sqrt(2 / bias.numel()) < 0.015
    assert float(bias.var()) == pytest.approx(init.bias_variance(10), rel=0.015)
    assert abs(float(bias.mean())) <= 0.01 * math.sqrt(init.bias_variance(10))
    if can_choose:
        assert init.bias_variance(10) == 0.3 * 0.3


@pytest.mark.parametrize("name", sorted({*INITIALIZERS.names()} - {"torch_default"}))
def test_bias_is_plus_zero_by_default(name: str) -> None:
    bias = torch.full((50,), math.nan)
    build(name).bias(bias, 10, rng())
    assert torch.equal(torch.copysign(torch.ones(50), bias), torch.ones(50))
    assert not bias.any()


def torch_init(name: str, *args: float | str, **kwargs: str) -> Fill:
    def fill(weight: Tensor) -> object:
        return getattr(nn.init, name)(weight, *args, generator=rng(1), **kwargs)

    return fill


def torch_linear(weight: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        weight.copy_(nn.Linear(weight.shape[1], weight.shape[0]).weight.detach())


@pytest.mark.parametrize(
    ("name", "params", "fill"),
    [
        ("he_normal", {}, torch_init("kaiming_normal_", nonlinearity="relu")),
        ("he_uniform", {}, torch_init("kaiming_uniform_", nonlinearity="relu")),
        ("he_uniform", {"mode": "fan_out"}, torch_init("kaiming_uniform_", 0, "fan_out", "relu")),
        ("lecun_normal", {}, torch_init("kaiming_normal_", nonlinearity="linear")),
        ("lecun_uniform", {}, torch_init("kaiming_uniform_", nonlinearity="linear")),
        ("xavier_normal", {"gain": 1.5}, torch_init("xavier_normal_", 1.5)),
        ("xavier_uniform", {"gain": 1.5}, torch_init("xavier_uniform_", 1.5)),
        ("normal", {}, torch_init("normal_", 0.0, 0.1)),
        ("uniform", {}, torch_init("uniform_", -0.1, 0.1)),
        ("trunc_normal", {}, torch_init("trunc_normal_", 0.0, 0.1, -0.2, 0.2)),
        ("trunc_normal", {"absolute": True}, torch_init("trunc_normal_", 0.0, 0.1, -2.0, 2.0)),
        ("orthogonal", {"gain": 2.0}, torch_init("orthogonal_", 2.0)),
        ("torch_default", {}, torch_linear),
    ],
)
def test_distribution_is_torchs(name: str, params: dict[str, Value], fill: Fill) -> None:
    ours, theirs = drawn(build(name, **params), (150, 300)), torch.empty(150, 300)
    fill(theirs)
    distance = stats.ks_2samp(ours.flatten().numpy(), theirs.flatten().numpy()).statistic
    assert distance < 1.95 * math.sqrt(2 / ours.numel())  # exceeded by chance once in 1000 seeds
    if "uniform" in name or name == "torch_default":
        assert float(ours.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=2e-3)


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (-0.5, 3.0), (1.5, 2.5), (-9.0, -8.0)])
def test_truncated_normal_has_the_truncated_distribution(low: float, high: float) -> None:
    weight = drawn(build("trunc_normal", std=1.0, a=low, b=high), (200, 200)).flatten()
    assert low <= float(weight.min()) < low + 0.05 * (high - low)
    assert float(weight.max()) <= high
    cdf = stats.truncnorm(low, high).cdf
    assert stats.kstest(weight.numpy(), cdf).statistic < 1.95 / math.sqrt(weight.numel())


@pytest.mark.parametrize(
    ("low", "high"), [(-2, 2), (-20, 20), (-0.5, 3), (1.5, 2.5), (8, 9), (0, 1e9), (-3, -2.9)]
)
def test_truncated_variance_is_scipys(low: float, high: float) -> None:
    assert truncated_variance(low, high) == pytest.approx(stats.truncnorm.var(low, high), rel=1e-9)


def test_truncated_variance_in_closed_form() -> None:
    density, share = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(math.sqrt(2))
    assert truncated_variance(-2, 2) == pytest.approx(1 - 4 * density / share, rel=1e-13)
    assert truncated_variance(1, 1 + 1e-6) == pytest.approx(1e-12 / 12, rel=1e-6)
    assert build("trunc_normal").weight_variance(5, 5) == pytest.approx(0.01 * 0.7737413, rel=1e-7)


def test_the_absolute_form_of_study_001_truncates_nothing() -> None:
    cut_nowhere = drawn(build("trunc_normal", std=0.1, a=-2.0, b=2.0, absolute=True), (784, 128))
    assert torch.equal(cut_nowhere, drawn(build("normal", std=0.1), (784, 128)))
    assert float(cut_nowhere.abs().max()) > 0.3


def test_truncation_keeps_the_draws_inside() -> None:
    plain, cut = drawn(build("normal"), (300, 300)), drawn(build("trunc_normal"), (300, 300))
    inside = plain.abs() <= 0.2
    assert 0.95 < float(inside.double().mean()) < 0.96
    assert torch.equal(cut[inside], plain[inside])


@pytest.mark.parametrize(
    "shape", [(64, 64), (100, 30), (30, 100), (1, 7), (7, 1), (1, 1), (16, 8, 3, 3), (64, 4, 3)]
)
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    matrix = drawn(build("orthogonal", gain=3.0), shape).flatten(1)
    few = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    expected = 9.0 * torch.eye(len(few), dtype=torch.float64)
    torch.testing.assert_close(few @ few.T, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(64, 64), (100, 30), (30, 100)])
def test_orthogonal_mean_square_is_exact(shape: tuple[int, int]) -> None:
    init = build("orthogonal", gain=1.5)
    weight = drawn(init, shape)
    assert float(weight.square().mean()) == pytest.approx(init.weight_variance(*fans(weight)))


def test_orthogonal_is_uniform_over_rotations_and_reflections() -> None:
    init = build("orthogonal")
    draws = torch.stack([drawn(init, (2, 2), seed=seed) for seed in range(1000)])
    tolerance = 0.065
    assert 4 * math.sqrt(0.25 / len(draws)) < tolerance
    for signs in (draws[:, 0, 0], draws[:, 1, 1], torch.linalg.det(draws)):
        assert float((signs > 0).double().mean()) == pytest.approx(0.5, abs=tolerance)


def test_orthogonal_does_not_depend_on_threads() -> None:
    before = torch.get_num_threads()
    try:
        weights = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            weights.append(drawn(build("orthogonal"), (128, 128)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "names",
    [
        ["he_normal", "xavier_normal", "lecun_normal", "normal"],
        ["he_uniform", "xavier_uniform", "lecun_uniform", "uniform", "torch_default"],
    ],
)
@pytest.mark.parametrize("shape", [(30, 50), (8, 3, 5, 5)])
def test_equal_generators_give_proportional_weights(
    names: list[str], shape: tuple[int, ...]
) -> None:
    weights = [drawn(build(name), shape) for name in names]
    for name, weight in zip(names, weights, strict=True):
        variance = build(name).weight_variance(*fans(weight))
        ratio = math.sqrt(variance / build(names[0]).weight_variance(*fans(weight)))
        torch.testing.assert_close(weight, ratio * weights[0], rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", INITIALIZERS.names())
def test_precisions_share_their_draws(name: str) -> None:
    assert torch.equal(
        drawn(build(name), (40, 60), torch.float32), drawn(build(name), (40, 60)).float()
    )


@pytest.mark.parametrize("name", sorted({*INITIALIZERS.names()} - {"zero", "constant"}))
def test_the_generator_alone_decides(name: str) -> None:
    init = build(name)
    state = torch.get_rng_state()
    first = drawn(init, (20, 30))
    assert torch.equal(first, drawn(init, (20, 30)))
    assert not torch.equal(first, drawn(init, (20, 30), seed=1))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "params", "sizes", "expected"),
    [
        ("he_normal", {}, (784, 128), 2.0),
        ("he_uniform", {"mode": "fan_out"}, (784, 128), 2 * 784 / 128),
        ("xavier_uniform", {}, (784, 128), 2 * 784 / (784 + 128)),
        ("xavier_normal", {"gain": 5 / 3}, (128, 128), 25 / 9),
        ("lecun_normal", {}, (300, 10), 1.0),
        ("normal", {"std": 0.1}, (128, 128), 1.28),
        ("normal", {"std": 0.01}, (784, 128), 0.0784),
        ("orthogonal", {}, (128, 784), 128 / 784),
        ("orthogonal", {"gain": 2.0}, (784, 128), 4.0),
        ("trunc_normal", {"absolute": True}, (128, 128), 1.28),
        ("torch_default", {}, (128, 10), 1 / 3),
        ("zero", {}, (128, 10), 0.0),
    ],
)
def test_weight_variance_times_fan_in(
    name: str, params: dict[str, Value], sizes: tuple[int, int], expected: float
) -> None:
    variance = build(name, **params).weight_variance(*sizes)
    assert sizes[0] * variance == pytest.approx(expected, rel=1e-12)


def test_torch_default_bias_variance() -> None:
    assert build("torch_default").bias_variance(128) == pytest.approx(1 / 384)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("he_normal", {"factor": -1.0}, "factor: got -1.0; must be a finite number, >= 0"),
        ("he_uniform", {"factor": math.nan}, "factor: got nan"),
        ("he_normal", {"factor": 10**400}, "factor: got 1000"),
        ("he_normal", {"mode": "fan_inn"}, r"mode: got 'fan_inn'.*Did you mean 'fan_in'\?"),
        ("xavier_normal", {"gain": math.inf}, "gain: got inf"),
        ("lecun_uniform", {"gain": "two"}, "gain: got two; must be a finite number"),
        ("orthogonal", {"gain": -0.5}, "gain: got -0.5"),
        ("normal", {"std": True}, "std: got True"),
        ("normal", {"mean": math.nan}, "mean: got nan"),
        ("normal", {"bias_std": -1}, "bias_std: got -1"),
        ("uniform", {"limit": -0.1}, "limit: got -0.1"),
        ("constant", {"value": None}, "value: got None"),
        ("trunc_normal", {"std": 0.0}, "std: got 0.0; must be a finite number, > 0"),
        ("trunc_normal", {"a": 1.0, "b": 1.0}, "a: got 1 with b = 1; a must be below b"),
        ("trunc_normal", {"a": 40.0, "b": 41.0}, "no weight lies between 40 and 41"),
        ("trunc_normal", {"a": 5.0, "b": 9.0, "absolute": True}, "between 50 and 90 standard"),
        ("he_normal", {"fan": "fan_in"}, "has no parameter 'fan'"),
        ("hee_normal", {}, "Did you mean 'he_normal'"),
    ],
)
def test_bad_parameters_are_told(name: str, params: dict[str, Value], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        build(name, **params)


@pytest.mark.parametrize("name", INITIALIZERS.names())
def test_records_are_complete(name: str) -> None:
    assert build(name).name == name
    assert INITIALIZERS.describe(name).endswith(".")


@pytest.mark.parametrize(
    ("alias", "name"),
    [("kaiming_normal", "he_normal"), ("glorot_uniform", "xavier_uniform"), ("zeros", "zero")],
)
def test_aliases(alias: str, name: str) -> None:
    assert build(alias).name == name


def fill_with_halves(weight: Tensor, generator: torch.Generator) -> None:
    """Put one half everywhere."""
    weight.fill_(0.5)


def test_a_users_function_becomes_an_initializer() -> None:
    init = custom(lambda w, g: nn.init.xavier_normal_(w, generator=g), name="mine")
    layer = nn.Linear(40, 60)
    init.weight(layer.weight, rng())
    expected = nn.init.xavier_normal_(torch.empty(60, 40, dtype=torch.float64), generator=rng())
    assert torch.equal(layer.weight.detach(), expected.float())
    assert math.isnan(init.weight_variance(40, 60))
    assert init.bias_variance(40) == 0.0


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda w, g: w[0].zero_(), r"'mine', given a tensor of shape \[3, 2\], left NaN"),
        (lambda w, g: w.fill_(1 / 0), r"shape \[3, 2\], raised ZeroDivisionError: division by"),
    ],
)
def test_a_users_mistake_is_told(fill: Callable[..., object], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        custom(fill, name="mine").weight(torch.empty(3, 2), rng())


def own_normal(scale: float = 2.0) -> Initializer:
    """Make a normal initializer of my own."""
    return build("normal", std=scale)


def own_mistake(scale: float = 2.0) -> float:
    return scale


OWN_RECORD = build("normal", std=3.0)
OWN_NUMBER = 3.0


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(INITIALIZERS, "_allowed", {__name__})


def test_an_import_path_needs_permission() -> None:
    with pytest.raises(ComponentError, match="which you have not allowed"):
        build(f"{__name__}:fill_with_halves")


@pytest.mark.usefixtures("allowed")
def test_an_import_path_to_a_filling_function() -> None:
    path = f"{__name__}:fill_with_halves"
    assert torch.equal(drawn(build(path), (3, 2)), torch.full((3, 2), 0.5, dtype=torch.float64))
    assert build(path).name == "fill_with_halves"
    assert INITIALIZERS.describe(path) == "Put one half everywhere."
    assert digest_code(INITIALIZERS.factory(path)) == digest_code(fill_with_halves)


@pytest.mark.usefixtures("allowed")
def test_an_import_path_to_a_factory_or_a_record() -> None:
    assert build(f"{__name__}:own_normal").weight_variance(1, 1) == 4.0
    assert build(f"{__name__}:own_normal", scale=3.0).weight_variance(1, 1) == 9.0
    assert INITIALIZERS.describe(f"{__name__}:own_normal") == "Make a normal initializer of my own."
    assert build(f"{__name__}:OWN_RECORD") is OWN_RECORD


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("own_mistake", r"'own_mistake' must take \(tensor, generator\) or return.*a float"),
        ("OWN_NUMBER", r"must be fill\(tensor, generator\).*got a float"),
    ],
)
def test_an_import_path_to_something_else_is_refused(attribute: str, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        build(f"{__name__}:{attribute}")
