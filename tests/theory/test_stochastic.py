"""Networks without matrices: closed forms, and networks that were drawn whole."""

import math
from dataclasses import replace

import numpy as np
import pytest
from networks import draw, layer_moments, phi, plain
from scipy import special, stats

from fathom.activations import custom
from fathom.theory.correlation import propagate_correlation
from fathom.theory.finite_width import gradient_statistics
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, nonlinearity
from fathom.theory.stochastic import predicted_gradient_ratio, simulate_gradient_ratio

NATS = 2 * math.log(10)  # ln of a square for one decade of its root
WIDTHS = (9, 5, 12, 7, 16, 6)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def narrow(*names: str, orthogonal: bool = False, bias_variance: float = 0.0) -> Network:
    """Make 6 layers so narrow that no order of 1/n may be left out."""
    return Network(
        activations=tuple(phi(names[layer % len(names)]) for layer in range(len(WIDTHS))),
        widths=WIDTHS,
        num_features=8,
        weight_scale=(1.3, 2.0, 1.6, 2.5, 1.0, 2.0),
        bias_variance=(bias_variance,) * len(WIDTHS),
        orthogonal=orthogonal,
        input_square=0.7,
    )


def test_linear_network_is_a_product_of_chi_squares() -> None:
    network = narrow("identity")
    num = 20_000
    found = simulate_gradient_ratio(network, num, rng(11))
    half = np.array(WIDTHS[:-1]) / 2
    terms = special.digamma(half) - np.log(half) + np.log(network.weight_scale[1:])
    mean = np.cumsum(terms[::-1])[::-1] + np.log(WIDTHS[-1] / np.array(WIDTHS[:-1]))
    variance = np.cumsum(special.polygamma(1, half)[::-1])[::-1]
    error = 4 * np.sqrt(variance / num)
    assert (np.abs(NATS * found.log10_ratio[:-1] - mean) <= error).all()
    # A sum of logarithms of chi-squares of 5 or more degrees of freedom has a kurtosis below 4.5.
    np.testing.assert_allclose(NATS * found.log10_sd[:-1], np.sqrt(variance), rtol=4 * 0.94 / 141)
    assert (found.log10_ratio[-1], found.log10_sd[-1]) == (0, 0)


def test_relu_network_is_one_of_chi_squares_of_binomials() -> None:
    network = narrow("relu")
    num = 20_000
    found = simulate_gradient_ratio(network, num, rng(12))
    mean, variance, alive = 0.0, 0.0, 1.0
    for width, scale in zip(WIDTHS[:-1], network.weight_scale[1:], strict=True):
        active = np.arange(1, width + 1)
        share = stats.binom.pmf(active, width, 0.5)
        alive *= share.sum()
        share = share / share.sum()
        factor = special.digamma(active / 2) + math.log(2 * scale / width)
        mean += share @ factor
        spread = special.polygamma(1, active / 2)
        variance += share @ (spread + factor**2) - (share @ factor) ** 2
    mean += math.log(WIDTHS[-1] / WIDTHS[0])
    assert found.blocked_share == pytest.approx(1 - alive, abs=4 * math.sqrt(alive / 4 / num))
    assert NATS * found.log10_ratio[0] == pytest.approx(mean, abs=4 * math.sqrt(variance / num))
    assert NATS * found.log10_sd[0] == pytest.approx(math.sqrt(variance), rel=0.04)


@pytest.mark.parametrize("activation", ["identity", "abs"])
def test_orthogonal_isometries_keep_every_length(activation: str) -> None:
    found = simulate_gradient_ratio(
        plain(phi(activation), 1.0, width=6, orthogonal=True), 20, rng(13)
    )
    np.testing.assert_allclose(found.log10_ratio, 0, atol=1e-12)
    np.testing.assert_allclose(found.log10_sd, 0, atol=1e-12)
    np.testing.assert_allclose(found.log10_rms, 0, atol=1e-12)


