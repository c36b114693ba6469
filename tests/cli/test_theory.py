"""The verbs that compute and train nothing."""

import json
import math
import re
from pathlib import Path

import pytest

from command import Fathom
from fathom import api
from fathom.errors import FathomError

OWN = """\
import torch

def shifted(h):
    return torch.relu(h - 0.25)

def study_002(h):
    return (torch.exp(h) - torch.exp(-h)) / (torch.exp(h) + torch.exp(-h))
"""


@pytest.fixture
def own(here: Path) -> None:
    (here / "own_theory.py").write_text(OWN)


class TestPredict:
    def test_a_network_is_described_layer_by_layer(self, fathom: Fathom) -> None:
        outcome = fathom("predict", "--activation", "sigmoid", "--init", "xavier_normal")
        assert outcome.code == 0
        assert outcome.out.startswith("sigmoid, xavier_normal, 50 hidden layers of 128 units")
        assert "\nvanishing: gradient span [decades] is -30.9" in outcome.out
        assert "Signal, were layers infinitely wide: " in outcome.out
        assert "Best start for sigmoid (init: critical): s_w^2 = 103.13" in outcome.out

    def test_json_holds_every_layer(self, fathom: Fathom) -> None:
        outcome = fathom("predict", "-a", "relu", "-d", "10", "-w", "64", "--json")
        found = json.loads(outcome.out)
        assert [row["layer"] for row in found["layers"]] == list(range(1, 11))
        # Hanin & Nica 2018: E ln |d_1|^2 / |d_L|^2 = -5 (L-1) / (2 n).
        expected = -2.5 * 9 / 64 / math.log(100)
        assert found["layers"][0]["gradient_log10"] == pytest.approx(expected, abs=1e-3)
        assert found["verdict"] in {"healthy", "borderline"}

    def test_words_for_what_has_no_number(self, fathom: Fathom) -> None:
        outcome = fathom("predict", "-a", "tan")
        assert outcome.code == 0
        assert "no mean-field limit: tan has poles" in outcome.out
        assert "nan" not in outcome.out

    @pytest.mark.parametrize(
        "arguments",
        [
            ("-a", "exp", "-d", "12"),
            ("-a", "relu", "-d", "4", "-i", "{name: normal, std: 1.0e+200}"),
            ("-a", "tanh", "-d", "4", "-i", "{name: normal, std: 0, bias_std: 0.3}"),
            ("-a", "relu", "-d", "10", "-w", "1"),
        ],
    )
    def test_no_sentence_and_no_table_has_a_nan(
        self, fathom: Fathom, arguments: tuple[str, ...]
    ) -> None:
        outcome = fathom("predict", *arguments)
        assert outcome.code == 0
        assert not re.search(r"\b(nan|inf)\b", outcome.out)

    def test_one_layer_is_one_layer(self, fathom: Fathom) -> None:
        outcome = fathom("predict", "-a", "tanh", "-d", "1", "-w", "1")
        assert "1 hidden layer of 1 unit; inputs" in outcome.out

    def test_the_picture_is_written(self, fathom: Fathom, here: Path) -> None:
        outcome = fathom("predict", "-a", "gelu", "-d", "5", "--picture", "p.png")
        assert outcome.code == 0
        assert (here / "p.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("-a", "gelo"), "Did you mean 'gelu'"),
            (("-a", "relu", "-i", "he_normla"), "Did you mean 'he_normal'"),
            (("-a", "relu", "-d", "0"), "model.depth"),
            (("-a", "relu", "-w", "0"), "model.width"),
            (("-a", "{name: leaky_relu, slop: 0.1}"), "Did you mean 'slope'"),
            (("-a", "{name: leaky_relu, slope: [0.1, 0.2]}"), "2 networks"),
            (("-a", "[relu"), "--activation"),
            (("-a", "relu", "--input-square", "0"), "input_mean_square"),
            (("-a", "relu", "--input-square", "nan"), "input_mean_square"),
            (("-a", "relu", "--input-cosine", "2"), "input_cosine"),
            (("-a", "relu", "--features", "0"), "num_features"),
            (("-a", "relu", "--classes", "0"), "num_classes"),
            (("-a", "relu", "--picture", "p.bmp"), "must end in one of .png"),
            (("-a", "own_theory:shifted"), "--allow own_theory"),
        ],
    )
    def test_a_mistake_is_one_message(
        self, fathom: Fathom, arguments: tuple[str, ...], told: str
    ) -> None:
        outcome = fathom("predict", *arguments)
        assert outcome.code == 2
        assert told in outcome.err
        assert "Traceback" not in outcome.err

    @pytest.mark.usefixtures("own")
    def test_a_faulty_function_is_told_as_such(self, fathom: Fathom) -> None:
        arguments = ("-a", "own_theory:study_002", "--allow", "own_theory", "-d", "5")
        told = fathom("predict", *arguments).out
        assert "Fault of own_theory:study_002 itself: " in told
        assert "Fault" not in fathom("predict", "-a", "tanh", "-d", "5").out

    def test_mistakes_are_told_of_the_command_not_of_a_study(self, fathom: Fathom) -> None:
        assert fathom("predict", "-a", "gelo").err.startswith("predict: 1 problem")
        assert fathom("gain", "gelo").err.startswith("activation: 1 problem")

    @pytest.mark.usefixtures("own")
    def test_a_function_of_ones_own_with_a_kink(self, fathom: Fathom) -> None:
        arguments = ("-a", "own_theory:shifted", "--allow", "own_theory", "-d", "5", "--json")
        outcome = fathom("predict", *arguments)
        assert outcome.code == 0
        assert json.loads(outcome.out)["verdict"] == "healthy"


