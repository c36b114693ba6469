"""The types of arrays in the reference."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]  # classes 0 to K - 1, or sample numbers
