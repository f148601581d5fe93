"""What the textbook's tests share: central differences of any function of a dict of arrays."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest

FloatArray = npt.NDArray[np.float64]
Loss = Callable[[Mapping[str, FloatArray]], float]
Numeric = Callable[[Loss, dict[str, FloatArray]], dict[str, FloatArray]]


def _central_differences(
    loss: Loss, arrays: dict[str, FloatArray], epsilon: float = 1e-6
) -> dict[str, FloatArray]:
    """The gradient of a loss with respect to every element of every array."""
    gradients = {}
    for name, array in arrays.items():
        gradient = np.empty_like(array)
        for index in np.ndindex(*array.shape):
            values = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * epsilon
                values.append(loss(arrays | {name: moved}))
            gradient[index] = (values[0] - values[1]) / (2 * epsilon)
        gradients[name] = gradient
    return gradients


@pytest.fixture
def numeric() -> Numeric:
    """Central differences: (loss, arrays) -> gradients by the arrays' names."""
    return _central_differences
