"""The gradient of the weights of a batch, from what the network puts out wrong.

Shapes: B batch, I in, K outputs, L hidden layers; ... any number of networks.
"""

import numpy as np

from fathom.theory.correlation import expand, expand_slope, kernel
from fathom.theory.network import Network
from fathom.theory.nonlinearity import Floats, Nonlinearity


def weight_gradient_norms(
    network: Network, inputs_BI: Floats, output_errors: Floats, output_weight_scale: float
) -> Floats:
    """Predict the Frobenius norm of dL/dW of every layer at initialisation.

    With x_a the input of a layer and d_a = B dL/dh for sample a, |dL/dW|^2 = (1/B^2) sum_ab
    (d_a.d_b)(x_a.x_b). Forward, the products x_a.x_b follow E[phi(h_a) phi(h_b)]; backward, the
    products d_a.d_b are multiplied by s_w^2 E[phi'(h_a) phi'(h_b)] in every layer.

    Source: Lee et al. 2018, arXiv:1711.00165, eqs. 5 and 6 (the kernel forward); Jacot, Gabriel &
    Hongler 2018, arXiv:1806.07572, theorem 1 (backward).

    Not covered: corrections of order depth/width. Homogeneous activations and collapsing networks
    have them largest: their gradients spread by factors from draw to draw.

    Args:
        network: The network without its output layer; its `input_square` and `input_cosine` are
            not used.
        inputs_BI: The batch, `[B, I]`.
        output_errors: dL/dlogits of each sample's own loss, `[..., B, K]`: p - y for cross entropy.
        output_weight_scale: s_w^2 of the output layer.

    Returns:
        `[..., L+1]`, the output layer last. NaN where a pre-activation's variance is 0 or not
        finite.
    """
    batch = len(inputs_BI)
    values, slopes = _kernels(network, inputs_BI @ inputs_BI.T / network.num_features)
    error_BB = output_errors @ np.swapaxes(output_errors, -1, -2)
    fans_in = (network.num_features, *network.widths)
    scales = (*network.weight_scale[1:], output_weight_scale)
    squares = [fans_in[-1] * (error_BB * values[-1]).sum((-2, -1))]
    for layer in reversed(range(network.depth)):
        error_BB = error_BB * (scales[layer] * slopes[layer])
        squares.append(fans_in[layer] * (error_BB * values[layer]).sum((-2, -1)))
    with np.errstate(invalid="ignore"):
        norms: Floats = np.sqrt(np.stack(squares[::-1], axis=-1)) / batch
    return norms


def _kernels(network: Network, input_BB: Floats) -> tuple[list[Floats], list[Floats]]:
    """Return the products of two samples' values per unit, layers 0 to L, and of slopes, 1 to L."""
    values, slopes = [input_BB], []
    for phi, scale, bias in zip(
        network.activations, network.weight_scale, network.bias_variance, strict=True
    ):
        value, slope = _pass_on(phi, scale * values[-1] + bias)
        values.append(value)
        slopes.append(slope)
    return values, slopes


def _pass_on(phi: Nonlinearity, covariance_BB: Floats) -> tuple[Floats, Floats]:
    """Return E[phi phi] and E[phi' phi'] for pre-activations with this covariance."""
    q_B = np.diag(covariance_BB)
    with np.errstate(all="ignore"):
        root = np.sqrt(q_B)
        c_BB = np.clip(covariance_BB / root[:, None] / root, -1, 1)
    np.fill_diagonal(c_BB, 1.0)  # the slope of a kernel with a kink is infinite there
    expansions = (expand(phi, q_B), expand_slope(phi, q_B))
    value, slope = (
        kernel(each.pick(slice(None), None), each.pick(None, slice(None)), c_BB)
        for each in expansions
    )
    return value, slope
