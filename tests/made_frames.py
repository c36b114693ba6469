"""Studies made up for tests: plausible numbers without training anything."""

import functools
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from fathom.figures.frames import Frames
from fathom.records import EPOCH_COLUMNS, LAYER_COLUMNS, PREDICTION_COLUMNS, RUN_COLUMNS
from fathom.store.tables import schema
from fathom.surfaces import Surface

_BINS = 4  # of a histogram

INITS = (
    "he_normal",
    "he_uniform",
    "xavier_normal",
    "xavier_uniform",
    "lecun_normal",
    "orthogonal",
    "normal",
    "trunc_normal",
)
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu")
DEPTHS = (5, 10, 20, 30, 40, 50)

# log10 of the factor by which the gradient changes from one layer to the one before it.
_DECADES = {"relu": 0.0, "tanh": -0.02, "sigmoid": -0.6, "gelu": -0.05}


def study(
    *,
    activations: Sequence[str] = ACTIVATIONS,
    inits: Sequence[str] = INITS,
    depths: Sequence[int] = DEPTHS,
    seeds: Sequence[int] = (0,),
    epochs: int = 50,
    odd: bool = True,
    histograms: bool = False,
    observed: bool = False,
) -> Frames:
    """Make a study of all combinations.

    Args:
        activations: Names; unknown ones behave like relu.
        inits: Labels; their place in the list decides how well they train.
        depths: Hidden layers.
        seeds: Replicates.
        epochs: Epochs after the state before training.
        odd: Let some runs diverge, stop early, have zeros, NaN and infinities, or no prediction.
        histograms: Let the runs have histograms, which are made when they are asked for.
        observed: Let the runs have counts of units and decision surfaces.
    """
    cells = list(itertools.product(activations, inits, depths, seeds))
    swept = {"activation": activations, "init": inits, "depth": depths, "seed": seeds}
    runs, epoch_tables, layer_tables, predictions = [], [], [], []
    obstacles: dict[str, str] = {}
    for index, (activation, init, depth, seed) in enumerate(cells):
        decades = _DECADES.get(activation, 0.0) + 0.03 * (inits.index(init) - 2)
        rng = np.random.default_rng(index)
        run_id = hashlib.sha256(f"{activation}|{init}|{depth}|{seed}".encode()).hexdigest()[:16]
        diverges = odd and decades * depth > 5
        stops = odd and index % 17 == 5
        last = max(1, epochs // 3) if diverges or stops else epochs
        runs.append({
            "run_id": run_id,
            "name": f"{activation}-{init}-d{depth}-s{seed}-{run_id[:6]}",
            "outcome": "diverged" if diverges else "stopped_early" if stops else "completed",
            "reason": "loss became nan" if diverges else "no better for 5 epochs" if stops else "",
            "epochs_run": last,
            "diverged_step": 17 * last if diverges else -1,
            "best_epoch": last,
            "num_parameters": 784 * 128 + (depth - 1) * 128 * 129 + 1290,
            "num_features": 784,
            "sample_shape": "28x28",
            "num_classes": 10,
            "num_probes": 256,
            "input_mean_square": 0.101,
            "input_cosine": 0.41,
            "elapsed_s": 0.4 * depth * last / 10 * (1.4 if activation == "tanh" else 1.0),
            "activation": activation,
            "init": init,
            "depth": depth,
            "seed": seed,
        })
        trains = np.exp(-abs(decades * depth) / 4) * (0 if activation == "sigmoid" else 1)
        epoch_tables.append(_epochs(rng, run_id, last, trains, diverges))
        layer_tables.append(_layers(rng, run_id, last, depth, decades, odd and index % 23 == 7))
        if odd and index % 29 == 11:
            obstacles[run_id] = "no mean-field limit: a pole at 0"
        else:
            predictions.append(_prediction(run_id, depth, decades))
    frame = pl.DataFrame(runs, schema_overrides={"depth": pl.Int64, "seed": pl.Int64})
    assert {column.name for column in RUN_COLUMNS} <= set(frame.columns)
    return Frames(
        runs=frame,
        epochs=pl.concat(epoch_tables).select([c.name for c in EPOCH_COLUMNS]),
        layers=pl.concat(layer_tables).select([c.name for c in LAYER_COLUMNS]),
        settings=tuple(name for name, given in swept.items() if len(given) > 1),
        predictions=pl.concat(predictions),
        obstacles=obstacles,
        scores=pl.concat([_scores(rng, run["run_id"]) for run in runs]),
        histograms=pl.defer(
            functools.cache(functools.partial(_histograms, runs if histograms else [], odd)),
            schema=schema("histograms"),
        ),
        units=_units(runs if observed else []).lazy(),
        surfaces=lambda ids: {
            run["run_id"]: _surface(run) for run in runs if observed and run["run_id"] in ids
        },
    )


def _units(runs: list[dict[str, Any]]) -> pl.DataFrame:
    """Four units in each layer, before and after; the first one dies, unless the run diverges."""
    rows = [
        {
            "run_id": run["run_id"],
            "epoch": epoch,
            "layer": layer,
            "place": f"layers.{layer - 1}",
            "unit": unit,
            "state": _state(run["outcome"], epoch, unit),
            **dict.fromkeys(("active_share", "low_share", "high_share"), 0.5),
            "act_min": 0.0,
            "act_max": 1.0,
            "samples": 100,
        }
        for run in runs
        for epoch in (0, run["epochs_run"])
        for layer in range(1, run["depth"] + 1)
        for unit in range(4)
    ]
    return pl.DataFrame(rows, schema=schema("units"))


def _state(outcome: str, epoch: int, unit: int) -> str:
    if epoch and outcome == "diverged":
        return "no number"
    return "dead" if epoch and unit == 0 else "alive"


def _surface(run: dict[str, Any]) -> Surface:
    """Three epochs of a boundary across, which wanders to the right; half is NaN if diverged."""
    epochs = np.array([0, max(1, run["epochs_run"] // 2), max(2, run["epochs_run"])])
    across, up = np.linspace(-1, 1, 8), np.linspace(-0.5, 1, 8)
    lead = 4 * (across - 0.3 * np.arange(3)[:, None] + 0.3)  # of class 1
    odds = np.tile(-lead[:, None, :, None], (1, 8, 1, 1)).astype(np.float32)
    if run["outcome"] == "diverged":
        odds[-1, 4:] = np.nan
    points = np.stack([across, up], 1)
    labels = np.arange(8) % 2
    return Surface(
        run_id=run["run_id"],
        epochs=epochs,
        across=across,
        up=up,
        log_odds=odds,
        points=points,
        labels=labels,
    )


def _histograms(runs: list[dict[str, Any]], odd: bool) -> pl.DataFrame:
    """Normal values, narrower from layer to layer; of odd runs the first layer has one value only.

    The output layer has no activation, and a run that diverged no last gradient.
    """
    tables = [pl.DataFrame(schema=schema("histograms"))]
    for index, run in enumerate(runs):
        for quantity in ("activation", "grad_weight", "pre_activation"):
            layers = run["depth"] + (quantity != "activation")
            shape = (run["epochs_run"] + 1, layers, _BINS)
            width = 0.8 ** np.arange(layers)[:, None] * (1e-3 if quantity == "grad_weight" else 2)
            edges = width * np.linspace(-3, 3, _BINS + 1)
            counts = np.broadcast_to(np.diff([0, 10, 60, 90, 100]), shape).copy()
            if odd and index % 5 == 1:
                edges[0] = 0.25
            edges = np.broadcast_to(edges, (*shape[:2], _BINS + 1)).copy()
            if run["outcome"] == "diverged":
                edges[-1], counts[-1] = np.nan, 0
            epoch, layer, place = np.indices(shape)
            columns = {"epoch": epoch, "layer": layer + 1, "bin": place, "count": counts}
            columns |= {"low": edges[..., :-1], "high": edges[..., 1:]}
            table = pl.DataFrame({name: column.ravel() for name, column in columns.items()})
            keys = {"run_id": run["run_id"], "quantity": quantity}
            tables.append(table.with_columns(**{k: pl.lit(v) for k, v in keys.items()}))
    return pl.concat([table.select(schema("histograms").names()) for table in tables])


def _scores(rng: np.random.Generator, run_id: str) -> pl.DataFrame:
    """Forty samples of four classes; the right one is a little more likely."""
    labels = np.eye(4, dtype=np.int64)[np.arange(40) % 4]
    return pl.DataFrame({
        "run_id": [run_id] * 160,
        "sample": np.repeat(np.arange(40), 4),
        "class": np.tile(np.arange(4), 40),
        "class_name": ["coat", "shirt", "boot", "bag"] * 40,
        "label": labels.ravel(),
        "multi_label": np.zeros(160, dtype=np.int64),
        "logit": (2 * labels + rng.normal(size=(40, 4))).ravel(),
    })


def _prediction(run_id: str, depth: int, decades: float) -> pl.DataFrame:
    layer = np.arange(1, depth + 1)
    table = {
        "run_id": [run_id] * depth,
        "layer": layer,
        "pre_log10": np.log10(0.8) + 0.1 * decades * (layer - 1),
        "pre_log10_sd": 0.01 * np.sqrt(layer),
        "gradient_log10": decades * (depth - layer),
        "gradient_log10_sd": 0.06 * np.sqrt(depth - layer),
        "pre_cosine": 1 - 0.6 * 0.97**layer,
        "dead_share": np.full(depth, 0.01),
        "saturated_share": np.full(depth, np.nan),
    }
    return pl.DataFrame(table).select([c.name for c in PREDICTION_COLUMNS])


def _epochs(
    rng: np.random.Generator, run_id: str, last: int, trains: float, diverges: bool
) -> pl.DataFrame:
    epoch = np.arange(last + 1)
    progress = trains * (1 - np.exp(-epoch / 6))
    accuracy = np.clip(0.1135 + 0.87 * progress + 0.004 * rng.normal(size=last + 1), 0, 1)
    loss = 2.3026 * np.exp(-3.5 * progress) * np.exp(0.02 * rng.normal(size=last + 1))
    if diverges:
        loss[-2:] = 1e9, np.nan
    return pl.DataFrame({
        "run_id": [run_id] * (last + 1),
        "epoch": epoch,
        "lr": np.full(last + 1, 0.01),
        "train_loss": loss,
        "train_accuracy": accuracy,
        "validation_loss": loss * 1.1,
        "validation_accuracy": accuracy * 0.985,
        "test_loss": loss * 1.12,
        "test_accuracy": np.round(accuracy * 0.98, 4),
        "epoch_time_s": np.full(last + 1, 0.5),
    })


def _layers(
    rng: np.random.Generator, run_id: str, last: int, depth: int, decades: float, spoil: bool
) -> pl.DataFrame:
    epochs, layers = last + 1, depth + 1
    layer = np.arange(1, layers + 1)
    drift = np.cumsum(0.05 * rng.normal(size=(epochs, layers)), axis=0)
    log_grad = -1 + decades * (layers - layer) * np.exp(-np.arange(epochs)[:, None] / 40) + drift
    grad = 10**log_grad
    if spoil:
        grad[:, 0] = 0.0
        grad[-1, 1] = np.nan
        grad[-1, 2:3] = np.inf
    noise = 1 + 0.03 * rng.normal(size=(epochs, layers))
    hidden = layer < layers
    table = {
        "run_id": np.repeat(run_id, epochs * layers),
        "epoch": np.repeat(np.arange(epochs), layers),
        "layer": np.tile(layer, epochs),
        "act_mean": np.where(hidden, 0.4 * noise, np.nan).ravel(),
        "act_std": np.where(hidden, 0.6 * 10 ** (0.3 * decades * layer) * noise, np.nan).ravel(),
        "grad_norm": grad.ravel(),
        "grad_mean_abs": (grad * noise / 180).ravel(),
        "grad_pre_rms": (grad / 11).ravel(),
        "pre_rms": (0.8 * 10 ** (0.1 * decades * (layer - 1)) * noise).ravel(),
        "pre_cosine": np.clip(1 - 0.6 * 0.97**layer * noise, -1, 1).ravel(),
        "update_ratio": np.where(np.arange(epochs)[:, None] > 0, 1e-3 * noise, np.nan).ravel(),
        "dead_share": np.where(hidden, 0.02 * np.ones((epochs, 1)), np.nan).ravel(),
        "saturated_share": np.full(epochs * layers, np.nan),
    }
    others = {c.name: np.full(epochs * layers, 0.5) for c in LAYER_COLUMNS if c.name not in table}
    return pl.DataFrame(table | others)


def small() -> Frames:
    """Make two activations, two initializers, two depths: eight runs of four epochs."""
    inits = ("he_normal", "xavier_normal")
    return study(
        activations=("relu", "tanh"), inits=inits, depths=(2, 4), epochs=4, histograms=True
    )
