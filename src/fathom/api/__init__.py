"""What Python users hold: a study to plan and run, its results, and what theory says.

`fathom.__all__` is the list of these names; each is imported here, under its own name so that
readers of types know that it is meant to be found.
"""

from fathom.activations import Activation as Activation
from fathom.activations import custom as custom
from fathom.api.agreement import agree as agree
from fathom.api.examined import examine as examine
from fathom.api.examined import gain as gain
from fathom.api.pictures import draw_activations as draw_activations
from fathom.api.pictures import draw_samples as draw_samples
from fathom.api.predicted import predict as predict
from fathom.api.results import Results as Results
from fathom.api.study import Study as Study
from fathom.api.study import allow as allow
from fathom.engine.units import count_units as count_units
from fathom.errors import FathomError as FathomError
from fathom.plan import Plan as Plan
