"""Expectations over a Gaussian against closed forms, other quadratures and differences."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mp
from networks import phi
from scipy import integrate, special

from fathom.activations import custom
from fathom.theory.gaussian import Moments, moments, sample
from fathom.theory.nonlinearity import Floats, nonlinearity

VARIANCES = np.geomspace(1e-4, 1e2, 61)
PI = np.pi
SELU = (1.0507009873554805, 1.6732632423543772)


# --- closed forms; those of ELU lose digits at small q, so that they are taken with 40


def elu_form(scale: float, alpha: float) -> Callable[[Floats], tuple[Floats, Floats]]:
    def one(q: float) -> tuple[float, float]:
        with mp.workdps(40):
            big, s = mp.mpf(q), mp.sqrt(mp.mpf(q))
            twice = mp.exp(2 * big) * mp.ncdf(-2 * s)
            curved = twice - 2 * mp.exp(big / 2) * mp.ncdf(-s) + mp.mpf(1) / 2
            square = scale**2 * (big / 2 + alpha**2 * curved)
            return float(square), float(scale**2 * (mp.mpf(1) / 2 + alpha**2 * twice))

    def form(q: Floats) -> tuple[Floats, Floats]:
        square, slope_square = np.array([one(float(each)) for each in q]).T
        return square, slope_square

    return form


def gelu_square(q: Floats) -> Floats:
    root = np.sqrt(1 + 2 * q)
    form: Floats = q / 4 + q / PI * (q / ((1 + q) * root) + np.arctan(q / root) / 2)
    return form


CLOSED_FORMS: dict[str, Callable[[Floats], tuple[Floats, Floats]]] = {
    "identity": lambda q: (q, 1 + 0 * q),
    "relu": lambda q: (q / 2, 0.5 + 0 * q),
    "leaky_relu": lambda q: (q * (1 + 0.01**2) / 2, (1 + 0.01**2) / 2 + 0 * q),
    "abs": lambda q: (q, 1 + 0 * q),
    "erf": lambda q: (2 / PI * np.arcsin(2 * q / (1 + 2 * q)), 4 / PI / np.sqrt(1 + 4 * q)),
    "sin": lambda q: (-np.expm1(-2 * q) / 2, (1 + np.exp(-2 * q)) / 2),
    "cos": lambda q: ((1 + np.exp(-2 * q)) / 2, -np.expm1(-2 * q) / 2),
    "exp": lambda q: (np.exp(2 * q), np.exp(2 * q)),
    "square": lambda q: (3 * q**2, 4 * q),
    "elu": elu_form(1.0, 1.0),
    "selu": elu_form(*SELU),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_second_moments_are_the_closed_forms(name: str) -> None:
    """Source: Williams 1997 (erf), Cho & Saul 2009 (relu), Tsuchida et al. 2021 (gelu, elu)."""
    square, slope_square = CLOSED_FORMS[name](VARIANCES)
    found = moments(phi(name), VARIANCES)
    np.testing.assert_allclose(found.square, square, rtol=1e-12)
    np.testing.assert_allclose(found.slope_square, slope_square, rtol=1e-12)


def test_second_moment_of_gelu_is_the_closed_form() -> None:
    found = moments(phi("gelu"), VARIANCES)
    np.testing.assert_allclose(found.square, gelu_square(VARIANCES), rtol=1e-12)


@pytest.mark.parametrize("q", [1e-4, 0.3, 1.7, 100.0])
def test_slope_of_gelu_has_the_moment_that_40_digits_give(q: float) -> None:
    with mp.workdps(30):
        s = mp.sqrt(mp.mpf(q))

        def integrand(z: mpmath.mpf) -> mpmath.mpf:
            h = s * z
            return mp.npdf(z) * (mp.ncdf(h) + h * mp.npdf(h)) ** 2

        bends = [mp.mpf(k) / s for k in (-8, -2, 0, 2, 8) if abs(k) < 14 * s]
        expected = mp.quad(integrand, [-14, *bends, 14])
    assert moments(phi("gelu"), q).slope_square[0] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu", "mish", "softsign"])
@pytest.mark.parametrize("q", [1e-3, 1.7, 100.0])
def test_moments_agree_with_adaptive_quadrature(name: str, q: float) -> None:
    nonlinear = phi(name)
    found = moments(nonlinear, q)

    def mean(function: Callable[[float, float, float], float]) -> float:
        def integrand(h: float) -> float:
            at = np.array([h])
            value, slope = nonlinear.value(at)[0], nonlinear.slope(at)[0]
            return function(h, float(value), float(slope)) * float(np.exp(-h * h / 2 / q))

        reach = 9 * np.sqrt(q)
        points = [p for p in (-4, -1, 0, 1, 4) if abs(p) < reach]
        total = integrate.quad(
            integrand, -reach, reach, points=points, limit=400, epsabs=1e-12, epsrel=1e-10
        )[0]
        return float(total) / float(np.sqrt(2 * PI * q))

    expected = {
        "mean": mean(lambda h, f, d: f),
        "fourth": mean(lambda h, f, d: f**4),
        "slope_fourth": mean(lambda h, f, d: d**4),
        "value_slope_h": mean(lambda h, f, d: f * d * h),
        "square_slope_square": mean(lambda h, f, d: (f * d) ** 2),
        "slope_square_h2": mean(lambda h, f, d: (d * h) ** 2),
    }
    for part, number in expected.items():
        assert getattr(found, part)[0] == pytest.approx(number, rel=1e-8, abs=1e-12), part


# --- derivatives with respect to q


@pytest.mark.parametrize("q", [0.05, 1.7, 60.0])
def test_derivatives_are_those_of_the_closed_forms(q: float) -> None:
    found = moments(phi("sin"), q)
    wave = float(np.exp(-2 * q))
    assert found.square_1st[0] == pytest.approx(wave, abs=1e-14)
    assert found.square_2nd[0] == pytest.approx(-2 * wave, abs=1e-12 / q)
    assert found.slope_square_1st[0] == pytest.approx(-wave, abs=1e-13 / q)
    assert found.slope_square_2nd[0] == pytest.approx(2 * wave, abs=1e-12 / q)


@pytest.mark.parametrize("name", ["tanh", "relu", "hardtanh", "gelu", "selu", "hardswish", "mish"])
@pytest.mark.parametrize("q", [0.05, 1.7, 60.0])
def test_derivatives_are_what_differences_are(name: str, q: float) -> None:
    """Central differences of 4th order: an error of 1e-10, as rounding allows with this step."""
    step = 4e-3 * q
    at = q + step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    near = moments(phi(name), at)
    first = np.array([1, -8, 0, 8, -1]) / (12 * step)
    second = np.array([-1, 16, -30, 16, -1]) / (12 * step**2)
    middle = Moments(*(part[2] for part in near))
    scale, slope_scale = middle.square / q, middle.slope_square / q
    assert middle.square_1st == pytest.approx(first @ near.square, abs=1e-8 * scale)
    assert middle.square_2nd == pytest.approx(second @ near.square, abs=1e-7 * scale / q)
    assert middle.slope_square_1st == pytest.approx(
        first @ near.slope_square, abs=1e-8 * slope_scale
    )
    assert middle.slope_square_2nd == pytest.approx(
        second @ near.slope_square, abs=1e-7 * slope_scale / q
    )


@pytest.mark.parametrize("q", [0.2, 1.0, 30.0])
def test_the_derivative_sees_jumps(q: float) -> None:
    """Of the step from 0 to 1 at 0.7: E phi^2 = P(z > 0.7 / sqrt(q)), and phi' misses it all."""
    step = nonlinearity(custom(lambda h: (h > 0.7).to(h.dtype), name="step"))
    place = 0.7 / np.sqrt(q)
    density = np.exp(-place * place / 2) / np.sqrt(2 * PI)
    found = moments(step, q)
    assert found.square[0] == pytest.approx(special.ndtr(-place), rel=1e-11)
    assert found.square_1st[0] == pytest.approx(density * place / (2 * q), rel=1e-11)
    assert found.value_slope_h[0] == 0


