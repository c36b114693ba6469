"""One activation: where it keeps signal and gradient, and what it is and does."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from torch import Tensor

from fathom import card
from fathom.activations import ACTIVATIONS, Activation
from fathom.api.own import with_choices
from fathom.registry import Choice, check_number
from fathom.spec import study as spec
from fathom.theory.critical import Recommendation, recommend
from fathom.theory.gains import backward_gain, forward_gain
from fathom.theory.nonlinearity import Nonlinearity, nonlinearity

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
        yield f"{self.activation}: {best.kind}"
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
        yield (
            f"  at unit variance: gain {self.forward:.6f} keeps the signal, "
            f"{self.backward:.6f} the gradient"
        )

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as values that JSON can hold."""
        return card.to_plain({
            "activation": self.activation,
            "forward": self.forward,
            "backward": self.backward,
            "recommendation": self.recommendation,
        })


def gain(activation: AnyActivation, *, bias_variance: float = 0.05) -> Gain:
    """Find the initialisation at which an activation keeps both signal and gradient.

    Args:
        activation: A name, a mapping with parameters, or your own function of a tensor.
        bias_variance: Wanted variance of the biases, at least 0.

    Raises:
        FathomError: If there is no such activation or it fails on a few numbers.
        ValueError: If the variance is out of its range.
    """
    check_number("bias_variance", bias_variance, minimum=0)
    phi = nonlinearity(build(activation))
    return _gain(phi, bias_variance)


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
    settings = with_choices({"activation": activation})
    study = spec.Study(data="digits", model={"depth": 1}, **settings)
    (choice,) = study.runs()[0].model.activation
    assert isinstance(choice, Choice)
    return ACTIVATIONS.build(choice)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """An activation's card.

    Attributes:
        card: Shape, faults and notes, the check of its slope, its speed.
        gain: Where it keeps the scale of signal and gradient.
        activation: What was examined.
    """

    card: card.Card
    gain: Gain
    activation: Activation

    def __str__(self) -> str:
        return "\n".join([*card.lines(self.card), "", str(self.gain)])

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as values that JSON can hold."""
        return {"card": card.to_plain(self.card), "gain": self.gain.to_plain()}

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
    return Examined(
        card=card.make_card(found), gain=_gain(nonlinearity(found)), activation=found
    )
