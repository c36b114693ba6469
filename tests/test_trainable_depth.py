"""Theory's depth scale against networks that were trained: the study `trainable-depth`."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fathom import Study
from fathom.activations import ACTIVATIONS
from fathom.data.inputs import InputStatistics
from fathom.prediction import network_of
from fathom.registry import Choice
from fathom.theory.correlation import fixed_correlation
from fathom.theory.fate import fate
from fathom.theory.nonlinearity import nonlinearity

TRAINED = 0.4  # accuracy on the ten digits
MULTIPLES = (1, 2, 3, 4, 6, 8, 12)


def depth_scale(weight_scale: float) -> float:
    phi = nonlinearity(ACTIVATIONS.build(Choice("tanh")))
    end = fate(phi, weight_scale, 0.05, 1.0)
    return fixed_correlation(phi, end.q, weight_scale, 0.05).depth_scale


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_networks_train_down_to_a_few_depth_scales(tmp_path: Path) -> None:
    study = Study.load("trainable-depth")
    scales = {
        run.id: network_of(run.model, 64, InputStatistics(1.0, 0.0)).weight_scale[-1]
        for run in study.runs()
    }
    runs = study.run(tmp_path, workers=1, progress=False).runs
    assert runs.height == 63
    scale = {weight_scale: depth_scale(weight_scale) for weight_scale in set(scales.values())}
    reach = np.array([scale[scales[run_id]] for run_id in runs["run_id"]])
    trained = (runs["train_accuracy"] > TRAINED).to_numpy()
    assert 0.3 < trained.mean() < 0.9  # both sides of the boundary are there
    agreement = {
        m: float((trained == (runs["depth"].to_numpy() < m * reach)).mean()) for m in MULTIPLES
    }
    best = max(agreement, key=agreement.__getitem__)
    assert 3 <= best <= 8, agreement
    assert agreement[best] >= 0.82, agreement
    # What a guess by depth alone would reach is worse: the weights' variance does matter.
    by_depth = max(
        float((trained == (runs["depth"].to_numpy() <= depth)).mean())
        for depth in runs.select(pl.col("depth").unique())["depth"]
    )
    assert agreement[best] > by_depth, (agreement, by_depth)
