"""The built-in studies are what they say they reproduce."""

from importlib.resources import files

import pytest

from fathom.registry import Choice
from fathom.spec.load import builtin_studies, load_study

COUNTS = {
    "activation-tour": 6,
    "deep-mlp": 4 * 8 * 6,
    "deep-mlp-quick": 4 * 8 * 3,
    "digits": 4 * 2 * 4,
    "half-moons": 10 * 10,
    "he-factor": 7 * 6,
    "sigmoid-depths": 4 * 5 * 3,
    "spline-vgp": 3,
    "trainable-depth": 9 * 7,
}


def test_all_built_in_studies_are_counted_here() -> None:
    assert {*COUNTS} == {*builtin_studies()}


@pytest.mark.parametrize("name", COUNTS)
def test_a_built_in_study_expands(name: str) -> None:
    study = load_study(name)
    assert study.num_runs == len(study.runs()) == COUNTS[name]
    assert len(load_study(name, smoke=True).runs()) == COUNTS[name]
    first_line = (files("fathom") / "studies" / f"{name}.yaml").read_text().partition("\n")[0]
    assert first_line.startswith("# ")


def test_deep_mlp_is_the_published_grid() -> None:
    runs = load_study("deep-mlp").runs()
    assert {run.model.depth for run in runs} == {5, 10, 20, 30, 40, 50}
    assert {run.model.activation[0].label for run in runs} == {"relu", "tanh", "sigmoid", "gelu"}
    assert {run.model.init.name for run in runs} == {
        "he_normal",
        "he_uniform",
        "xavier_normal",
        "xavier_uniform",
        "normal",
        "zero",
        "orthogonal",
        "trunc_normal",
    }
    (run,) = {(r.data, r.train, r.record, r.study_seed, r.seed, r.precision) for r in runs}
    data, train, record, study_seed, seed, precision = run
    assert (data.name, data.scaling, data.protocol, data.limit) == (
        "mnist",
        "unit",
        "test_as_validation",
        None,
    )
    assert (train.epochs, train.batch_size, train.lr, train.optimizer) == (
        50,
        128,
        0.01,
        Choice("sgd"),
    )
    assert (train.patience, train.clip_norm, train.drop_last) == (None, None, False)
    assert (record.weights, study_seed, seed, precision) == ("last", 42, 0, "float32")
    assert {width for r in runs for width in r.model.hidden} == {128}


def test_the_quick_form_differs_in_depths_and_epochs_alone() -> None:
    full, quick = load_study("deep-mlp"), load_study("deep-mlp-quick")
    assert quick.model.depth == (5, 30, 50)
    assert quick.train.epochs == (5,)
    longer = load_study("deep-mlp-quick", sets=["epochs=50", "depth=[5, 10, 20, 30, 40, 50]"])
    assert longer.digest == full.digest


def test_the_truncation_is_torchs_own() -> None:
    init = next(r.model.init for r in load_study("deep-mlp").runs() if "trunc" in r.model.init.name)
    assert dict(init.params)["absolute"] is True


def test_the_factor_of_he_is_swept_around_two() -> None:
    cells = [dict(run.cell)["init"] for run in load_study("he-factor").runs()]
    assert "he_normal(factor=2)" in cells
    assert "he_normal(factor=0.5)" in cells


def test_the_activation_tour_stops_early_on_ten_thousand_samples() -> None:
    run = load_study("activation-tour").runs()[0]
    assert run.model.hidden == (512, 256, 256, 128)
    assert round(60_000 * run.data.validation_share) == 10_000
    assert (run.data.scaling, run.data.protocol) == ("symmetric", "holdout")
    assert (run.train.patience, run.train.batch_size, run.train.drop_last) == (7, 256, True)
    assert run.train.optimizer == Choice("sgd", (("momentum", 0.9),))


def test_relu_has_its_own_initializer_and_rate_in_the_spline_study() -> None:
    runs = load_study("spline-vgp").runs()
    assert {r.model.activation[0].label: (r.model.init.name, r.train.lr) for r in runs} == {
        "relu": ("he_uniform", 1e-3),
        "sigmoid": ("xavier_uniform", 3e-4),
        "spline_sigmoid": ("xavier_uniform", 3e-4),
    }
    assert {run.model.hidden for run in runs} == {(512,) * 16}
    assert {run.train.clip_norm for run in runs} == {10.0}


def test_half_moons_mixes_two_activations_in_one_network() -> None:
    runs = load_study("half-moons").runs()
    mixed = next(run for run in runs if dict(run.cell)["activation"] == "exp+cos")
    assert [choice.name for choice in mixed.model.activation] == ["exp", "cos"]
    assert {run.train.lr for run in runs if dict(run.cell)["activation"] == "exp"} == {0.003}
