"""Every cell of the list: gradients of whole walks against central differences, with all noise."""

import numpy as np
import pytest

from pyrnn._types import Noise
from pyrnn.backend import selection
from pyrnn.reference.cells import CELLS

TIME_STEPS, ROWS, INPUTS, UNITS, PROJECTED = 4, 3, 3, 4, 2

PROJECTING = [cell for cell, entry in CELLS.items() if entry.projects]
VARIANTS = [*((cell, False) for cell in CELLS), *((cell, True) for cell in PROJECTING)]
EVERY_VARIANT = pytest.mark.parametrize(
    ("cell", "projected"), VARIANTS, ids=[f"{c}{'-projected' * p}" for c, p in VARIANTS]
)


def shapes_of(cell, projected):
    """Shapes of a cell's parameters by name."""
    return CELLS[cell].shapes(INPUTS, UNITS, proj_size=PROJECTED if projected else 0)


class Case:
    """Arguments of one walk, drawn at random."""

    def __init__(self, cell, projected=False, bias=True, dtype="float64", seed=0):
        self.cell = cell
        self.generator = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.parameters = {
            name: self.normal(*shape)
            for name, shape in shapes_of(cell, projected).items()
            if bias or not name.startswith("bias")
        }
        self.sizes = CELLS[cell].state_sizes(self.parameters)
        self.x = self.normal(TIME_STEPS, ROWS, INPUTS)
        self.state = self.states()

    def normal(self, *shape):
        return self.generator.standard_normal(shape).astype(self.dtype)

    def states(self):
        return tuple(self.normal(ROWS, size) for size in self.sizes)

    def noise(self, training):
        """A mask as dropout has it, and zoneout: drawn in training, else a share of each state."""
        mask = (self.generator.random((ROWS, self.sizes[0])) < 0.6) / 0.6
        kept = [self.generator.random((TIME_STEPS, ROWS, size)) < 0.4 for size in self.sizes]
        drawn = tuple(m.astype(self.dtype) for m in kept)
        return Noise(mask.astype(self.dtype), drawn if training else (0.3, 0.6)[: len(kept)])

    def forward(self, **options):
        engine = selection.current()
        packed = engine.pack(self.cell, self.parameters)
        return engine.forward(packed, self.x, self.state, **options)


def difference(evaluate, array, weights, epsilon=1e-6):
    """The gradient of the weighted sum of all outputs by central differences, in place."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + epsilon
        above = evaluate()
        array[index] = value - epsilon
        below = evaluate()
        array[index] = value
        gradient[index] = sum(
            np.sum(w * (a - b)) for w, a, b in zip(weights, above, below, strict=True)
        ) / (2 * epsilon)
    return gradient


def check_gradients(case, **options):
    def evaluate():
        y, state, _ = case.forward(**options)
        return [y, *state]

    y, state, saved = case.forward(keep=True, **options)
    weights = [case.normal(*array.shape) for array in (y, *state)]
    dx, dstate, grads = selection.current().backward(saved, weights[0], tuple(weights[1:]))
    assert set(grads) == set(case.parameters)
    arrays = {"x": (case.x, dx)}
    arrays |= {f"state {n}": pair for n, pair in enumerate(zip(case.state, dstate, strict=True))}
    arrays |= {name: (case.parameters[name], grad) for name, grad in grads.items()}
    for name, (array, gradient) in arrays.items():
        expected = difference(evaluate, array, weights)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-8 * scale, err_msg=name)
        assert np.abs(expected).max() > 1e-4, name


@EVERY_VARIANT
@pytest.mark.parametrize("bias", [True, False])
def test_gradients(cell, projected, bias, backend):
    check_gradients(Case(cell, projected, bias))


@EVERY_VARIANT
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_under_noise(cell, projected, reverse, training, backend):
    case = Case(cell, projected, seed=2)
    lengths = np.array([2, 4, 1])
    check_gradients(case, lengths=lengths, reverse=reverse, noise=case.noise(training))


@EVERY_VARIANT
def test_sizes(cell, projected, backend):
    case = Case(cell, projected, dtype="float32")
    y, state, _ = case.forward(noise=case.noise(training=True))
    assert y.shape == (TIME_STEPS, ROWS, PROJECTED if projected else UNITS)
    assert [s.shape[1] for s in state] == [*case.sizes] == [y.shape[2], UNITS][: len(state)]
    assert {a.dtype.name for a in (y, *state)} == {"float32"}
