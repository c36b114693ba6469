"""Train 64-32-10 on ten clouds of points and print the loss: `python -m fathom.reference`."""

from functools import partial

import numpy as np

from fathom.reference.activations import activation
from fathom.reference.network import he_weights, multilayer_perceptron
from fathom.reference.optimizers import sgd
from fathom.reference.schedules import cosine
from fathom.reference.train import Epoch, Samples, train

NUM_TRAIN, NUM_TEST, BATCH_SIZE, EPOCHS = 2000, 1000, 50, 10
NUM_FEATURES, HIDDEN, NUM_CLASSES = 64, 32, 10


def clouds(generator: np.random.Generator) -> tuple[Samples, Samples]:
    """Draw points around one random centre for each class: training set and test set."""
    centres = 0.35 * generator.normal(size=(NUM_CLASSES, NUM_FEATURES))
    target = generator.integers(0, NUM_CLASSES, NUM_TRAIN + NUM_TEST)
    inputs = centres[target] + generator.normal(size=(len(target), NUM_FEATURES))
    return (
        Samples(inputs[:NUM_TRAIN], target[:NUM_TRAIN]),
        Samples(inputs[NUM_TRAIN:], target[NUM_TRAIN:]),
    )


def run_example(seed: int = 0) -> list[Epoch]:
    """Train on fresh clouds and return what each epoch told."""
    generator = np.random.default_rng(seed)
    train_set, test_set = clouds(generator)
    weights = he_weights([NUM_FEATURES, HIDDEN, NUM_CLASSES], generator)
    orders = [
        np.split(generator.permutation(NUM_TRAIN), NUM_TRAIN // BATCH_SIZE) for _ in range(EPOCHS)
    ]
    return train(
        multilayer_perceptron(weights, [activation("relu")]),
        train_set,
        test_set,
        orders,
        lr=0.1,
        update=partial(sgd, momentum=0.9),
        schedule=partial(cosine, warmup_epochs=1.0),
        probe=Samples(train_set.inputs[:256], train_set.target[:256]),
    )


def main() -> None:
    """Print a line for each epoch."""
    print("epoch   train loss   accuracy    test loss   accuracy   |dL/dW| of each layer")
    for number, epoch in enumerate(run_example(), 1):
        norms = "  ".join(f"{norm:.4f}" for norm in epoch.grad_norms)
        scores = "   ".join(
            f"{score.loss:10.4f}   {score.accuracy:8.1%}" for score in (epoch.train, epoch.test)
        )
        print(f"{number:5}   {scores}   {norms}")


if __name__ == "__main__":
    main()
