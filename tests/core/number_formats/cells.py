"""What the tests of all number formats share: layers that have each kind of product, and arrays."""

from functools import partial

import numpy as np

import pyrnn

CELLS = {
    "rnn": pyrnn.RNN,
    "lstm": pyrnn.LSTM,
    "projected": partial(pyrnn.LSTM, proj_size=5),
    "peephole": partial(pyrnn.LSTM, peephole=True, coupled=True),
    "lstm_layer_norm": partial(pyrnn.LSTM, layer_norm=True),
    "gru": pyrnn.GRU,
    "gru_reset_before": partial(pyrnn.GRU, reset_after=False),
    "gru_layer_norm": partial(pyrnn.GRU, layer_norm=True),
    "min_gru": pyrnn.MinGRU,
}


def drawn(*shape, seed=0):
    """Normally distributed numbers, the same for the same shape and seed."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)
