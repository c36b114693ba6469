"""A network as theory sees it: activations, variances, widths and the input's two moments."""

from dataclasses import dataclass

from fathom.theory.nonlinearity import Nonlinearity


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A multilayer perceptron at initialisation; hidden layers count from 1 to L.

    h_1 = W_1 x + b_1, h_l = W_l phi_{l-1}(h_{l-1}) + b_l.

    Attributes:
        activations: phi_1 to phi_L.
        widths: n_1 to n_L, units of each hidden layer.
        num_features: n_0, entries of the input.
        weight_scale: s_w^2 of W_1 to W_L: fan_in times the variance of a weight.
        bias_variance: s_b^2 of b_1 to b_L.
        orthogonal: The weights are orthogonal matrices; else their entries are independent.
        input_square: Mean of x^2 over the entries of an input and over inputs.
        input_cosine: Mean cosine of the angle between two different inputs; NaN when unknown.
    """

    activations: tuple[Nonlinearity, ...]
    widths: tuple[int, ...]
    num_features: int
    weight_scale: tuple[float, ...]
    bias_variance: tuple[float, ...]
    orthogonal: bool = False
    input_square: float = 1.0
    input_cosine: float = 0.0

    @property
    def depth(self) -> int:
        """Number of hidden layers, L."""
        return len(self.widths)
