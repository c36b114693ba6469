"""Every recorded number against its definition on tensors small enough to check."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fathom.activations import ACTIVATIONS
from fathom.data.splits import prepare
from fathom.engine.base import Engine
from fathom.engine.probes import (
    HISTOGRAM_BINS,
    LayerView,
    histograms,
    measure_layer,
    relative_change,
)
from fathom.engine.reference import ReferenceEngine
from fathom.engine.single import SingleEngine
from fathom.engine.stacked import StackedEngine
from fathom.records import LAYER_COLUMNS
from fathom.registry import Choice
from fathom.spec.grid import Run


def view_of(pre: torch.Tensor, name: str = "relu", **given: torch.Tensor) -> LayerView:
    phi = ACTIVATIONS.build(Choice(name))
    defaults = {
        "act": phi.value(pre),
        "slope": phi.slope(pre),
        "saturation_slope": torch.full((pre.shape[0],), phi.saturation_slope, dtype=torch.float64),
        "grad_pre": torch.ones_like(pre),
        "grad_weight": torch.ones(pre.shape[0], 2, pre.shape[1]),
        "weight": torch.ones(pre.shape[0], 2, pre.shape[1]),
    }
    return LayerView(pre=pre, **(defaults | given))


def test_every_layer_column_is_measured() -> None:
    columns = measure_layer(view_of(torch.randn(2, 8, 3)))
    recorded = {c.name for c in LAYER_COLUMNS} - {"run_id", "epoch", "layer", "update_ratio"}
    assert set(columns) == recorded
    assert all(c.shape == (2,) and c.dtype == torch.float64 for c in columns.values())


def test_closed_forms() -> None:
    pre = torch.tensor([[[3.0, -4.0]], [[1.0, 1.0]]])
    grad = torch.tensor([[[3.0, 0.0], [0.0, -4.0]], [[1.0, 1.0], [1.0, 1.0]]])
    got = measure_layer(view_of(pre, grad_weight=grad))
    assert got["pre_mean"].tolist() == [-0.5, 1.0]
    assert got["pre_rms"].tolist() == [math.sqrt(12.5), 1.0]
    assert got["pre_std"].tolist() == [3.5, 0.0]
    assert got["act_mean"].tolist() == [1.5, 1.0]
    assert got["grad_norm"].tolist() == [5.0, 2.0]
    assert got["grad_mean_abs"].tolist() == [1.75, 1.0]
    assert got["grad_pre_rms"].tolist() == [1.0, 1.0]


def test_norms_survive_where_float32_squares_underflow() -> None:
    tiny = torch.full((1, 4, 4), 1e-30)
    got = measure_layer(view_of(torch.ones(1, 2, 4), grad_weight=tiny))
    assert got["grad_norm"].item() == pytest.approx(4e-30, rel=1e-6)


def test_planted_dead_units_are_counted_and_healthy_ones_are_not() -> None:
    """200 inputs, 4 units: dead, active once (soft-dead), active on 2 % (not), always active."""
    pre = torch.full((1, 200, 4), -1.0)
    pre[0, 0, 1] = 1.0
    pre[0, :4, 2] = 1.0
    pre[0, :, 3] = 1.0
    got = measure_layer(view_of(pre.transpose(1, 2)))
    assert got["dead_share"].item() == 0.25
    assert got["soft_dead_share"].item() == 0.5


def test_saturation_is_measured_against_the_largest_slope() -> None:
    """tanh'(2.18) = .05 (from |h| = 2.18 on), sigmoid likewise at 4.36."""
    for name, edge in (("tanh", 2.1847), ("sigmoid", 4.3565)):
        pre = torch.tensor([[[edge - 1e-2, edge + 1e-2, 0.0, -9.0]]], dtype=torch.float64)
        assert measure_layer(view_of(pre, name))["saturated_share"].item() == 0.5, name
    for name in ("square", "relu", "gelu", "spline_sigmoid", "sin", "sgn"):
        unbounded = measure_layer(view_of(torch.randn(1, 4, 4), name))
        assert math.isnan(unbounded["saturated_share"].item()), name


def test_the_output_layer_has_no_activation_columns() -> None:
    pre = torch.randn(2, 8, 3)
    got = measure_layer(
        LayerView(
            pre=pre,
            act=None,
            slope=None,
            saturation_slope=None,
            grad_pre=pre,
            grad_weight=pre,
            weight=pre,
        )
    )
    for name in ("act_mean", "act_std", "act_rms", "dead_share", "saturated_share"):
        assert got[name].isnan().all()


def test_relative_change() -> None:
    before = torch.tensor([[[3.0, 4.0]]])
    assert relative_change(before, before * 1.01).item() == pytest.approx(0.01, rel=1e-5)


def test_histograms_count_every_value_once() -> None:
    pre = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
    pre[1, 0, 0] = float("inf")
    rows = histograms(view_of(pre))["pre_activation"]
    assert rows.shape == (2, HISTOGRAM_BINS + 2)
    assert rows[0, 2:].sum() == 150
    counts, _ = np.histogram(pre[0].double().numpy(), HISTOGRAM_BINS)
    assert rows[0, 2:].tolist() == counts.tolist()
    assert rows[1, :2].isnan().all()
    assert rows[1, 2:].sum() == 0


@pytest.mark.parametrize("phi", ["tanh", "gelu", ["relu", "sigmoid"]], ids=str)
def test_both_engines_measure_the_same(phi: object, make_run: Callable[..., Run]) -> None:
    """Autograd and hooks on one side, the written backward on the other, in float64."""
    runs = [make_run(activation=phi, seed=seed, precision="float64") for seed in (0, 1)]
    data = prepare(runs[0].data, [])
    stacked, single = StackedEngine(runs, data), SingleEngine(runs, data)
    for mine, theirs in zip(stacked.probe(), single.probe(), strict=True):
        ours, expected = measure_layer(mine), measure_layer(theirs)
        for name in expected:
            torch.testing.assert_close(
                ours[name], expected[name], rtol=1e-10, atol=1e-14, equal_nan=True
            )


@pytest.mark.parametrize("engine", [StackedEngine, SingleEngine, ReferenceEngine])
@pytest.mark.parametrize("norm", ["layer_norm", "batch_norm"])
def test_what_is_measured_beside_a_normalisation(
    norm: str, engine: Callable[..., Engine], make_run: Callable[..., Run]
) -> None:
    """h is what the affine map returns; phi and phi' are at the normalised n; no input is added."""
    remedies = {"norm": norm, "skip": "residual", "hidden": (64, 64)}
    runs = [
        make_run(activation="tanh", seed=seed, precision="float64", **remedies) for seed in (0, 1)
    ]
    data = prepare(runs[0].data, [])
    trained = engine(runs, data)
    trained.train_epoch(1)  # running statistics and beta leave where they began
    weights = trained.weights()
    first = next(iter(trained.probe()))
    x = data.scale(data.train.inputs[: runs[0].record.probe_size], torch.float64)
    h = (x @ weights["layers.0.weight"].mT + weights["layers.0.bias"][:, None]).mT
    over = 1 if norm == "layer_norm" else 2
    mean, variance = h.mean(over, keepdim=True), h.var(over, correction=0, keepdim=True)
    gamma, beta = (weights[f"norms.0.{name}"][:, :, None] for name in ("weight", "bias"))
    act = torch.tanh((h - mean) / (variance + 1e-5).sqrt() * gamma + beta)
    torch.testing.assert_close(first.pre, h)
    torch.testing.assert_close(first.act, act)
    torch.testing.assert_close(first.slope, 1 - act.square())