@pytest.mark.parametrize("bias_variance", [0.0, 0.3])
@pytest.mark.parametrize("orthogonal", [False, True], ids=["gaussian", "orthogonal"])
@pytest.mark.parametrize("names", [("tanh", "gelu"), ("softplus", "sin", "leaky_relu")])
def test_the_law_is_that_of_whole_networks(
    names: tuple[str, ...], orthogonal: bool, bias_variance: float
) -> None:
    network = narrow(*names, orthogonal=orthogonal, bias_variance=bias_variance)
    num = 20_000
    found = simulate_gradient_ratio(network, num, rng(14))
    whole = draw([network], num, 14)
    for drawn, mean, sd in (
        (whole.log10_ratio[:, 0], found.log10_ratio, found.log10_sd),
        (whole.log10_rms[:, 0], found.log10_rms, found.log10_rms_sd),
    ):
        error = 4 * np.sqrt((drawn.std(0) ** 2 + sd**2) / num)
        assert (np.abs(drawn.mean(0) - mean) <= error + 1e-6).all()
        # The standard deviation of a standard deviation, from the sample's own kurtosis.
        kurtosis = stats.kurtosis(drawn, axis=0, fisher=False, nan_policy="raise")
        relative = np.sqrt((np.nan_to_num(kurtosis, nan=1.0) - 1) / 4 / num)
        error = 4 * math.sqrt(2) * relative * drawn.std(0)
        assert (np.abs(drawn.std(0) - sd) <= error + 1e-6).all()


@pytest.mark.parametrize("bias_variance", [0.0, 0.3])
@pytest.mark.parametrize("orthogonal", [False, True], ids=["gaussian", "orthogonal"])
@pytest.mark.parametrize("names", [("tanh", "gelu"), ("softplus", "sin", "relu"), ("relu",)])
def test_cosines_are_those_of_whole_networks(
    names: tuple[str, ...], orthogonal: bool, bias_variance: float
) -> None:
    network = narrow(*names, orthogonal=orthogonal, bias_variance=bias_variance)
    network = replace(network, input_cosine=-0.4)
    num = 20_000
    found = simulate_gradient_ratio(network, num, rng(24))
    whole = cosines_of_whole_networks(network, num, 24)
    known = np.isfinite(whole)
    count, mean = known.sum(0), np.nanmean(whole, 0)
    assert count.min() > num / 2
    assert (np.abs(mean - found.cosine) <= 4 * np.nanstd(whole, 0) * np.sqrt(2 / count)).all()


def cosines_of_whole_networks(network: Network, num: int, seed: int) -> Floats:
    """Pass two inputs through matrices, `[S, L]`; NaN where the first lets no gradient through."""
    generator, c = rng(seed), network.input_cosine
    num_in, cosine_SL, is_open = network.num_features, [], np.ones(num, bool)
    x_SIP = np.zeros((num, num_in, 2))
    x_SIP[:, 0] = 1, c
    x_SIP[:, 1, 1] = math.sqrt(1 - c**2)
    x_SIP *= math.sqrt(num_in * network.input_square)
    for layer, num_out in enumerate(network.widths):
        weight = generator.standard_normal((num, max(num_in, num_out), min(num_in, num_out)))
        if network.orthogonal:
            q, r = np.linalg.qr(weight)
            signs = np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]
            weight = q * signs * math.sqrt(max(num_in, num_out))
        weight = weight if num_out >= num_in else weight.swapaxes(1, 2)
        bias = generator.standard_normal((num, num_out, 1))
        h = math.sqrt(network.weight_scale[layer] / num_in) * (weight @ x_SIP)
        h += math.sqrt(network.bias_variance[layer]) * bias
        with np.errstate(invalid="ignore"):
            unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        cosine_SL.append((unit[..., 0] * unit[..., 1]).sum(1))
        x_SIP, num_in = network.activations[layer].value(h), num_out
        if layer + 1 < network.depth:
            is_open &= (network.activations[layer].slope(h[..., 0]) != 0).any(1)
    return np.where(is_open[:, None], np.stack(cosine_SL, 1), np.nan)


def test_isometries_keep_every_angle() -> None:
    network = plain(phi("identity"), 1.0, width=6, orthogonal=True)
    network = replace(network, widths=tuple(range(6, 56)), input_cosine=0.3)
    found = simulate_gradient_ratio(network, 20, rng(13))
    np.testing.assert_allclose(found.cosine, 0.3, rtol=1e-11)


@pytest.mark.parametrize("orthogonal", [False, True], ids=["gaussian", "orthogonal"])
@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_equal_and_opposite_inputs_stay_so_in_the_chaotic_phase(
    cosine: float, orthogonal: bool
) -> None:
    # chi_1 = 3.6: what differed by a rounding error would be unrelated after 30 layers.
    network = replace(
        plain(phi("tanh"), 20.0, width=16, orthogonal=orthogonal), input_cosine=cosine
    )
    found = simulate_gradient_ratio(network, 20, rng(22))
    np.testing.assert_allclose(found.cosine, cosine, rtol=1e-15)


