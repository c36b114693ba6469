"""Grouping runs into cohorts, and what a plan says about them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fathom import costs
from fathom.costs import LARGEST_COHORT, cohort_size, product_rate
from fathom.data.config import DataConfig
from fathom.data.datasets import Sizes
from fathom.errors import FathomError
from fathom.models.build import count_network
from fathom.plan import make_plan
from fathom.registry import Choice
from fathom.spec.grid import Run, cohort_id

RATE = 1e9  # a round speed, so that times can be worked out by hand


def sizes(config: DataConfig) -> Sizes:
    assert config.name == "digits"
    return Sizes(
        num_features=64,
        sample_shape=(64,),
        num_classes=10,
        num_train=1000,
        num_validation=200,
        num_test=300,
        item_size=1,
    )


def test_every_run_is_in_exactly_one_cohort(make_run: Callable[..., Run]) -> None:
    runs = [
        make_run(activation=phi, seed=seed, hidden=(16,) * depth)
        for phi in ("relu", "tanh")
        for seed in range(25)
        for depth in (2, 3)
    ]
    made = make_plan(runs, sizes, workers=2, rate=RATE)
    planned = [run.id for cohort in made.cohorts for run in cohort.runs]
    assert sorted(planned) == sorted(run.id for run in runs)
    assert made.num_runs == 100
    assert all(2 <= len(cohort.runs) <= LARGEST_COHORT for cohort in made.cohorts)
    assert all(len({run.model.hidden for run in c.runs}) == 1 for c in made.cohorts)


def test_what_differs_in_program_is_not_stacked(make_run: Callable[..., Run]) -> None:
    base = make_run()
    others = [
        make_run(batch_size=64),
        make_run(epochs=3),
        make_run(optimizer="adam"),
        make_run(optimizer={"name": "sgd", "momentum": 0.9}),
        make_run(clip_norm=1.0),
        make_run(patience=2),
        make_run(hidden=(12, 11)),
        make_run(norm="layer_norm"),
        make_run(norm="batch_norm"),
        make_run(skip="residual"),
        make_run(precision="float64"),
        make_run(engine="single"),
        make_run(data=replace(base.data, scaling="standard")),
    ]
    assert len(make_plan([base, *others], sizes, rate=RATE).cohorts) == 1 + len(others)


def test_what_differs_in_numbers_is_stacked(make_run: Callable[..., Run]) -> None:
    runs = [
        make_run(),
        make_run(activation="tanh"),
        make_run(init="orthogonal"),
        make_run(loss="mse"),
        make_run(lr=0.3),
        make_run(seed=5),
        make_run(schedule={"name": "cosine", "warmup_epochs": 1.0}),
    ]
    assert len(make_plan(runs, sizes, rate=RATE).cohorts) == 1


def test_equal_activations_are_neighbours(make_run: Callable[..., Run]) -> None:
    runs = [make_run(activation=("relu", "tanh")[i % 2], seed=i) for i in range(10)]
    (cohort,) = make_plan(runs, sizes, rate=RATE).cohorts
    names = [run.model.activation[0].name for run in cohort.runs]
    assert names == sorted(names)


def test_the_id_does_not_depend_on_the_order(make_run: Callable[..., Run]) -> None:
    runs = [make_run(seed=seed) for seed in range(3)]
    assert cohort_id(runs) == cohort_id(runs[::-1])
    assert cohort_id(runs) != cohort_id(runs[:2])


def test_operations_and_time_by_hand(make_run: Callable[..., Run]) -> None:
    """64-12-10-10: 768 + 120 + 100 products a sample, the first without an input gradient."""
    runs = [make_run(seed=seed, epochs=4) for seed in range(2)]
    (cohort,) = make_plan(runs, sizes, rate=RATE).cohorts
    products = 64 * 12 + 12 * 10 + 10 * 10
    training = 1000 * (6 * products - 2 * 64 * 12)
    measuring = 500 * 2 * products + 64 * 6 * products
    assert cohort.flops == 2 * (training + measuring)
    layer_steps = 3 * (32 + 500 / 256 / 3)  # evaluation is a third of a step
    overhead = layer_steps * costs.LAYER_STEP_S + 3 * costs.LAYER_PROBE_S
    epoch_s = cohort.flops / (costs.EXPECTED_SHARE * RATE) + overhead
    assert cohort.estimated_s == pytest.approx(4 * epoch_s)


def test_two_workers_share_the_time(make_run: Callable[..., Run]) -> None:
    runs = [make_run(seed=seed) for seed in range(4)]
    one, two = (make_plan(runs, sizes, workers=w, rate=RATE) for w in (1, 2))
    assert len(one.cohorts) == 1
    assert len(two.cohorts) == 2
    assert two.estimated_s < one.estimated_s


def test_the_speed_of_a_product_is_measured() -> None:
    assert 1e8 < product_rate() < 1e13


def test_a_batch_size_that_leaves_no_batch_is_found_before_training(
    make_run: Callable[..., Run],
) -> None:
    runs = [make_run(), make_run(batch_size=5000, drop_last=True)]
    with pytest.raises(
        FathomError, match=r"train\.batch_size: 5000 is more than the 1000 training"
    ):
        make_plan(runs, sizes, rate=RATE)


def test_a_batch_of_one_that_cannot_be_normalised_is_found_before_training(
    make_run: Callable[..., Run],
) -> None:
    """1000 samples are three batches of 333 and one sample."""
    with pytest.raises(FathomError, match=r"a batch of one of the 1000 .* batch_norm needs two"):
        make_plan([make_run(norm="batch_norm", batch_size=333)], sizes, rate=RATE)
    make_plan([make_run(norm="layer_norm", batch_size=333)], sizes, rate=RATE)


def test_earlier_groups_are_kept_whatever_the_number_of_workers(
    make_run: Callable[..., Run],
) -> None:
    runs = [make_run(seed=seed) for seed in range(8)]
    one, two = (make_plan(runs, sizes, workers=w, rate=RATE) for w in (1, 2))
    grouping = [[run.id for run in cohort.runs] for cohort in one.cohorts]
    again = make_plan(runs, sizes, workers=2, rate=RATE, grouping=grouping)
    assert again.cohorts == one.cohorts != two.cohorts


def test_what_earlier_groups_do_not_tell_is_grouped_as_usual(make_run: Callable[..., Run]) -> None:
    """Unknown ids, a run in two groups, and a group that no program can train."""
    runs = [make_run(seed=seed) for seed in range(4)]
    other = make_run(hidden=(5,))
    a, b, c, d = (run.id for run in runs)
    grouping = [[a, b, "gone"], [b, c], [other.id, d], ["gone"]]
    made = make_plan([*runs, other], sizes, rate=RATE, grouping=grouping)
    groups = {tuple(sorted(run.id for run in cohort.runs)) for cohort in made.cohorts}
    assert groups == {tuple(sorted((a, b))), (c,), (d,), (other.id,)}


def test_cohorts_shrink_with_what_a_step_touches(make_run: Callable[..., Run]) -> None:
    def size(**given: object) -> int:
        return cohort_size([make_run(batch_size=128, **given)], 784, 10)

    deep = {"hidden": (128,) * 50}
    assert size() == LARGEST_COHORT
    assert 2 <= size(**deep) < size(hidden=(128,) * 20) < size(hidden=(128,) * 5)
    # By hand: 784-128x5-10 has 167,818 parameters and 5 x 128 x 128 activations, 4 bytes each.
    assert size(hidden=(128,) * 5) == costs.CACHE_BUDGET // (4 * (167_818 + 81_920))
    assert size(hidden=(128,) * 5, activation="gelu") < size(hidden=(128,) * 5)
    # With both remedies every unit keeps three numbers for backward, and two more are trained.
    numbers = 167_818 + 5 * 2 * 128 + 3 * 81_920
    remedies = {"norm": "batch_norm", "skip": "residual"}
    assert size(hidden=(128,) * 5, **remedies) == costs.CACHE_BUDGET // (4 * numbers)
    assert size(hidden=(128,) * 5, optimizer="adam") < size(hidden=(128,) * 5)
    assert size(**deep, precision="float64") == 2


def test_a_gpu_takes_as_many_runs_as_its_memory_holds(make_run: Callable[..., Run]) -> None:
    runs = [make_run(hidden=(128,) * 50, seed=seed) for seed in range(48)]
    cpu = make_plan(runs, sizes, rate=RATE)
    small = make_plan(runs, sizes, rate=RATE, device_bytes=2**30)
    large = make_plan(runs, sizes, rate=RATE, device_bytes=80 * 2**30)
    assert len(large.cohorts) == 1
    assert 1 < len(small.cohorts) < len(cpu.cohorts)
    for cohort in small.cohorts:
        assert cohort.memory_mb - costs.PROCESS_BYTES / 2**20 < 2**10


def image_run(make_run: Callable[..., Run], name: str, **given: object) -> Run:
    """Make a run of an image network in the single engine."""
    settings: dict[str, Any] = {"engine": "single", "batch_size": 128, "optimizer": "adam"}
    run = make_run(**(settings | given))
    phi = run.model.activation[:1]
    return replace(run, model=replace(run.model, name=Choice(name), hidden=(), activation=phi))


def digits_of_mnist(num: int, num_measured: int) -> Sizes:
    return Sizes(
        num_features=784,
        sample_shape=(28, 28),
        num_classes=10,
        num_train=num,
        num_validation=num_measured,
        num_test=num_measured,
        item_size=1,
    )


def test_a_plan_counts_a_network(make_run: Callable[..., Run]) -> None:
    (cohort,) = make_plan([make_run()], sizes, rate=RATE).cohorts
    weights = 64 * 12 + 12 * 10 + 10 * 10
    assert cohort.network.parameters == weights + 12 + 10 + 10
    assert cohort.network.flops == 2 * weights
    assert cohort.network.activation_mb == 4 * 32 * (64 + 12 + 10) / 2**20


def test_what_is_unlikely_to_be_meant_is_said_once(make_run: Callable[..., Run]) -> None:
    runs = [image_run(make_run, name, seed=seed) for name in ("lenet", "vit") for seed in range(2)]
    made = make_plan(runs, lambda config: digits_of_mnist(100, 10), rate=RATE)
    (warning,) = made.warnings
    assert warning.startswith("vit: each head has width / heads = 16 numbers")
    assert make_plan([make_run()], sizes, rate=RATE).warnings == ()


def test_time_of_an_image_network_by_hand(make_run: Callable[..., Run]) -> None:
    """Products at the usual share of the peak, and a time for each number that is kept."""
    run = image_run(make_run, "lenet")
    known = digits_of_mnist(1280, 300)
    counts = count_network(run.model, (28, 28), 10)
    products = costs.epoch_flops(run, known) / (costs.EXPECTED_SHARE * RATE)
    kept = costs.NUMBER_S * counts.activation_numbers * (1280 + 600 / 3)
    layers = 5 * ((10 + 600 / 256 / 3) * costs.LAYER_STEP_S + costs.LAYER_PROBE_S)
    assert costs.epoch_seconds([run], known, RATE) == pytest.approx(products + kept + layers)


# What workers held at their peak on MNIST in MiB, see docs/benchmarks.md: network, batch, probe
# batch, samples of a part.
@pytest.mark.parametrize(
    ("name", "batch_size", "probe_size", "num", "peak_mb"),
    [
        ("lenet", 128, 64, 2000, 423),
        ("lenet", 1024, 8, 2000, 568),
        ("vit", 128, 64, 1000, 596),
        ("vit", 16, 8, 600, 533),
        ("vit", 512, 8, 1000, 829),
        ("resnet18", 64, 64, 200, 1764),
        ("resnet18", 128, 32, 200, 1801),
        ("vgg11", 64, 64, 200, 1117),
    ],
)
def test_memory_is_within_a_fifth_of_what_was_held(
    make_run: Callable[..., Run],
    name: str,
    batch_size: int,
    probe_size: int,
    num: int,
    peak_mb: float,
) -> None:
    run = image_run(make_run, name, batch_size=batch_size)
    run = replace(run, record=replace(run.record, probe_size=probe_size))
    planned = costs.memory_bytes([run], digits_of_mnist(num, num)) / 2**20
    assert abs(planned / peak_mb - 1) < 0.2
