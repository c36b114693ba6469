"""Losses by name: a value for each sample and the gradient of the mean."""

from typing import Final

from fathom.losses import binary, entropy, focal, margin, squared
from fathom.losses.base import Loss, gradient_scale
from fathom.losses.scales import LossStep, compare_steps, loss_step
from fathom.registry import Registry

__all__ = ["LOSSES", "Loss", "LossStep", "compare_steps", "gradient_scale", "loss_step"]

LOSSES: Final[Registry[Loss]] = Registry(
    "loss",
    (
        *entropy.FACTORIES,
        *margin.FACTORIES,
        *focal.FACTORIES,
        *squared.FACTORIES,
        *binary.FACTORIES,
    ),
    aliases={
        "ce": "cross_entropy",
        "softmax_cross_entropy": "cross_entropy",
        "kl_div": "kl",
        "l2": "mse",
        "bce_with_logits": "bce",
        "multi_margin": "hinge",
    },
    group="fathom.losses",
)
