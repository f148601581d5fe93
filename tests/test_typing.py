"""Types for annotations: those of the package's own signatures."""

import typing

import numpy as np

import pyrnn
from pyrnn import _types


def test_arrays_are_those_of_signatures():
    assert typing.get_type_hints(pyrnn.Linear.__call__)["return"] == pyrnn.typing.Array
    assert typing.get_type_hints(pyrnn.Optimizer.step)["grads"] == pyrnn.typing.Parameters
    assert typing.get_type_hints(_types.is_indices)["x"] == (
        pyrnn.typing.Array | pyrnn.typing.Indices
    )


def test_a_state_is_what_layers_give():
    x = np.ones((2, 1, 3), np.float32)
    array, pair, none = typing.get_args(pyrnn.typing.State)
    assert isinstance(pyrnn.GRU(3, 4)(x)[1], typing.get_origin(array))
    assert isinstance(pyrnn.LSTM(3, 4)(x)[1], typing.get_origin(pair))
    assert isinstance(pyrnn.Linear(3, 4).forward(x)[1], none)
