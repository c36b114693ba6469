"""The data settings that most tests train on."""

from fathom.data.config import DataConfig

DIGITS = DataConfig(
    name="digits",
    path=None,
    scaling="unit",
    protocol="holdout",
    validation_share=0.2,
    test_share=0.2,
    limit=256,
    seed=0,
)
