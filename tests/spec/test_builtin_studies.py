"""The built-in studies are what they say they reproduce."""

from importlib.resources import files

import numpy as np
import pytest

from fathom.data.splits import prepare
from fathom.engine.run import train_cohort
from fathom.engine.tables import CohortResult
from fathom.losses import LOSSES, gradient_scale
from fathom.registry import Choice
from fathom.spec.grid import Run
from fathom.spec.load import builtin_studies, load_study

COUNTS = {
    "activation-tour": 6 + 1,
    "classics": 5,
    "deep-mlp": 4 * 8 * 6,
    "deep-mlp-quick": 4 * 8 * 3,
    "digits": 4 * 2 * 4,
    "half-moon": 12 * 10,
    "he-factor": 7 * 6,
    "layer-mixes": 5 * 2,
    "loss-depth": 2 * 4,
    "loss-duel": 3 * 4 * 2 * 2,
    "loss-duel-fair": 3 * 4 * 2,
    "loss-grid": 2 * 6 * 4,
    "numpy-mnist": 2 * 3 * 2,
    "numpy-moons": 3 * 3,
    "selu-overflow": 2 * 2 * 4,
    "sigmoid-depths": 4 * 5 * 3,
    "spline-vgp": 3 * 3,
    "tiny-voc": 4,
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
    study = load_study("activation-tour")
    deep = (256,) * 5 + (128,) * 5
    by_width = [(run.model.activation[0].name, run.model.hidden) for run in study.runs()]
    assert [pair for pair in by_width if pair[1] == deep] == [("relu", deep)]
    assert {hidden for _, hidden in by_width} == {(512, 256, 256, 128), deep}
    assert {run.record.units for run in study.runs()} == {"ends"}
    run = study.runs()[0]
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


def test_half_moon_mixes_two_activations_in_one_network() -> None:
    runs = load_study("half-moon").runs()
    mixed = next(run for run in runs if dict(run.cell)["activation"] == "exp+cos")
    assert [choice.name for choice in mixed.model.activation] == ["exp", "cos"]
    rates = {dict(run.cell)["activation"]: run.train.lr for run in runs}
    assert {name for name, lr in rates.items() if lr != 0.01} == {"sigmoid"}
    assert {run.record.surfaces for run in runs} == {25}
    permuted = next(run for run in runs if dict(run.cell)["activation"] == "identity+permute")
    assert [choice.name for choice in permuted.model.activation] == ["identity", "permute"]


# The losses' studies ----------------------------------------------------------------------------


def train_on_digits(name: str, *sets: str) -> tuple[tuple[Run, ...], CohortResult]:
    """Train a study on the small digits instead of MNIST."""
    runs = load_study(name, sets=["data.name=digits", *sets]).runs()
    return runs, train_cohort(runs, prepare(runs[0].data))


def sgd_numbers(run: Run) -> tuple[float, float]:
    """Return the rate and the weight decay."""
    return run.train.lr, float(dict(run.train.optimizer.params)["weight_decay"])


def test_the_duel_reads_the_published_rate_in_two_ways() -> None:
    lr, decay, batch = 1e-5, 0.1, 100
    runs = load_study("loss-duel").runs()
    assert {run.train.batch_size for run in runs} == {batch}
    found = sorted({sgd_numbers(run) for run in runs})
    np.testing.assert_allclose(found, [(lr, decay), (lr * batch, decay / batch)], rtol=1e-12)
    assert {run.loss for run in runs} == {
        Choice("kl"),
        Choice("cross_entropy"),
        Choice("hinge", (("margin", 5.0),)),
        Choice("focal", (("alpha", 0.1),)),  # gamma 2 is the default
    }


def test_the_fair_duel_divides_each_rate_by_the_gradients_scale() -> None:
    runs = load_study("loss-duel-fair").runs()
    base = gradient_scale(LOSSES.build(Choice("cross_entropy")), 10)
    for run in runs:
        written = float(dict(run.cell)["train.lr"])
        assert written == run.train.lr  # what tables show is the rate itself
    by_loss: dict[Choice, set[tuple[float, float]]] = {}
    for run in runs:
        by_loss.setdefault(run.loss, set()).add(sgd_numbers(run))
    assert len(by_loss) == 4
    for loss, numbers in by_loss.items():
        ratio = gradient_scale(LOSSES.build(loss), 10) / base
        wanted = [(lr / ratio, 1e-3 * ratio) for lr in (1e-3, 1e-2)]
        np.testing.assert_allclose(sorted(numbers), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "lr", "hinge", "focal"),
    [
        ("loss-duel-fair", (1e-3, 1e-4, 8.16683e-3), 1.0, 1.0),
        ("loss-duel", (1e-3,) * 3, 10, 0.12245),
    ],
)
def test_first_steps_are_of_one_length_in_the_fair_duel_alone(
    name: str, lr: tuple[float, ...], hinge: float, focal: float
) -> None:
    """One step from logits that say nearly nothing, where each class has 1/10 within a percent."""
    runs, result = train_on_digits(
        name, "data.limit=100", "train.epochs=1", "model.hidden=[[128]]", "activation=tanh"
    )
    after = (result.layers["epoch"] == 1) & (result.layers["layer"] == 2)
    ratios = result.layers["update_ratio"][after].tolist()
    steps = dict(zip(result.layers["run_id"][after].tolist(), ratios, strict=True))
    length = {(run.loss.name, run.train.lr): steps[run.id] for run in runs}
    rates = dict(zip(("cross_entropy", "hinge", "focal"), lr, strict=True))
    found = {
        loss: length[loss, rate] / length["cross_entropy", 1e-3] for loss, rate in rates.items()
    }
    assert found == pytest.approx({"cross_entropy": 1, "hinge": hinge, "focal": focal}, rel=0.02)