class TestGain:
    def test_it_can_be_put_into_a_study(self, fathom: Fathom, here: Path) -> None:
        outcome = fathom("gain", "gelu")
        assert "half-stable" in outcome.out
        line = next(row for row in outcome.out.splitlines() if "he_normal" in row)
        (here / "g.yaml").write_text(f"data: digits\nactivation: gelu\n{line.strip()}\n")
        assert fathom("show", "g.yaml").code == 0

    @pytest.mark.parametrize(
        ("activation", "word"),
        [("tan", "no mean-field limit"), ("sgn", "no gradient"), ("softplus", "no edge of chaos")],
    )
    def test_none_exists_with_the_reason(self, fathom: Fathom, activation: str, word: str) -> None:
        outcome = fathom("gain", activation)
        assert outcome.code == 0
        assert outcome.out.startswith(f"{activation}: no such start")
        assert word in outcome.out

    def test_json(self, fathom: Fathom) -> None:
        found = json.loads(fathom("gain", "relu", "--json").out)
        assert found["recommendation"]["kind"] == "every scale"
        assert found["recommendation"]["weight_scale"] == pytest.approx(2)
        assert found["forward"] == pytest.approx(math.sqrt(2))

    def test_a_negative_variance_is_refused(self, fathom: Fathom) -> None:
        outcome = fathom("gain", "relu", "--bias-variance", "-1")
        assert outcome.code == 2
        assert "bias_variance" in outcome.err
        assert "Traceback" not in outcome.err


