"""From a network's numbers to one verdict with its cause, by rules in a fixed order.

The same rules judge what was measured and what theory predicts. A rule fires on one number; the
verdict names it, its limit, and what was predicted. The first rule that fires decides. A number
that is not known fires nothing.

Thresholds: 3 decades of gradient is ten standard deviations of a network of 50 layers and 128
units at initialisation. The others are engineering choices.

Not covered: what happens within an epoch (a share of dead units that rises, gradients that change
sign), and a signal that dies out on its way forward while the gradient does not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Name = Literal[
    "diverged",
    "exploding",
    "vanishing",
    "collapsed",
    "dying",
    "saturated",
    "stalled",
    "healthy",
    "borderline",
    "unknown",
    "no prediction",
]

SPAN_LIMIT: Final = 3.0  # decades
HEALTHY_SPAN: Final = 1.0  # beside two standard deviations
SCALE_GROWTH_LIMIT: Final = 4.0  # decades of the mean square of the pre-activations
LARGEST_RMS: Final = 1e4
UNDERFLOW_RMS: Final = 1e-19  # its square is 0 in float32
LARGEST_UPDATE, SMALLEST_UPDATE, FAST_UPDATE = 0.1, 1e-4, 1e-2
COLLAPSED_ANGLE: Final = 1e-3
# A mean alone makes one direction large: five ReLU layers have a participation ratio of 1.5, and
# twenty, which still train, of 1.05. Only what is closer to 1 is worth a word.
HEALTHY_RANK: Final = 1.02
DEAD_LIMIT, HEALTHY_DEAD = 0.40, 0.10
FEWEST_PROBES: Final = 8  # on one input half the units of a sound ReLU layer pass no gradient
SATURATED_LIMIT, HEALTHY_SATURATED = 0.50, 0.25
STALLED_SHARE: Final = 0.01  # of ln K, the loss of equal shares for all classes
STALLED_EPOCHS: Final = 2
LOSS_GROWTH: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The numbers that the rules look at; NaN where one is not known or not defined.

    Attributes:
        is_finite: No loss, activation or gradient is infinite or NaN.
        gradient_span: log10 of the rms of dL/dh in the first hidden layer over that in the last.
        span_sd: Standard deviation of it over initial weights, in decades.
        smallest_gradient: Smallest rms of dL/dh over the hidden layers.
        scale_growth: log10 of q in the last hidden layer over q in the first, q = mean of h^2.
        largest_rms: Largest sqrt(q) over the hidden layers.
        cosine: Mean cosine between two inputs' pre-activations in the last hidden layer.
        num_probes: Inputs that the cosine and the dead units are taken over; 0 if not known.
        num_classes: Of the data.
        dead_share: Largest share of units in a hidden layer whose slope is 0 on every probe input;
            no rule looks at it where there are fewer than 8 of these.
        saturated_share: Largest share of saturated pairs of unit and input in a hidden layer.
        largest_update: Largest relative step of a layer's weights, where the rate last was at least
            half its largest.
        smallest_update: Smallest one.
        loss: Training loss at the end.
        first_loss: Before training.
        uniform_loss: The loss of a network that gives all classes equal shares; NaN if undefined.
        epochs: That were trained.
    """

    is_finite: bool = True
    gradient_span: float = math.nan
    span_sd: float = math.nan
    smallest_gradient: float = math.nan
    scale_growth: float = math.nan
    largest_rms: float = math.nan
    cosine: float = math.nan
    num_probes: int = 0
    num_classes: int = 0
    dead_share: float = math.nan
    saturated_share: float = math.nan
    largest_update: float = math.nan
    smallest_update: float = math.nan
    loss: float = math.nan
    first_loss: float = math.nan
    uniform_loss: float = math.nan
    epochs: int = 0

    @property
    def participation(self) -> float:
        """Participation ratio of the probe inputs' Gram matrix, were all cosines equal.

        B^2 / ((1 + (B-1) c)^2 + (B-1) (1-c)^2): 1 where all inputs look alike, and 1 / c^2 for
        many inputs, which is what stands for a number that is not known.

        Source: (sum of eigenvalues)^2 over the sum of their squares; the matrix has the eigenvalue
        1 + (B-1) c once and 1 - c for the rest.
        """
        num, c = self.num_probes, self.cosine
        if num < 2:
            return 1 / c**2 if c > 0 else math.nan
        return num**2 / ((1 + (num - 1) * c) ** 2 + (num - 1) * (1 - c) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a network's numbers come to.

    Attributes:
        name: The verdict.
        quantity: The number that decided, in words; empty where none did.
        value: That number.
        threshold: What it was held against.
        predicted: What theory says of it; NaN where it says nothing.
        sentence: All of it in words.
    """

    name: Name
    quantity: str
    value: float
    threshold: float
    predicted: float
    sentence: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """Fires where `of(evidence)` is at the threshold or beyond it: above, or below."""

    name: Name
    quantity: str
    of: Callable[[Evidence], float]
    side: Literal["above", "below"]
    threshold: float
    cause: str

    def fires(self, evidence: Evidence) -> bool:
        value = self.of(evidence)  # NaN fires nothing
        return value >= self.threshold if self.side == "above" else value <= self.threshold


def _reach(evidence: Evidence) -> float:
    """Return two standard deviations of the gradient span; nothing where they are not known."""
    return 0.0 if math.isnan(evidence.span_sd) else 2 * evidence.span_sd


def _dead(evidence: Evidence) -> float:
    """Return the share of dead units, unless inputs are so few that chance decides."""
    return math.nan if 0 < evidence.num_probes < FEWEST_PROBES else evidence.dead_share


_SPAN: Final = "gradient span [decades]"
_SPAN_DECIMALS: Final = 9  # what is smaller is rounding
_RULES: Final = (
    _Rule(
        "diverged",
        "loss over its first value",
        lambda e: e.loss / e.first_loss if e.first_loss > 0 else math.nan,
        "above",
        LOSS_GROWTH,
        "training made the loss larger",
    ),
    _Rule(
        "exploding",
        _SPAN,
        lambda e: e.gradient_span,
        "above",
        SPAN_LIMIT,
        "the gradient grows on its way back to the first layer",
    ),
    _Rule(
        "exploding",
        "growth of the mean square of h [decades]",
        lambda e: e.scale_growth,
        "above",
        SCALE_GROWTH_LIMIT,
        "the signal grows from layer to layer",
    ),
    _Rule(
        "exploding",
        "largest rms of h",
        lambda e: e.largest_rms,
        "above",
        LARGEST_RMS,
        "the signal is so large that half precision would overflow",
    ),
    _Rule(
        "exploding",
        "relative weight step",
        lambda e: e.largest_update,
        "above",
        LARGEST_UPDATE,
        "a step changes a layer's weights by a tenth or more",
    ),
    _Rule(
        "vanishing",
        "rms of dL/dh",
        lambda e: e.smallest_gradient,
        "below",
        UNDERFLOW_RMS,
        "the gradient is so small that its square is 0 in float32",
    ),
    _Rule(
        "vanishing",
        _SPAN,
        lambda e: e.gradient_span,
        "below",
        -SPAN_LIMIT,
        "the gradient dies out on its way back to the first layer",
    ),
    _Rule(
        "collapsed",
        "1 - cosine between inputs",
        lambda e: 1 - e.cosine,
        "below",
        COLLAPSED_ANGLE,
        "all inputs look alike to the last hidden layer",
    ),
    _Rule(
        "dying",
        "share of dead units",
        _dead,
        "above",
        DEAD_LIMIT,
        "in some layer these units pass no gradient for any input",
    ),
    _Rule(
        "saturated",
        "share of saturated pairs",
        lambda e: e.saturated_share,
        "above",
        SATURATED_LIMIT,
        "in some layer most units sit where the activation is flat",
    ),
    _Rule(
        "stalled",
        "distance of the loss from ln K, relative",
        lambda e: (
            abs(e.loss / e.uniform_loss - 1)
            if e.epochs >= STALLED_EPOCHS and e.uniform_loss > 0
            else math.nan
        ),
        "below",
        STALLED_SHARE,
        "the network still gives every class an equal share",
    ),
)

# What keeps a network that no rule condemns from being healthy.
_DOUBTS: Final = (
    _Rule(
        "borderline",
        "gradient span less two standard deviations [decades]",
        lambda e: abs(e.gradient_span) - _reach(e),
        "above",
        HEALTHY_SPAN,
        "first and last layer learn at different speeds",
    ),
    _Rule(
        "borderline",
        "relative weight step",
        lambda e: e.largest_update,
        "above",
        FAST_UPDATE,
        "some layer changes fast",
    ),
    _Rule(
        "borderline",
        "relative weight step",
        lambda e: e.smallest_update,
        "below",
        SMALLEST_UPDATE,
        "some layer hardly changes",
    ),
    _Rule(
        "borderline",
        "share of dead units",
        _dead,
        "above",
        HEALTHY_DEAD,
        "in some layer these units pass no gradient for any input",
    ),
    _Rule(
        "borderline",
        "share of saturated pairs",
        lambda e: e.saturated_share,
        "above",
        HEALTHY_SATURATED,
        "in some layer these units sit where the activation is flat",
    ),
    _Rule(
        "borderline",
        "participation ratio",
        lambda e: e.participation if e.num_classes > 2 else math.nan,
        "below",
        HEALTHY_RANK,
        "the last hidden layer sees all inputs in nearly one direction",
    ),
)


def judge(evidence: Evidence, predicted: Evidence | None = None) -> Verdict:
    """Apply the rules to what was measured, or to what is predicted.

    Args:
        evidence: The numbers to judge.
        predicted: What theory says of the same network, to be told beside them.
    """
    expected = predicted or Evidence()
    if not evidence.is_finite:
        return _without_number(
            "diverged", "the loss, an activation or a gradient is not finite in float32"
        )
    for rule in (*_RULES, *_DOUBTS):
        if rule.fires(evidence):
            return _ruled(rule, rule.of(evidence), rule.of(expected))
    span = evidence.gradient_span
    if math.isnan(span):
        return _without_number("unknown", "the gradient span is not known, and no rule fires")
    return Verdict(
        name="healthy",
        quantity=_SPAN,
        value=span,
        threshold=HEALTHY_SPAN,
        predicted=expected.gradient_span,
        sentence=f"healthy: {_said(_SPAN, span)}, within {HEALTHY_SPAN + _reach(evidence):.3g}"
        f"{_told(_SPAN, expected.gradient_span)}; no rule fires",
    )


def no_prediction(reason: str) -> Verdict:
    """Return the verdict where theory has no limit to speak of, such as for poles."""
    return _without_number("no prediction", reason)


def _without_number(name: Name, why: str) -> Verdict:
    return Verdict(
        name=name,
        quantity="",
        value=math.nan,
        threshold=math.nan,
        predicted=math.nan,
        sentence=f"{name}: {why}",
    )


def _ruled(rule: _Rule, value: float, predicted: float) -> Verdict:
    limit = "at least" if rule.side == "above" else "at most"
    held = "" if value == -math.inf else f", {limit} {rule.threshold:g}"
    return Verdict(
        name=rule.name,
        quantity=rule.quantity,
        value=value,
        threshold=rule.threshold,
        predicted=predicted,
        sentence=f"{rule.name}: {_said(rule.quantity, value)}{held}"
        f"{_told(rule.quantity, predicted)}; {rule.cause}",
    )


def _said(quantity: str, value: float) -> str:
    number = _number(quantity, value)
    return number if value == -math.inf else f"{quantity} is {number}"


def _told(quantity: str, predicted: float) -> str:
    if math.isnan(predicted):
        return ""
    return f" (predicted before training: {_number(quantity, predicted)})"


def _number(quantity: str, value: float) -> str:
    if quantity != _SPAN:
        return f"{value:.3g}"
    if value == -math.inf:
        return "no gradient arrives"
    return f"{round(value, _SPAN_DECIMALS) + 0.0:.3g}"  # + 0.0 makes -0 a 0
