"""One activation: where it keeps signal and gradient, and what it is and does."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from torch import Tensor

from fathom import card
from fathom.activations import ACTIVATIONS, Activation
from fathom.api.checks import check, named
from fathom.api.own import with_choices
from fathom.registry import Choice
from fathom.spec import study as spec
from fathom.spec.nodes import from_plain
from fathom.theory.critical import Recommendation, recommend
from fathom.theory.gains import backward_gain, forward_gain
from fathom.theory.meanfield import layer_moments
from fathom.theory.nonlinearity import Nonlinearity, nonlinearity
from fathom.threads import one_thread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AnyActivation = str | dict[str, Any] | Activation | Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """Where an activation keeps the scale of signal and gradient.

    Attributes:
        activation: Its name.
        forward: Gain that keeps E phi^2 = 1 for unit variance, 1 / sqrt(E phi(z)^2).
        backward: Gain that keeps the gradient there, 1 / sqrt(E phi'(z)^2).
        recommendation: The best start for deep networks.
    """

    activation: str
    forward: float
    backward: float
    recommendation: Recommendation

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        best = self.recommendation
        kind = "no such start" if best.kind == "none" else best.kind
        nearest = "; the nearest is below" if best.kind == "none" and best.weight_scale > 0 else ""
        yield f"{self.activation}: {kind}{nearest}"
        yield f"  {best.reason}"
        if best.weight_scale > 0:
            yield (
                f"  weights: normal, variance {best.weight_scale:.8g} / fan_in "
                f"(gain {math.sqrt(best.weight_scale):.8g} / sqrt(fan_in)); "
                f"biases: variance {best.bias_variance:.8g}"
            )
            yield "  in a study: init: critical, or written out:"
            yield (
                f"  init: {{name: he_normal, factor: {best.weight_scale:.8g}, "
                f"bias_std: {math.sqrt(best.bias_variance):.8g}}}"
            )
        gains = {"signal": self.forward, "gradient": self.backward}
        kept = [
            f"gain {gain:.7g} keeps the {what}" for what, gain in gains.items() if _usable(gain)
        ]
        if kept:
            yield f"  at unit variance: {', '.join(kept)}"

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as values that JSON can hold."""
        plain: dict[str, Any] = card.to_plain(self)
        return plain


def _usable(gain: float) -> bool:
    return 0 < gain < math.inf


def gain(activation: AnyActivation, *, bias_variance: float = 0.05) -> Gain:
    """Find the initialisation at which an activation keeps both signal and gradient.

    Args:
        activation: A name, a mapping with parameters, or your own function of a tensor.
        bias_variance: Wanted variance of the biases, at least 0.

    Raises:
        FathomError: If there is no such activation, it fails on a few numbers, or the variance is
            out of its range.
    """
    check("bias_variance", bias_variance, minimum=0)
    with one_thread():
        return _gain(nonlinearity(build(activation)), bias_variance)


def _gain(phi: Nonlinearity, bias_variance: float = 0.05) -> Gain:
    return Gain(
        activation=phi.name,
        forward=forward_gain(phi),
        backward=backward_gain(phi),
        recommendation=recommend(phi, bias_variance),
    )


def build(activation: AnyActivation) -> Activation:
    """Build what a study would take as an activation, with the same messages.

    Raises:
        FathomError: If there is none of this name, or it fails on a few numbers.
    """
    return ACTIVATIONS.build(choice_of(activation))


def choice_of(activation: AnyActivation) -> Choice:
    """Write down what a study would take as an activation.

    Raises:
        FathomError: If there is none of this name.
    """
    network = {"data": "digits", "model": {"depth": 1}, "activation": named(activation)}
    study = spec.Study.from_node(from_plain(with_choices(network)), "activation")
    (choice,) = study.runs()[0].model.activation
    assert isinstance(choice, Choice)
    return choice


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """An activation's card.

    Attributes:
        card: Shape, faults and notes, the check of its slope, its speed.
        moments: Expectations over h ~ N(0, 1); infinite where a pole makes them so.
        gain: Where it keeps the scale of signal and gradient.
        activation: What was examined.
    """

    card: card.Card
    moments: dict[str, float]
    gain: Gain
    activation: Activation

    def __str__(self) -> str:
        moments = ", ".join(f"{name} = {value:.6g}" for name, value in self.moments.items())
        told = [*card.lines(self.card), "", f"h ~ N(0, 1): {moments}", "", str(self.gain)]
        return "\n".join(told)

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as values that JSON can hold."""
        return {
            "card": card.to_plain(self.card),
            "moments": card.to_plain(self.moments),
            "gain": self.gain.to_plain(),
        }

    def figure(self) -> "Figure":
        """Draw curve and derivative."""
        from fathom.figures.draw import draw

        return draw(card.chart(self.activation))


def examine(activation: AnyActivation) -> Examined:
    """Examine an activation: what it is, where it fails, how it keeps a signal, what it costs.

    Args:
        activation: A name, a mapping with parameters, or your own function of a tensor.

    Raises:
        FathomError: If there is no such activation or it fails on a few numbers.
    """
    found = build(activation)
    with one_thread():
        phi = nonlinearity(found)
        return Examined(
            card=card.make_card(found), moments=_moments(phi), gain=_gain(phi), activation=found
        )


def _moments(phi: Nonlinearity) -> dict[str, float]:
    at = layer_moments(phi, 1.0)
    named = {
        "E phi": at.mean,
        "E phi^2": at.square,
        "E phi^4": at.fourth,
        "E phi'^2": at.slope_square,
        "E phi'^4": at.slope_fourth,
    }
    return {name: float(value[0]) for name, value in named.items()}