def test_one_unit_tells_only_signs() -> None:
    network = replace(plain(phi("tanh"), 2.0, width=1, depth=3), input_cosine=0.0)
    for orthogonal in (False, True):
        narrowing = replace(network, num_features=2, orthogonal=orthogonal)
        found = simulate_gradient_ratio(narrowing, 2000, rng(23))
        np.testing.assert_allclose(found.cosine, 0.0, atol=4 / math.sqrt(2000))


def test_gelu_with_he_weights_is_what_was_measured() -> None:
    # Measured elsewhere: 300 networks of 50 layers of 128 units.
    network = plain(phi("gelu"), 2.0, width=128)
    num = 3000
    found = simulate_gradient_ratio(network, num, rng(15))
    error = math.hypot(0.07, 1.12 / math.sqrt(num))
    assert found.log10_ratio[0] == pytest.approx(-5.43, abs=4 * error)
    assert found.log10_sd[0] == pytest.approx(1.12, rel=4 / math.sqrt(2 * 300))


@pytest.mark.slow
def test_gelu_with_he_weights_is_what_is_measured_again() -> None:
    network = plain(phi("gelu"), 2.0, width=128)
    num = 1500
    found = simulate_gradient_ratio(network, num, rng(16))
    drawn = draw([network], num, 20265).log10_ratio[:, 0, 0]
    error = math.sqrt((drawn.var() + found.log10_sd[0] ** 2) / num)
    assert found.log10_ratio[0] == pytest.approx(drawn.mean(), abs=max(0.10, 3 * error))
    assert found.log10_sd[0] == pytest.approx(drawn.std(), rel=0.15)


def test_same_seed_same_numbers_and_no_seed_needed() -> None:
    network = plain(phi("gelu"), 2.0, width=32)
    rows = layer_moments(network)
    first, second = (predicted_gradient_ratio(network, *rows, num_samples=50) for _ in range(2))
    other = predicted_gradient_ratio(network, *rows, num_samples=50, generator=rng(17))
    np.testing.assert_array_equal(first.log10_ratio, second.log10_ratio)
    assert first.log10_ratio[0] != other.log10_ratio[0]
    assert first.method == "simulation"
    assert first.reason == gradient_statistics(network, *rows).doubt != ""


def test_the_expansion_serves_where_it_can() -> None:
    network = plain(phi("tanh"), 2.0, width=128)
    rows = layer_moments(network)
    found, expansion = predicted_gradient_ratio(network, *rows), gradient_statistics(network, *rows)
    assert (found.method, found.reason, found.blocked_share) == ("expansion", "", 0)
    np.testing.assert_array_equal(found.log10_ratio, expansion.log10_ratio)
    np.testing.assert_array_equal(found.log10_sd, expansion.log10_sd)
    np.testing.assert_array_equal(found.cosine, propagate_correlation(network, rows[0]))
    np.testing.assert_array_equal(found.log10_rms, expansion.log10_rms)
    np.testing.assert_array_equal(found.log10_rms_sd, expansion.log10_rms_sd)


def test_a_flat_activation_blocks_all() -> None:
    found = simulate_gradient_ratio(plain(phi("sgn"), 1.0, width=8, depth=3), 10, rng(18))
    assert found.blocked_share == 1
    assert np.isnan(found.log10_ratio).all()


def test_a_signal_that_overflows_blocks_nothing() -> None:
    cube = nonlinearity(custom(lambda h: h**3, name="cube"))
    network = plain(cube, 2.0, width=8, depth=12, input_square=100.0)
    found = simulate_gradient_ratio(network, 10, rng(18))
    assert found.blocked_share == 0
    assert np.isnan(found.log10_ratio).all()


def test_the_number_of_samples_is_met_in_parts() -> None:
    # So wide that 45 networks are drawn in two parts.
    network = plain(phi("tanh"), 1.0, width=8192, depth=3)
    found = simulate_gradient_ratio(network, 45, rng(19))
    assert np.isfinite(found.log10_sd).all()
    assert found.log10_rms_sd[0] == pytest.approx(math.sqrt(2 / 8192) / NATS, rel=4 / math.sqrt(90))