class TestActivation:
    def test_a_built_in_one_has_no_fault(self, fathom: Fathom, here: Path) -> None:
        outcome = fathom("activation", "gelu", "--picture", "gelu.svg")
        assert outcome.code == 0
        assert "faults: none" in outcome.out
        assert "E phi^2 = 0.42522" in outcome.out
        assert (here / "gelu.svg").read_text().startswith("<?xml")

    @pytest.mark.usefixtures("own")
    def test_study_002_is_caught(self, fathom: Fathom) -> None:
        outcome = fathom("activation", "own_theory:study_002", "--allow", "own_theory", "--json")
        found = json.loads(outcome.out)
        faults = [f for f in found["card"]["examination"]["findings"] if f["severity"] == "fault"]
        assert faults

    def test_an_unknown_one(self, fathom: Fathom) -> None:
        outcome = fathom("activation", "rellu")
        assert outcome.code == 2
        assert "Did you mean 'relu'" in outcome.err

    @pytest.mark.usefixtures("own")
    def test_several_are_drawn_side_by_side(self, fathom: Fathom, here: Path) -> None:
        outcome = fathom(
            *("activation", "tanh", "{name: leaky_relu, slope: 0.1}", "own_theory:shifted"),
            *("--allow", "own_theory", "--grid", "grid.svg"),
        )
        assert (outcome.code, outcome.out) == (0, "grid.svg\n")
        assert (here / "grid.svg").read_text().startswith("<?xml")
        outcome = fathom("activation", "relu", "--grid", "one.png", "--json")
        assert json.loads(outcome.out) == {"grid": "one.png"}

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("relu", "tanh"), "got 2 activations; one is examined at a time"),
            (("relu", "rellu", "--grid", "g.png"), "Did you mean 'relu'"),
            (("relu", "tanh", "--grid", "g.bmp"), "--grid g.bmp: must end in one of .png"),
            (("relu", "--grid", "g.png", "--picture", "p.png"), "two pictures"),
            (("relu", "never_allowed:f", "--grid", "g.png"), "--allow never_allowed"),
        ],
    )
    def test_a_mistake_is_one_message(
        self, fathom: Fathom, here: Path, arguments: tuple[str, ...], told: str
    ) -> None:
        outcome = fathom("activation", *arguments)
        assert outcome.code == 2
        assert told in outcome.err
        assert not (here / "g.png").exists()


def test_activations_side_by_side_from_python() -> None:
    figure = api.draw_activations(["elu", {"name": "leaky_relu", "slope": 0.1}, lambda h: h**2])
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["elu", "leaky_relu(slope=0.1)", "own_function"]
    with pytest.raises(FathomError, match="got no activation"):
        api.draw_activations([])
    with pytest.raises(FathomError, match="reach: got 0"):
        api.draw_activations(["elu"], reach=0)


class TestPlan:
    def test_every_cell_has_a_verdict(self, fathom: Fathom) -> None:
        outcome = fathom("plan", "s.yaml")
        assert outcome.code == 0
        assert "theory says of 2 runs: 2 healthy" in outcome.out

    def test_json_has_every_run(self, fathom: Fathom) -> None:
        found = json.loads(fathom("plan", "s.yaml", "--json").out)
        assert [row["verdict"] for row in found["predictions"]] == ["healthy", "healthy"]
        assert "predictions" not in json.loads(
            fathom("plan", "s.yaml", "--json", "--no-predict").out
        )

    def test_data_that_are_elsewhere_are_not_fetched(
        self, fathom: Fathom, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("FATHOM_DATA", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
        outcome = fathom("plan", "s.yaml", "--set", "data=mnist")
        assert outcome.code == 0
        assert "inputs are taken as standardised" in " ".join(outcome.out.split())


def test_critical_is_an_initializer_beside_others(fathom: Fathom) -> None:
    outcome = fathom(
        "run",
        "s.yaml",
        "--workers",
        "1",
        "--no-report",
        "--set",
        "init=[he_normal, critical, {name: critical, bias_variance: 0}]",
    )
    assert outcome.code == 0
    assert "6 runs: 6 completed" in outcome.out


def test_critical_is_refused_for_an_activation_that_has_no_such_point(fathom: Fathom) -> None:
    outcome = fathom("plan", "s.yaml", "--set", "activation=tan", "--set", "init=critical")
    assert outcome.code == 2
    assert "there is none for tan" in outcome.err
    assert "Traceback" not in outcome.err


def test_gain_takes_its_activation_in_either_way(fathom: Fathom) -> None:
    first, second = fathom("gain", "gelu"), fathom("gain", "--activation", "gelu")
    assert first.code == second.code == 0
    assert first.out == second.out
    assert "half-stable" in first.out
    for wrong in (["gain"], ["gain", "gelu", "-a", "relu"]):
        found = fathom(*wrong)
        assert found.code == 2
        assert "give one activation" in found.err
