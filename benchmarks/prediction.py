"""How long a prediction takes: one network of 50 layers, and the 192 cells of study 001.

    python -m benchmarks.prediction

Every activation is met for the first time, as a command meets it: finding its kinks and panels
counts. Times are of one thread; only their order of magnitude means anything.
"""

import statistics
import time

import torch

from fathom.activations import ACTIVATIONS
from fathom.data.inputs import InputStatistics
from fathom.prediction import predict_model
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig
from fathom.spec.load import load_study

DEPTH, WIDTH, NUM_FEATURES, NUM_PROBES = 50, 128, 784, 256
INPUTS = InputStatistics(1.0, 0.4)


def main() -> None:
    """Print the median and the longest time of a network, and the time of a whole study."""
    torch.set_num_threads(1)
    models = {name: _model(name) for name in ACTIVATIONS.names()}
    _seconds(models.pop("identity"))  # what is imported late is imported now
    times = {name: _seconds(model) for name, model in models.items()}
    slowest = max(times, key=times.__getitem__)
    median = statistics.median(times.values())
    print(
        f"one network of {DEPTH} layers, {len(times)} activations: median {1e3 * median:.0f} ms, "
        f"longest {1e3 * times[slowest]:.0f} ms ({slowest})"
    )
    predict_model.cache_clear()
    cells = [run.model for run in load_study("deep-mlp").runs()]
    print(f"{len(cells)} cells of deep-mlp: {sum(map(_seconds, cells)):.2f} s")


def _model(activation: str) -> ModelConfig:
    return ModelConfig(
        name=Choice("mlp"),
        hidden=(WIDTH,) * DEPTH,
        activation=(Choice(activation),) * DEPTH,
        init=Choice("xavier_normal"),
    )


def _seconds(model: ModelConfig) -> float:
    start = time.perf_counter()
    predict_model(model, NUM_FEATURES, INPUTS, NUM_PROBES)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
