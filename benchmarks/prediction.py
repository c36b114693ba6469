"""How long a prediction takes: one network of 50 layers, and the 192 cells of deep-mlp.

    python -m benchmarks.prediction

Networks that the expansion in 1/n can tell and those that are simulated are timed apart. Each
initializer has a process of its own, so that every activation is met for the first time, as a
command meets it: finding its kinks and panels counts. Times are of one thread's processor, so that
others who wait for it do not count; on an idle machine they are what a clock shows.
"""

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from fathom.activations import ACTIVATIONS
from fathom.data.inputs import InputStatistics
from fathom.prediction import predict_model
from fathom.registry import Choice
from fathom.spec.grid import ModelConfig
from fathom.spec.load import load_study

DEPTH, WIDTH, NUM_FEATURES, NUM_PROBES = 50, 128, 784, 256
INPUTS = InputStatistics(1.0, 0.4)
INITS = ("xavier_normal", "he_normal")


class Timed(NamedTuple):
    """One network: what it was, how long its prediction took, and whether it was simulated."""

    name: str
    elapsed_s: float
    simulated: bool


def main() -> None:
    """Print the median and the longest time of a network, and the time of a whole study."""
    timed = [one for init in INITS for one in _in_own_process(init)]
    for simulated, how in ((False, "not simulated"), (True, "simulated")):
        chosen = [one for one in timed if one.simulated is simulated]
        median = statistics.median(one.elapsed_s for one in chosen)
        slowest = max(chosen, key=lambda one: one.elapsed_s)
        print(
            f"one network of {DEPTH} layers, {len(chosen)} {how}: median {1e3 * median:.0f} ms, "
            f"longest {1e3 * slowest.elapsed_s:.0f} ms ({slowest.name})"
        )
    cells = [run.model for run in load_study("deep-mlp").runs()]
    print(f"{len(cells)} cells of deep-mlp: {sum(map(_seconds, cells)):.2f} s")


def _in_own_process(init: str) -> list[Timed]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(time_activations, init).result()


def time_activations(init: str) -> list[Timed]:
    """Predict a network of every activation.

    Args:
        init: Name of the initializer.
    """
    # What is imported late is imported now; softplus with He's weights is simulated.
    for model in (_model("identity", init), _model("softplus", "he_normal")):
        _seconds(model)
    models = {name: _model(name, init) for name in ACTIVATIONS.names() if name != "identity"}
    return [
        Timed(f"{name}, {init}", _seconds(model), _is_simulated(model))
        for name, model in models.items()
    ]


def _model(activation: str, init: str) -> ModelConfig:
    return ModelConfig(
        name=Choice("mlp"),
        hidden=(WIDTH,) * DEPTH,
        activation=(Choice(activation),) * DEPTH,
        init=Choice(init),
    )


def _seconds(model: ModelConfig) -> float:
    start = time.process_time()
    predict_model(model, NUM_FEATURES, INPUTS, NUM_PROBES)
    return time.process_time() - start


def _is_simulated(model: ModelConfig) -> bool:
    return predict_model(model, NUM_FEATURES, INPUTS, NUM_PROBES).method == "simulation"


if __name__ == "__main__":
    main()
