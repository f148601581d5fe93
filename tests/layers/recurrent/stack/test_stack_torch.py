"""Recurrent layers against stored outputs of torch (made by data/make_torch_outputs.py)."""

from pathlib import Path

import numpy as np
import pytest

import pyrnn

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def read_cases():
    cases = {}
    with np.load(Path(__file__).parents[3] / "data" / "torch_outputs.npz") as stored:
        for key in stored.files:
            case, name = key.split("/")
            cases.setdefault(case, {})[name] = stored[key]
    return cases


CASES = read_cases()


def test_every_cell_and_dtype_is_stored():
    kinds = {tuple(case.split("-")[i] for i in (0, 4)) for case in CASES}
    cells = ("rnn_tanh", "rnn_relu", "lstm", "gru")
    assert kinds == {(cell, dtype) for cell in cells for dtype in TOLERANCE}


@pytest.mark.kernels
@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_torch(case, backend, assert_close):
    cell, layers, directions, _, dtype = case.split("-")
    arrays = CASES[case]
    tolerance = TOLERANCE[dtype]
    kind = pyrnn.RNN if cell.startswith("rnn") else getattr(pyrnn, cell.upper())
    options = {"nonlinearity": cell[4:]} if kind is pyrnn.RNN else {}
    sizes = arrays["x"].shape[2], arrays["h0"].shape[2], int(layers)
    layer = kind(*sizes, bidirectional=directions == "2", dtype=dtype, **options)
    fill(layer.parameters, arrays["parameters"])

    y, state, cache = layer.forward(arrays["x"], pick(arrays, "h0", "c0"), arrays.get("lengths"))
    dx, dstate0, grads = layer.backward(cache, arrays["dy"], pick(arrays, "dh", "dc"))

    assert_close(y, arrays["y"], tolerance, "y")
    assert_close(state, pick(arrays, "h", "c"), tolerance, "state")
    assert_close(dx, arrays["dx"], tolerance, "dx")
    assert_close(dstate0, pick(arrays, "dh0", "dc0"), tolerance, "dstate0")
    expected = {name: np.empty_like(array) for name, array in layer.parameters.items()}
    fill(expected, arrays["grads"])
    assert_close(grads, expected, tolerance)


def fill(parameters, flat):
    """Spread a flat array over arrays, in their order."""
    position = 0
    for array in parameters.values():
        array[...] = flat[position : position + array.size].reshape(array.shape)
        position += array.size
    assert position == flat.size


def pick(arrays, h, c):
    """A state as a layer takes it."""
    return (arrays[h], arrays[c]) if c in arrays else arrays[h]
