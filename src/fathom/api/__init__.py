"""What Python users hold: a study to plan and run, and its results."""

from fathom.activations import Activation, custom
from fathom.api.examined import examine, gain
from fathom.api.predicted import predict
from fathom.api.results import Results
from fathom.api.study import Study, allow
from fathom.errors import FathomError
from fathom.plan import Plan

__all__ = [
    "Activation",
    "FathomError",
    "Plan",
    "Results",
    "Study",
    "allow",
    "custom",
    "examine",
    "gain",
    "predict",
]