def test_kl_with_one_hot_targets_ties_with_cross_entropy() -> None:
    """Equal in every bit: what two such rows of a table differ by is noise."""
    runs, result = train_on_digits("loss-duel-fair", "train.epochs=2")
    losses = {run.id: run.loss.name for run in runs}
    names = np.array([losses[run_id] for run_id in result.epochs["run_id"]])
    for column in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        kl, ce = (result.epochs[column][names == name] for name in ("kl", "cross_entropy"))
        assert len(kl) == 6 * (1 + 2)
        np.testing.assert_array_equal(kl, ce)


def test_depths_are_counted_with_the_output_layer() -> None:
    runs = load_study("loss-depth").runs()
    assert {run.model.depth + 1 for run in runs} == {2, 4, 8, 16}
    assert {run.loss for run in runs} == {Choice("hinge", (("margin", 5.0),))}


def test_the_net_after_alexnet_has_its_own_shape_and_weights() -> None:
    runs = load_study("layer-mixes").runs()
    kinds = {
        tuple(choice.name for choice in run.model.activation): (run.model.hidden, run.model.init)
        for run in runs
    }
    shape, init = kinds.pop(("tanh", "selu", "tanh"))
    assert (shape, init) == ((512, 256, 128), Choice("normal", (("std", 0.005),)))
    assert {hidden for hidden, _ in kinds.values()} == {(438, 245, 137, 77)}
    assert {kind.count("selu") for kind in kinds} == {0, 2, 4}


def test_a_rate_that_is_too_large_is_recorded_as_divergence() -> None:
    runs, result = train_on_digits("selu-overflow", "activation=selu", "train.lr=[1e-3, 1e3]")
    outcomes = dict(zip(result.runs["run_id"], result.runs["outcome"], strict=True))
    for run in runs:
        assert outcomes[run.id] == ("completed" if run.train.lr < 1 else "diverged")
    assert {run.model.hidden for run in load_study("selu-overflow").runs()} == {(256, 128)}


def test_numpy_mnist_has_the_published_settings() -> None:
    runs = load_study("numpy-mnist").runs()
    assert {(run.model.hidden, run.train.epochs, run.train.lr) for run in runs} == {
        ((1024,), 400, 0.2)
    }
    assert {sgd_numbers(run) for run in runs} == {(0.2, 0.01)}
    assert {run.train.schedule.name for run in runs} == {"cosine", "exponential"}
    assert Choice("hinge") in {run.loss for run in runs}  # margin 1 is the default


@pytest.mark.slow
def test_numpy_moons_takes_one_step_an_epoch_and_learns() -> None:
    runs = load_study("numpy-moons", sets=["activation=relu", "train.epochs=1000"]).runs()
    data = prepare(runs[0].data)
    assert {run.train.batch_size for run in runs} == {len(data.train.targets)}
    result = train_cohort(runs, data)
    final = result.epochs["test_accuracy"][result.epochs["epoch"] == 1000]
    assert len(final) == 3
    assert np.median(final) > 0.9  # a line reaches 0.88
