"""What theory offers to Python users, for functions that have no name a study could use."""

import functools
import json
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch

import fathom
from fathom.errors import FathomError


def kinked(h: torch.Tensor) -> torch.Tensor:
    """Two straight lines that meet at 0."""
    return torch.where(h > 0, 2 * h, -h)


# E phi^2 = (2^2 + 1^2) / 2 at unit variance.
TWO_LINES = math.sqrt(2 / 5)


class TestFunctionsWithoutAName:
    def test_a_lambda(self) -> None:
        found = fathom.gain(lambda h: torch.where(h > 0, 2 * h, -h))
        assert found.forward == pytest.approx(TWO_LINES, rel=1e-12)
        assert found.recommendation.kind == "every scale"

    def test_a_partial_function(self) -> None:
        leaky = functools.partial(torch.nn.functional.leaky_relu, negative_slope=0.5)
        assert fathom.gain(leaky).forward == pytest.approx(math.sqrt(2 / 1.25), rel=1e-12)

    def test_a_torch_module_is_called_as_its_class(self) -> None:
        found = fathom.examine(torch.nn.GELU())
        assert found.card.name == "GELU"
        assert found.card.examination.faults == ()

    def test_a_named_function_keeps_its_name(self) -> None:
        assert fathom.predict(kinked, depth=2).network.startswith("kinked, he_normal, 2 hidden")

    def test_two_lambdas_are_not_taken_for_each_other(self) -> None:
        gains = [fathom.gain(function).forward for function in (lambda h: 2 * h, lambda h: 4 * h)]
        assert gains == pytest.approx([1 / 2, 1 / 4], rel=1e-12)
        scales = [
            fathom.predict(function, depth=2, width=512).layers["pre_log10"][1]
            for function in (lambda h: 2 * h, lambda h: 4 * h)
        ]
        assert scales[1] - scales[0] == pytest.approx(math.log10(2), rel=1e-9)

    def test_functions_called_like_built_in_ones(self) -> None:
        built_in = fathom.gain("tanh")
        assert fathom.gain(torch.tanh).forward == pytest.approx(built_in.forward, rel=1e-12)
        assert fathom.gain(fathom.custom(torch.tanh)).activation == "own_tanh"
        assert fathom.predict(torch.nn.functional.gelu, depth=2).network.startswith("own_gelu, ")
        assert fathom.examine(torch.tanh).card.name == "own_tanh"
        assert fathom.examine("tanh").card.name == "tanh"

    def test_a_study_tells_how_to_name_them(self) -> None:
        with pytest.raises(FathomError, match=r"fathom\.custom\(function, name='my_tanh'\)"):
            fathom.Study(data="digits", activation=[torch.tanh])
        named = fathom.custom(torch.tanh, name="my_tanh")
        assert fathom.Study(data="digits", activation=[named]).num_runs == 1

    def test_a_function_that_fails_is_told(self) -> None:
        with pytest.raises(FathomError, match=r"own_function.*raised RuntimeError: broken"):
            fathom.predict(lambda h: fail())


def fail() -> torch.Tensor:
    raise RuntimeError("broken")


def test_tiny_and_huge_gains_have_digits() -> None:
    said = str(fathom.gain(lambda h: 1e20 * torch.relu(h)))
    assert "gain 1.414214e-20 keeps the signal, gain 1.414214e-20 keeps the gradient" in said


def test_a_kink_far_out_is_found_without_being_told() -> None:
    # chi goes from 1 below the kink at 7.3 to (1 + 2^2) / 2 above it.
    found = fathom.predict(
        lambda h: torch.where(h > 7.3, 2 * h - 7.3, h),
        {"name": "normal", "std": 1 / math.sqrt(64)},
        depth=2,
        width=64,
        input_mean_square=7.3**2,
    )
    above = 0.5 * math.erfc(1 / math.sqrt(2))
    assert found.layers["chi"][0] == pytest.approx(1 + 3 * above, rel=1e-9)


def test_one_input_says_nothing_of_dead_units() -> None:
    found = fathom.predict("relu", depth=2, num_probes=1)
    assert found.layers["dead_share"].to_list() == pytest.approx([0.5, 0.5])
    assert found.verdict.name == "healthy"


def test_values_for_json_have_one_form() -> None:
    gain = fathom.gain("tan").to_plain()
    assert gain["backward"] == 0
    assert gain["recommendation"]["q"] is None
    assert fathom.gain("sgn").to_plain()["backward"] == "inf"
    layers = fathom.predict("relu", {"name": "normal", "std": 1e200}, depth=3).to_plain()["layers"]
    assert layers[2]["pre_log10"] == "inf"
    assert layers[2]["chi"] is None
    json.dumps([gain, layers], allow_nan=False)


@pytest.mark.parametrize("ask", [fathom.gain, lambda phi: fathom.predict(phi, depth=3, width=16)])
def test_theory_computes_on_one_thread(ask: Callable[[object], object]) -> None:
    """Threads that meet at every small function took five times the work itself."""
    threads = Counter[int]()

    def watched(h: torch.Tensor) -> torch.Tensor:
        threads[torch.get_num_threads()] += 1
        return torch.tanh(h)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ask(watched)
        assert threads[1] > 10 * threads[2]  # it is tried out before theory begins
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
