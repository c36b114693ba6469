"""The input never starves training: making a batch ready is much faster than LeNet's step."""

from benchmarks.batches import ENOUGH, SAMPLE_SHAPE, lenet, measure, random_images


def test_a_batch_is_ready_long_before_the_step_on_it() -> None:
    pace = measure(random_images(2_000), rounds=15)
    assert pace.ratio >= ENOUGH == 5.0


def test_the_images_are_like_those_of_cifar_10() -> None:
    assert random_images(10).shape == (10, 3072)
    assert SAMPLE_SHAPE == (3, 32, 32)
    # Weights and biases of the two convolutions and the three products.
    expected = 6 * 76 + 16 * 151 + 120 * 401 + 84 * 121 + 10 * 85
    assert sum(p.numel() for p in lenet().parameters()) == expected
