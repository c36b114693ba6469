"""How alike two inputs stay: the correlation map, from Hermite expansions.

With h_1, h_2 of variance q_1, q_2 and correlation c, E[phi(h_1) phi(h_2)] is the power series
sum_k a_k(q_1) a_k(q_2) c^k, a_k(q) = E[phi(sqrt(q) z) He_k(z)] / sqrt(k!) (the *dual activation*).
One quadrature gives the whole curve.

Source: Daniely, Frostig & Singer 2016, arXiv:1602.05897, sec. 4.2 (the series); Poole et al. 2016,
arXiv:1606.05340, eq. 5 (the map); Schoenholz et al. 2017, arXiv:1611.01232, eq. 9 (depth scale).

Shapes: Q variances, N nodes, K coefficients, L layers.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.polynomial import polynomial
from scipy import optimize, special

from fathom.theory.gaussian import WINDOW, Sample, sample
from fathom.theory.network import Network
from fathom.theory.nonlinearity import LARGEST_ARGUMENT, Floats, Nonlinearity

NUM_COEFFICIENTS: Final = 200
# Where phi is not evaluated beyond LARGEST_ARGUMENT, it has reached its asymptote, and the
# correlation map with it: a larger variance is taken as this one.
LARGEST_VARIANCE: Final = (LARGEST_ARGUMENT / WINDOW) ** 2
_COMPLETE: Final = 1e-14  # share of E f^2 beyond the last coefficient
_BATCH: Final = 16  # coefficients between two looks at what remains
_SMALLEST: Final = 1e-300  # a correlation whose logarithm exists
_CRITICAL: Final = 1e-9  # |chi_1 - 1| below which a network is on the edge of chaos


class Expansion(NamedTuple):
    """Hermite coefficients of a function f of h ~ N(0, q), and what lies beyond them.

    A break of f' makes a_k^2 fall as k^-5/2, a break of f as k^-3/2: no finite number of
    coefficients describes the map near c = 1. What lies beyond is a power law with the mass and,
    unless f itself breaks, the slope at c = 1 that are missing.

    Attributes:
        coefficients: a_0 to a_{K-1}, `[K, ...]`.
        square: E f^2, `[...]`.
        tail: Sum of a_k^2 from K on, `[...]`.
        tail_start: k from which the power law runs, `[...]`.
        breaks: f itself breaks, or its derivative has an infinite second moment.
    """

    coefficients: Floats
    square: Floats
    tail: Floats
    tail_start: Floats
    breaks: bool

    def pick(self, index: object) -> "Expansion":
        """Index the axes behind K, as NumPy does."""
        rows: tuple[Floats, ...] = (self.square, self.tail, self.tail_start)
        square, tail, start = (row[index] for row in rows)  # type: ignore[index]
        return Expansion(np.moveaxis(np.moveaxis(self.coefficients, 0, -1)[index], -1, 0), square, tail, start, self.breaks)