# --- awkward ones


def test_the_logarithm_has_its_moment_though_it_has_a_pole() -> None:
    """E ln^2 |z| = pi^2 / 8 + ((gamma + ln 2) / 2)^2."""
    logarithm = nonlinearity(custom(lambda h: h.abs().log(), name="log"))
    expected = PI**2 / 8 + ((np.euler_gamma + np.log(2)) / 2) ** 2
    assert moments(logarithm, 1.0).square[0] == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("q", [1e3, 1e4])
def test_a_wave_is_resolved_at_large_variance(q: float) -> None:
    found = moments(phi("sin"), q)
    assert found.square[0] == pytest.approx(0.5, rel=1e-12)
    assert found.slope_square[0] == pytest.approx(0.5, rel=1e-12)


def test_exp_is_right_until_numbers_end() -> None:
    """The integrand peaks at z = 2 sqrt(q), far outside the usual window."""
    q = np.array([30.0, 100.0, 160.0])
    np.testing.assert_allclose(moments(phi("exp"), q).square, np.exp(2 * q), rtol=1e-10)
    # Here the fourth moment is infinite already, and float64 has no weight 5 standard deviations
    # beyond the peak, where 3e-7 of the second moment lie.
    late = moments(phi("exp"), 266.0).square[0]
    assert late == pytest.approx(np.exp(532.0), rel=1e-6)
    assert moments(phi("exp"), 1e4).square[0] == np.inf


@pytest.mark.parametrize("q", [1e-200, 1e-30, 1e30, 1e150])
def test_straight_lines_stay_straight_far_out(q: float) -> None:
    found = moments(phi("relu"), q)
    assert found.square[0] == pytest.approx(q / 2, rel=1e-12)
    assert found.slope_square[0] == pytest.approx(0.5, rel=1e-12)
    assert found.value_slope_h[0] == pytest.approx(q / 2, rel=1e-12)
    assert found.square_1st[0] == pytest.approx(0.5, rel=1e-12)
    assert abs(found.square_2nd[0]) < 1e-12 / q
    assert abs(found.slope_square_1st[0]) < 1e-12 / q


def test_many_variances_are_as_one_at_a_time() -> None:
    together = moments(phi("gelu"), VARIANCES)
    for i in (0, 30, 60):
        alone = moments(phi("gelu"), float(VARIANCES[i]))
        for many, one in zip(together[:9], alone[:9], strict=True):
            assert many[i] == pytest.approx(one[0], rel=1e-12)


def test_a_kink_of_a_user_costs_no_digit() -> None:
    """E relu(h - a)^2 = (q + a^2) P(z > a/s) - a s density(a/s)."""
    a, q = 0.1234567, 0.8
    s = np.sqrt(q)
    found = moments(nonlinearity(custom(lambda h: torch.relu(h - a), name="own")), q)
    density = np.exp(-a * a / q / 2) / np.sqrt(2 * PI)
    expected = (q + a * a) * special.ndtr(-a / s) - a * s * density
    assert found.square[0] == pytest.approx(expected, rel=1e-12)


def test_weights_sum_to_1() -> None:
    at = sample(phi("tanh"), VARIANCES)
    np.testing.assert_allclose(at.weight.sum(1), 1, rtol=1e-14)
    np.testing.assert_allclose(at.mean(at.z**4), 3, rtol=1e-13)


def test_infinite_moments_are_not_given_a_number() -> None:
    """Of exp(h^2), E phi^2 = 1 / sqrt(1 - 4q) up to q = 1/4, and E phi'^2 = 4q (1 - 4q)^-3/2."""
    grown = nonlinearity(custom(lambda h: (h * h).exp(), name="own"))
    q = np.array([0.01, 0.1, 0.2, 0.24])
    found = moments(grown, q)
    np.testing.assert_allclose(found.square, (1 - 4 * q) ** -0.5, rtol=1e-10)
    np.testing.assert_allclose(found.slope_square, 4 * q * (1 - 4 * q) ** -1.5, rtol=1e-8)
    beyond = np.array([0.25, 0.26, 0.3, 0.31, 1.0])
    assert (moments(grown, beyond).square == np.inf).all()
    assert (moments(grown, beyond).slope_square == np.inf).all()
    at = sample(grown, beyond)
    assert (at.mean_product(at.value, at.value) == np.inf).all()
    # A quarter of that for the fourth moment; a minus sign is kept.
    assert list(moments(grown, np.array([0.12, 0.13])).fourth < np.inf) == [True, False]
